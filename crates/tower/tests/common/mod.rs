//! A server and clients over real sockets.

#![allow(dead_code, unreachable_pub, reason = "each file of tests uses a part of it")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use grmgr::Limiter;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tower::{Service, ServiceExt};

/// What never takes so long.
pub const LONG: Duration = Duration::from_secs(60);

/// Serves `app` and says where.
pub async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// A client with a connection of its own, which is closed when it is dropped.
pub struct Client {
    sender: SendRequest<Empty<Bytes>>,
    connection: JoinHandle<()>,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).await.expect("the server listens");
        let (sender, connection) = handshake(TokioIo::new(socket)).await.expect("HTTP/1");
        let connection = tokio::spawn(async move { drop(connection.await) });
        Self { sender, connection }
    }

    pub async fn send(&mut self, request: Request<Empty<Bytes>>) -> Response<Incoming> {
        self.sender.ready().await.expect("open");
        let answer = timeout(LONG, self.sender.send_request(request)).await;
        answer.expect("no answer").expect("an answer")
    }

    pub async fn get(&mut self, path: &str) -> Response<Incoming> {
        let request = Request::get(path).header("host", "here").body(Empty::new());
        self.send(request.expect("a request")).await
    }

    /// The status and the text of the answer.
    pub async fn text(&mut self, path: &str) -> (u16, String) {
        let response = self.get(path).await;
        let status = response.status().as_u16();
        let body = timeout(LONG, response.into_body().collect()).await.expect("it does not end");
        let body = body.expect("a body").to_bytes();
        (status, String::from_utf8(body.to_vec()).expect("text"))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Asks from a connection of its own.
pub async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    Client::connect(address).await.text(path).await
}

/// What becomes of a request. One that is never answered fails.
pub async fn outcome<S, R>(service: S, request: R) -> Result<S::Response, S::Error>
where
    S: Service<R>,
{
    timeout(LONG, service.oneshot(request)).await.expect("no answer")
}

/// Looks until it is so. What happens on a socket cannot be driven by hand.
pub async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !so() {
        assert!(Instant::now() < end, "not so after {LONG:?}: {what}");
        sleep(Duration::from_millis(1)).await;
    }
}

/// Everything comes back, and nobody is left in line.
pub async fn comes_back(limiter: &Limiter) {
    timeout(LONG, limiter.wait()).await.unwrap_or_else(|_| panic!("{limiter:?} is not idle"));
    assert_eq!((limiter.in_flight(), limiter.waiting()), (0, 0));
}

/// Counts what is there at once.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Gauge {
    pub fn enter(&self) -> Inside {
        let now = self.0.now.fetch_add(1, SeqCst) + 1;
        self.0.most.fetch_max(now, SeqCst);
        Inside(self.clone())
    }

    pub fn now(&self) -> usize {
        self.0.now.load(SeqCst)
    }

    pub fn most(&self) -> usize {
        self.0.most.load(SeqCst)
    }
}

pub struct Inside(Gauge);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.0.now.fetch_sub(1, SeqCst);
    }
}

/// A body in two pieces, the second of which comes after `pause`.
pub fn slow_body(bodies: &Gauge, pause: Duration) -> Body {
    let inside = bodies.enter();
    Body::from_stream(stream::unfold((inside, 0), move |(inside, piece)| async move {
        if piece == 1 {
            sleep(pause).await;
        }
        (piece < 2).then(|| (Ok::<_, std::io::Error>("piece "), (inside, piece + 1)))
    }))
}

/// A body that sends one piece and then nothing, and never ends.
pub fn endless_body(bodies: &Gauge) -> Body {
    let inside = bodies.enter();
    Body::from_stream(stream::unfold((inside, false), async |(inside, sent)| {
        if sent {
            std::future::pending::<()>().await;
        }
        Some((Ok::<_, std::io::Error>("piece"), (inside, true)))
    }))
}

/// A body of many pieces, as fast as they are taken.
pub fn large_body(bodies: &Gauge) -> Body {
    let inside = bodies.enter();
    Body::from_stream(stream::unfold((inside, 0), async |(inside, piece)| {
        let next = Bytes::from_static(&[b'x'; 64 * 1024]);
        (piece < 1_000).then(|| (Ok::<_, std::io::Error>(next), (inside, piece + 1)))
    }))
}
