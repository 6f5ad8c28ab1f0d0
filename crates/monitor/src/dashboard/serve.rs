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
    /// A connection on which nothing moves for so long is closed. An event stream moves at every
    /// sample, unless its client does not read.
    stalled_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: Arc::new(Limiter::new("connections", 256)),
            streams: Arc::new(Limiter::new("event streams", 64)),
            stalled_after: Duration::from_secs(60),
        }
    }
}

/// A request's head has to be there by then, and the next one's after the last answer.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// Serves until `stop` is dropped. Connections that are open then are closed.
pub(crate) async fn serve(listener: TcpListener, app: Arc<App>, mut stop: oneshot::Receiver<()>) {
    let router = api::router(app.clone());
    let mut told = false;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut stop => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => {
                told = false;
                stream
            }
            Err(error) => {
                // Out of file descriptors, most likely: those are the program's, too. Said once,
                // until it can again.
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(%error, "dashboard: cannot accept connections");
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        match app.limits.connections.try_acquire_owned() {
            Ok(permit) => {
                let stalled_after = app.limits.stalled_after;
                tokio::spawn(connection(stream, router.clone(), stalled_after, permit));
            }
            Err(_) => {
                tokio::spawn(turn_away(stream));
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    router: axum::Router,
    stalled_after: Duration,
    _permit: OwnedPermit,
) {
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
        () = stalled(&moved, stalled_after) => tracing::debug!("dashboard: connection stalled"),
    }
}

async fn stalled(moved: &AtomicU64, after: Duration) {
    let mut last = moved.load(Relaxed);
    loop {
        tokio::time::sleep(after).await;
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
        const AFTER: Duration = Duration::from_secs(60);
        stalled(&moved, AFTER).await;
        let held = start.elapsed();
        assert!(held > Duration::from_secs(200), "{held:?}: given up while something moved");
        assert!(held <= Duration::from_secs(200) + AFTER * 2, "{held:?}");
    }

    /// Real sockets: what a client does not read fills them, and then its connection and its place
    /// among the streams are free again.
    #[test]
    fn a_client_that_never_reads_is_given_up_and_one_that_reads_is_not() {
        use crate::dashboard::guard::Guard;
        use crate::engine::Engine;
        use crate::moment::Moment;
        use crate::sampler::Sampler;
        use std::io::{Read, Write};
        use std::time::Instant;

        let registry = Arc::new(grmgr::Registry::new());
        for i in 0..200 {
            registry.register(Limiter::new(format!("limiter {i}"), 5)).unwrap();
        }
        let sampler = Sampler::new(registry.clone().into());
        let engine = Arc::new(Engine::new(sampler, Duration::from_secs(10)));
        let limits = Limits { stalled_after: Duration::from_secs(2), ..Limits::default() };
        let guard = Guard::new(None, Vec::new());
        let app = App { engine: engine.clone(), source: registry.into(), guard, limits };
        let app = Arc::new(app);
        let (stop, stopped) = oneshot::channel();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let served = app.clone();
        let server = std::thread::spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.enable_all().build().unwrap().block_on(async {
                serve(TcpListener::from_std(listener).unwrap(), served, stopped).await;
            });
        });
        let subscribe = || {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            write!(stream, "GET /api/events HTTP/1.0\r\nhost: {address}\r\n\r\n").unwrap();
            stream
        };
        let (_deaf, mut reader) = (subscribe(), subscribe());
        let mut buffer = vec![0; 1 << 20];
        let start = Instant::now();
        let mut both = false;
        let open = || (app.limits.connections.in_flight(), app.limits.streams.in_flight());
        // A sample, and what it brings is read, again and again. The stream ends before its connection.
        while !(both && open() == (1, 1)) {
            both |= open() == (2, 2);
            engine.tick(Moment::since(engine.start));
            assert!(reader.read(&mut buffer).unwrap() > 0, "the one that reads is cut off");
            assert!(start.elapsed() < Duration::from_secs(60), "still there");
        }
        drop(stop);
        server.join().unwrap();
    }
}
