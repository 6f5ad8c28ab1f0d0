//! Taking connections, within bounds.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use grmgr::{Limiter, OwnedPermit};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::{App, api};

/// How much is served at once. Not in any registry: what the program watches is its own.
#[derive(Debug)]
pub(crate) struct Limits {
    connections: Arc<Limiter>,
    pub(crate) streams: Arc<Limiter>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: Arc::new(Limiter::new("connections", 256)),
            streams: Arc::new(Limiter::new("event streams", 64)),
        }
    }
}

/// A request's head has to be there by then, and the next one's after the last answer.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// A connection on which nothing moves for so long is closed. An event stream moves at every
/// sample, unless its client does not read.
const STALLED_AFTER: Duration = Duration::from_secs(60);

/// Serves until `stop` is dropped. Connections that are open then are closed.
pub(crate) async fn serve(listener: TcpListener, app: Arc<App>, mut stop: oneshot::Receiver<()>) {
    let router = api::router(app.clone());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut stop => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, most likely: those are the program's, too.
                tracing::warn!(%error, "dashboard: cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        match app.limits.connections.try_acquire_owned() {
            Ok(permit) => {
                tokio::spawn(connection(stream, router.clone(), permit));
            }
            Err(_) => {
                tokio::spawn(turn_away(stream));
            }
        }
    }
}

async fn connection(stream: TcpStream, router: axum::Router, _permit: OwnedPermit) {
    let moved = Arc::new(AtomicU64::new(0));
    let io = TokioIo::new(Watched { stream, moved: moved.clone() });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(64 * 1_024)
        .serve_connection(io, TowerToHyperService::new(router));
    tokio::select! {
        // Whatever is wrong with it is the client's affair.
        result = served => if let Err(error) = result {
            tracing::debug!(%error, "dashboard: connection ended");
        },
        () = stalled(&moved) => tracing::debug!("dashboard: connection stalled"),
    }
}

async fn stalled(moved: &AtomicU64) {
    let mut last = moved.load(Relaxed);
    loop {
        tokio::time::sleep(STALLED_AFTER).await;
        match moved.load(Relaxed) {
            same if same == last => return,
            now => last = now,
        }
    }
}

/// One too many: told so, and closed.
async fn turn_away(mut stream: TcpStream) {
    let answer = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nconnection: close\r\n\
        content-length: 30\r\ncontent-type: text/plain\r\n\r\ntoo many connections are open\n";
    let write = stream.write_all(answer);
    let _ = tokio::time::timeout(Duration::from_secs(1), write).await;
}

/// A connection that counts how often something has moved on it.
struct Watched {
    stream: TcpStream,
    // Relaxed everywhere: a number to compare, on one thread.
    moved: Arc<AtomicU64>,
}

impl Watched {
    fn count<T>(&self, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Ok(_)) = &poll {
            self.moved.fetch_add(1, Relaxed);
        }
        poll
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.count(poll)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.count(poll)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_on_which_nothing_moves_is_given_up() {
        let moved = Arc::new(AtomicU64::new(0));
        let mover = moved.clone();
        // Something every 50 s, four times.
        tokio::spawn(async move {
            for _ in 0..4 {
                tokio::time::sleep(Duration::from_secs(50)).await;
                mover.fetch_add(1, Relaxed);
            }
        });
        let start = tokio::time::Instant::now();
        stalled(&moved).await;
        let held = start.elapsed();
        assert!(held > Duration::from_secs(200), "{held:?}: given up while something moved");
        assert!(held <= Duration::from_secs(200) + STALLED_AFTER * 2, "{held:?}");
    }
}
