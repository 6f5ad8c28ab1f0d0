//! A real tonic server and channel.

mod common;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BufMut};
use common::{LONG, comes_back, until};
use grmgr::{Handle, Limiter};
use grmgr_tower::{LimitLayer, Overloaded};
use http::uri::PathAndQuery;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{NamedService, UnaryService};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request, Response, Status};
use tower::{Layer, Service, ServiceBuilder};

/// Messages that are bare bytes.
#[derive(Clone, Copy, Default)]
struct Bare;

impl Codec for Bare {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Bare {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, message: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(&message);
        Ok(())
    }
}

impl Decoder for Bare {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut message = vec![0; from.remaining()];
        from.copy_to_slice(&mut message);
        Ok(Some(message))
    }
}

/// The service `test.Echo`, which answers when it is told to.
#[derive(Clone)]
struct Echo {
    go_on: Arc<Semaphore>,
}

impl NamedService for Echo {
    const NAME: &'static str = "test.Echo";
}

impl UnaryService<Vec<u8>> for Echo {
    type Response = Vec<u8>;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Vec<u8>>, Status>> + Send>>;

    fn call(&mut self, request: Request<Vec<u8>>) -> Self::Future {
        let go_on = self.go_on.clone();
        Box::pin(async move {
            go_on.acquire().await.expect("never closed").forget();
            Ok(Response::new(request.into_inner()))
        })
    }
}

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let echo = self.clone();
        Box::pin(async move { Ok(tonic::server::Grpc::new(Bare).unary(echo, request).await) })
    }
}

async fn listener() -> (SocketAddr, TcpListenerStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    (listener.local_addr().expect("its address"), TcpListenerStream::new(listener))
}

async fn channel(address: SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("a URI");
    endpoint.connect().await.expect("the server listens")
}

async fn say<S>(service: S, text: &str) -> Result<String, Status>
where
    S: GrpcService<Body>,
    S::ResponseBody: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    <S::ResponseBody as http_body::Body>::Error: Into<grmgr_tower::BoxError>,
{
    let mut client = tonic::client::Grpc::new(service);
    client.ready().await.map_err(|error| Status::from_error(error.into()))?;
    let path = PathAndQuery::from_static("/test.Echo/Say");
    let said = client.unary(Request::new(text.as_bytes().to_vec()), path, Bare);
    let said = timeout(LONG, said).await.expect("no answer")?;
    Ok(String::from_utf8(said.into_inner()).expect("text"))
}

/// Who gets in is served, the others get RESOURCE_EXHAUSTED; a closed limiter is UNAVAILABLE.
async fn exhausts(address: SocketAddr, limiter: &Handle, go_on: &Semaphore) {
    let channel = channel(address).await;
    let first = tokio::spawn(say(channel.clone(), "one"));
    until("one is served", || limiter.in_flight() == 1).await;
    let status = say(channel.clone(), "two").await.expect_err("one is in");
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(
        status.message(),
        "limiter \"gr\u{fc}\u{df}e %41\": no permit is free; try again in 2s"
    );
    let pushback = status.metadata().get("grpc-retry-pushback-ms").expect("when to come back");
    assert_eq!(pushback, "2000");
    go_on.add_permits(2);
    assert_eq!(first.await.expect("no panic").expect("it was in"), "one");
    comes_back(limiter).await;
    assert_eq!(say(channel.clone(), "three").await.expect("free"), "three");
    comes_back(limiter).await;

    limiter.close();
    let status = say(channel, "four").await.expect_err("closed");
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.metadata().get("grpc-retry-pushback-ms").expect("never"), "-1");
    comes_back(limiter).await;
}

fn limiter() -> Handle {
    Limiter::new("grüße %41", 1).into()
}

#[tokio::test]
async fn overload_is_resource_exhausted_for_a_whole_server() {
    let (limiter, go_on) = (limiter(), Arc::new(Semaphore::new(0)));
    let layer = LimitLayer::new(limiter.clone()).shed().retry_after(Duration::from_secs(2));
    let (address, incoming) = listener().await;
    let server =
        Server::builder().layer(layer.respond()).add_service(Echo { go_on: go_on.clone() });
    tokio::spawn(server.serve_with_incoming(incoming));
    exhausts(address, &limiter, &go_on).await;
}

/// tonic finds the status in the error, on both sides.
#[tokio::test]
async fn overload_is_resource_exhausted_also_as_an_error() {
    let (limiter, go_on) = (limiter(), Arc::new(Semaphore::new(0)));
    let layer = LimitLayer::new(limiter.clone()).shed().retry_after(Duration::from_secs(2));
    let (address, incoming) = listener().await;
    let server = Server::builder().layer(layer.clone()).add_service(Echo { go_on: go_on.clone() });
    tokio::spawn(server.serve_with_incoming(incoming));
    exhausts(address, &limiter, &go_on).await;

    let client = ServiceBuilder::new().layer(layer).service(channel(address).await);
    let status = say(client, "five").await.expect_err("closed");
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("closed"), "{status}");
}

#[tokio::test]
async fn named_service_is_passed_through() {
    let (limiter, go_on) = (limiter(), Arc::new(Semaphore::new(0)));
    let layer = LimitLayer::new(limiter.clone()).shed().retry_after(Duration::from_secs(2));
    let limited = layer.respond().layer(Echo { go_on: go_on.clone() });
    fn name<S: NamedService>(_: &S) -> &'static str {
        S::NAME
    }
    assert_eq!(name(&limited), "test.Echo");
    let (address, incoming) = listener().await;
    tokio::spawn(Server::builder().add_service(limited).serve_with_incoming(incoming));
    exhausts(address, &limiter, &go_on).await;
}

#[tokio::test]
async fn call_that_is_cancelled_gives_its_permit_back() {
    let (limiter, go_on) = (limiter(), Arc::new(Semaphore::new(0)));
    let layer = LimitLayer::new(limiter.clone()).respond();
    let (address, incoming) = listener().await;
    let server = Server::builder().layer(layer).add_service(Echo { go_on: go_on.clone() });
    tokio::spawn(server.serve_with_incoming(incoming));
    let channel = channel(address).await;
    let first = tokio::spawn(say(channel.clone(), "one"));
    until("one is served", || limiter.in_flight() == 1).await;
    let second = tokio::spawn(say(channel.clone(), "two"));
    until("one waits", || limiter.waiting() == 1).await;
    first.abort();
    until("the second is served", || (limiter.in_flight(), limiter.waiting()) == (1, 0)).await;
    second.abort();
    comes_back(&limiter).await;
    // The connection is still there.
    go_on.add_permits(1);
    assert_eq!(say(channel, "three").await.expect("free"), "three");
}

#[tokio::test]
async fn channel_under_a_limit_answers_in_the_same_way() {
    let (limiter, go_on) = (limiter(), Arc::new(Semaphore::new(0)));
    let (address, incoming) = listener().await;
    let server = Server::builder().add_service(Echo { go_on: go_on.clone() });
    tokio::spawn(server.serve_with_incoming(incoming));

    let layer = LimitLayer::new(limiter.clone()).shed();
    let client = ServiceBuilder::new().layer(layer.respond()).service(channel(address).await);
    let first = tokio::spawn(say(client.clone(), "one"));
    until("one is served", || limiter.in_flight() == 1).await;
    let status = say(client.clone(), "two").await.expect_err("one is in");
    assert_eq!(status.code(), Code::ResourceExhausted);
    go_on.add_permits(1);
    assert_eq!(first.await.expect("no panic").expect("it was in"), "one");
    comes_back(&limiter).await;
}

#[test]
fn http_and_grpc_are_told_apart_on_one_service() {
    #[derive(Clone)]
    struct Never;
    impl Service<http::Request<Body>> for Never {
        type Response = http::Response<Body>;
        type Error = Infallible;
        type Future = Ready<Result<Self::Response, Infallible>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }
        fn call(&mut self, _: http::Request<Body>) -> Self::Future {
            ready(Ok(http::Response::default()))
        }
    }
    let limiter = limiter();
    let _held = limiter.try_acquire().expect("one is free");
    let answer = |overloaded: &Overloaded| overloaded.response();
    let service = LimitLayer::new(limiter.clone()).shed().respond_with(answer).layer(Never);
    let ask = |content: &str| {
        let request = http::Request::post("/").header("content-type", content);
        let request = request.body(Body::default()).expect("a request");
        let answer = smol::block_on(tower::ServiceExt::oneshot(service.clone(), request));
        let answer = answer.expect("never fails");
        (answer.status().as_u16(), answer.headers().get("grpc-status").cloned())
    };
    assert_eq!(ask("application/grpc+proto"), (200, Some("8".parse().expect("a value"))));
    assert_eq!(ask("application/json"), (503, None));
}
