//! Taking connections, within bounds.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Extension;
use grmgr::{Limiter, OwnedPermit, Registry};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::{App, api};

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// How much is served at once: of all clients together, and of each address, so that no single one
/// keeps the others out. Not in any registry that is watched: what the program sees is its own.
#[derive(Debug)]
pub(crate) struct Limits {
    connections: Bound,
    streams: Bound,
    /// A connection on which nothing moves for so long is closed. An event stream moves at every
    /// sample, unless its client does not read.
    stalled_after: Duration,
}

#[derive(Debug)]
struct Bound {
    all: Arc<Limiter>,
    /// A limiter an address, as long as it has any.
    peers: Registry,
    each: usize,
}

/// A place among all, and one among those of an address.
pub(crate) type Place = (OwnedPermit, OwnedPermit);

impl Bound {
    fn new(all: usize, each: usize) -> Self {
        Self { all: Arc::new(Limiter::new("all", all)), peers: Registry::new(), each }
    }

    fn take(&self, Peer(address): Peer) -> Option<Place> {
        let name = address.to_string();
        // Those that have nothing open are not remembered.
        if self.peers.len() > self.all.ceiling() {
            self.peers.remove_idle();
        }
        let peer = self.peers.get_or_register_with(&name, || Limiter::new(name.clone(), self.each));
        let own = peer.try_acquire_owned().ok()?;
        Some((self.all.try_acquire_owned().ok()?, own))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: Bound::new(256, 64),
            streams: Bound::new(64, 16),
            stalled_after: Duration::from_secs(30),
        }
    }
}

impl Limits {
    /// A place for an event stream, if there is one.
    pub(crate) fn stream(&self, peer: Peer) -> Option<Place> {
        self.streams.take(peer)
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
        let (stream, peer) = match accepted {
            Ok((stream, address)) => {
                told = false;
                // One that listens for both kinds of addresses sees the old kind in the new one.
                (stream, Peer(address.ip().to_canonical()))
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
        match app.limits.connections.take(peer) {
            Some(place) => {
                let stalled_after = app.limits.stalled_after;
                let router = router.clone().layer(Extension(peer));
                tokio::spawn(connection(stream, router, stalled_after, place));
            }
            None => {
                tokio::spawn(turn_away(stream));
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    router: axum::Router,
    stalled_after: Duration,
    _place: Place,
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

/// Returns when nothing has moved for so long, or at most a quarter longer.
async fn stalled(moved: &AtomicU64, after: Duration) {
    let (mut last, mut quiet) = (moved.load(Relaxed), 0);
    while quiet < 5 {
        tokio::time::sleep(after / 4).await;
        match moved.load(Relaxed) {
            same if same == last => quiet += 1,
            now => (last, quiet) = (now, 0),
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

    #[test]
    fn one_address_leaves_room_for_others_and_is_forgotten() {
        let bound = Bound::new(6, 4);
        let peer = |last| Peer(IpAddr::from([192, 0, 2, last]));
        let mut greedy: Vec<_> = (0..10).map_while(|_| bound.take(peer(1))).collect();
        assert_eq!(greedy.len(), 4);
        let others: Vec<_> = (2..9).map_while(|last| bound.take(peer(last))).collect();
        assert_eq!(others.len(), 2, "all together have six");
        greedy.pop();
        assert!(bound.take(peer(1)).is_some());
        drop((greedy, others));
        for last in 0..200 {
            drop(bound.take(peer(last)));
        }
        assert!(bound.peers.len() <= 8, "{}", bound.peers.len());
    }

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
        assert!(held <= Duration::from_secs(200) + AFTER * 3 / 2, "{held:?}");
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
        let guard = Guard::new(None, false, Vec::new());
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
        let open = || (app.limits.connections.all.in_flight(), app.limits.streams.all.in_flight());
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
