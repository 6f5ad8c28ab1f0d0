//! Requests that get no permit: how long they wait, and what they are told.

mod common;

use std::convert::Infallible;
use std::future::{pending, ready};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::Router;
use axum::error_handling::HandleErrorLayer;
use axum::routing::get as route;
use bytes::Bytes;
use common::{Client, LONG, comes_back, get, outcome, serve, until};
use grmgr::{Handle, Limiter};
use grmgr_tower::{BoxError, LimitLayer, Overloaded, Reason};
use http::header::RETRY_AFTER;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};

fn overloaded(error: &BoxError) -> &Overloaded {
    error.downcast_ref().unwrap_or_else(|| panic!("another error: {error}"))
}

#[tokio::test(start_paused = true)]
async fn request_waits_its_time_and_no_longer() {
    let limiter = Handle::from(Limiter::new("db", 1));
    let held = limiter.try_acquire_owned().expect("one is free");
    let limit = Duration::from_millis(300);
    let layer = LimitLayer::new(limiter.clone()).queue_for(limit);
    let service = layer.layer(service_fn(|_: ()| ready(Ok::<_, Infallible>("row"))));

    let began = Instant::now();
    let waits = timeout(LONG, outcome(service.clone(), ())).await.expect("it waits for ever");
    let error = waits.expect_err("none came free");
    assert_eq!(began.elapsed().as_millis(), 300);
    let error = overloaded(&error);
    assert_eq!(error.reason(), &Reason::TimedOut { after: limit });
    assert_eq!(error.limiter(), Some(&limiter));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(1)));
    assert_eq!(
        error.to_string(),
        "limiter \"db\": no permit came free within 300ms; try again in 1s"
    );
    assert_eq!(limiter.waiting(), 0);

    // One that gets its permit in time has all the time it wants.
    let work = service_fn(async |_: ()| {
        tokio::time::sleep(limit * 10).await;
        Ok::<_, Infallible>("row")
    });
    let mut waits = pin!(layer.layer(work).oneshot(()));
    assert!(timeout(limit - Duration::from_millis(1), &mut waits).await.is_err());
    drop(held);
    assert_eq!(waits.await.expect("in time"), "row");
    comes_back(&limiter).await;
}

#[tokio::test(start_paused = true)]
async fn permit_that_comes_at_the_last_moment_is_used_or_given_back() {
    for order in 0..2 {
        let limiter = Handle::from(Limiter::new("db", 1));
        let held = limiter.try_acquire_owned().expect("one is free");
        let layer = LimitLayer::new(limiter.clone()).queue_for(Duration::from_millis(100));
        let service = layer.layer(service_fn(|_: ()| ready(Ok::<_, Infallible>(()))));
        let request = tokio::spawn(service.oneshot(()));
        until("it waits", || limiter.waiting() == 1).await;
        if order == 0 {
            drop(held);
            tokio::time::advance(Duration::from_secs(1)).await;
            assert!(request.await.expect("no panic").is_ok(), "it had its permit");
        } else {
            tokio::time::advance(Duration::from_secs(1)).await;
            drop(held);
            drop(request.await.expect("no panic"));
        }
        comes_back(&limiter).await;
    }
}

/// A task whose requests never wait does not starve a waiter that has been called: after some of them
/// one gives way, as an `acquire` does.
#[test]
fn requests_give_way_to_a_waiter_that_has_been_called() {
    let strict = Limiter::builder("db").ceiling(1).patience(1).build().expect("it makes sense");
    let limiter = Handle::from(strict);
    let layers = [
        LimitLayer::new(limiter.clone()),
        LimitLayer::new(limiter.clone()).queue_for_with(Duration::MAX, |_| pending()),
    ];
    for layer in layers {
        let held = limiter.try_acquire().expect("free");
        let mut cx = Context::from_waker(Waker::noop());
        let mut head = Box::pin(limiter.acquire());
        assert!(head.as_mut().poll(&mut cx).is_pending());
        drop(held);
        let service = layer.layer(service_fn(|_: ()| ready(Ok::<_, Infallible>(()))));
        let (mut overtakes, mut gives_way) = (0, Box::pin(service.clone().oneshot(())));
        while gives_way.as_mut().poll(&mut cx).is_ready() {
            overtakes += 1;
            assert!(overtakes < 32, "none gives way");
            gives_way = Box::pin(service.clone().oneshot(()));
        }
        let Poll::Ready(permit) = head.as_mut().poll(&mut cx) else { panic!("it is its turn") };
        drop(permit);
        assert!(gives_way.as_mut().poll(&mut cx).is_ready());
    }
}

/// In seconds to HTTP, in milliseconds to gRPC, and never sooner than it was set.
#[test]
fn time_to_come_back_is_rounded_up_and_may_be_any() {
    static BUSY: Limiter = Limiter::const_new("busy", 1);
    let _held = BUSY.try_acquire().expect("free");
    let times = [
        (Duration::ZERO, "0", "0"),
        (Duration::from_nanos(1), "1", "1"),
        (Duration::MAX, "18446744073709551615", "2147483647"),
    ];
    for (after, seconds, milliseconds) in times {
        let inner =
            service_fn(|_: Request<()>| ready(Ok::<_, Infallible>(Response::new(String::new()))));
        let service = LimitLayer::new(&BUSY).shed().retry_after(after).respond().layer(inner);
        let answer = |kind: &str| {
            let request = Request::builder().header("content-type", kind).body(());
            smol::block_on(service.clone().oneshot(request.expect("a request"))).expect("an answer")
        };
        assert_eq!(answer("text/plain").headers()[RETRY_AFTER], seconds);
        assert_eq!(answer("application/grpc").headers()["grpc-retry-pushback-ms"], milliseconds);
    }
}

#[test]
fn timer_can_be_exchanged_and_is_made_only_for_a_wait() {
    let limiter = Handle::from(Limiter::new("db", 1));
    let made = Arc::new(AtomicUsize::new(0));
    let counted = made.clone();
    let layer = LimitLayer::new(limiter.clone()).queue_for_with(Duration::ZERO, move |limit| {
        counted.fetch_add(1, SeqCst);
        async move {
            let _ = smol::Timer::after(limit).await;
        }
    });
    let service = layer.layer(service_fn(|_: ()| ready(Ok::<_, Infallible>(()))));
    smol::block_on(service.clone().oneshot(())).expect("free");
    assert_eq!(made.load(SeqCst), 0);
    let _held = limiter.try_acquire().expect("free again");
    let error = smol::block_on(service.oneshot(())).expect_err("held");
    assert_eq!(overloaded(&error).reason(), &Reason::TimedOut { after: Duration::ZERO });
    assert_eq!(made.load(SeqCst), 1);
}

/// A server whose handler waits until it is told to go on.
async fn stuck(layer: impl FnOnce(Router) -> Router) -> (std::net::SocketAddr, Arc<Semaphore>) {
    let go_on = Arc::new(Semaphore::new(0));
    let waits = go_on.clone();
    let app = Router::new().route(
        "/",
        route(async move || {
            waits.acquire().await.expect("never closed").forget();
            "served"
        }),
    );
    (serve(layer(app)).await, go_on)
}

#[tokio::test]
async fn queue_or_reject_with_a_time_limit_and_a_proper_answer() {
    let limiter: Handle =
        Limiter::builder("api").ceiling(1).max_waiting(2).build().expect("it makes sense").into();
    let layer = LimitLayer::new(limiter.clone())
        .queue_for(LONG)
        .retry_after(Duration::from_millis(2_500))
        .respond();
    let (address, go_on) = stuck(|app| app.layer(layer)).await;
    let served: Vec<_> = (0..3).map(|_| tokio::spawn(get(address, "/"))).collect();
    until("one is served and two wait", || (limiter.in_flight(), limiter.waiting()) == (1, 2))
        .await;

    // The fourth finds the line full.
    let mut client = Client::connect(address).await;
    let answer = client.get("/").await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers()[RETRY_AFTER], "3");
    drop(answer);
    drop(client);
    let (_, text) = get(address, "/").await;
    assert_eq!(text, "limiter \"api\": 2 requests wait already; try again in 2.5s");

    go_on.add_permits(3);
    for request in served {
        assert_eq!(request.await.expect("no panic"), (200, "served".into()));
    }
    comes_back(&limiter).await;
}

#[tokio::test]
async fn time_limit_is_answered_503_over_a_socket() {
    let limiter = Handle::from(Limiter::new("api", 1));
    let layer = LimitLayer::new(limiter.clone()).queue_for(Duration::from_millis(20)).respond();
    let (address, go_on) = stuck(|app| app.layer(layer)).await;
    let first = tokio::spawn(get(address, "/"));
    until("one is served", || limiter.in_flight() == 1).await;
    let (status, text) = get(address, "/").await;
    assert_eq!(status, 503);
    assert!(text.contains("within 20ms"), "{text}");
    go_on.add_permits(1);
    assert_eq!(first.await.expect("no panic").0, 200);
    comes_back(&limiter).await;
}

#[tokio::test]
async fn answer_is_of_the_users_choice() {
    let limiter = Handle::from(Limiter::new("api", 1));
    let _held = limiter.try_acquire().expect("one is free");
    let layer = LimitLayer::new(limiter.clone()).shed().respond_with(|overloaded: &Overloaded| {
        let name = overloaded.limiter().expect("chosen").name().to_owned();
        let mut response = Response::new(Bytes::from(format!("{name} is busy")));
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        response
    });
    let address = serve(Router::new().route("/", route(async || "")).layer(layer)).await;
    assert_eq!(get(address, "/").await, (429, "api is busy".into()));
}

#[tokio::test]
async fn hyper_without_a_framework_is_limited_alike() {
    let limiter = Handle::from(Limiter::new("api", 1));
    let service = service_fn(|_: Request<Incoming>| {
        ready(Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("served")))))
    });
    let service = LimitLayer::new(limiter.clone()).shed().respond().layer(service);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(client), service));
        }
    });
    let mut client = Client::connect(address).await;
    assert_eq!(client.text("/").await, (200, "served".into()));
    let held = limiter.try_acquire_owned().expect("it is back");
    assert_eq!(client.text("/").await.0, 503);
    drop(held);
    assert_eq!(client.text("/").await.0, 200);
    drop(client);
    comes_back(&limiter).await;
}

#[tokio::test]
async fn error_can_be_handled_by_axum() {
    let limiter = Handle::from(Limiter::new("api", 1));
    let _held = limiter.try_acquire().expect("one is free");
    let handled = HandleErrorLayer::new(async |error: BoxError| {
        (StatusCode::IM_A_TEAPOT, overloaded(&error).reason().to_string())
    });
    let layers =
        ServiceBuilder::new().layer(handled).layer(LimitLayer::new(limiter.clone()).shed());
    let address = serve(Router::new().route("/", route(async || "")).layer(layers)).await;
    assert_eq!(get(address, "/").await, (418, "no permit is free".into()));
}

#[tokio::test]
async fn layers_of_tower_go_around_and_inside() {
    let limiter = Handle::from(Limiter::new("api", 1));
    let held = limiter.try_acquire_owned().expect("one is free");
    let service = ServiceBuilder::new()
        .buffer(8)
        .timeout(LONG)
        .layer(LimitLayer::new(limiter.clone()).shed())
        .timeout(LONG)
        .service(service_fn(|_: ()| ready(Ok::<_, std::io::Error>("row"))));
    let error = outcome(service.clone(), ()).await.expect_err("busy");
    assert_eq!(overloaded(&error).reason(), &Reason::Busy);
    drop(held);
    assert_eq!(outcome(service, ()).await.expect("free"), "row");
    comes_back(&limiter).await;
}

#[tokio::test]
async fn weight_of_nothing_needs_no_permit() {
    let limiter = Handle::from(Limiter::new("memory", 4));
    let layer = LimitLayer::new(limiter.clone()).weight(|n: &usize| *n);
    let service = layer.layer(service_fn(|_: usize| ready(Ok::<_, Infallible>(()))));
    let _all = limiter.try_acquire_many(4).expect("all are free");
    outcome(service.clone(), 0).await.expect("it needs none");
    limiter.close();
    let error = outcome(service, 0).await.expect_err("closed");
    assert_eq!(overloaded(&error).reason(), &Reason::Closed);
    assert_eq!(limiter.in_flight(), 4);
}

#[tokio::test]
async fn weight_is_that_many_permits() {
    let limiter = Handle::from(Limiter::new("memory", 4));
    let layer = LimitLayer::new(limiter.clone()).shed().weight(|n: &usize| *n);
    let work = layer.layer(service_fn(|_: usize| pending::<Result<(), Infallible>>()));
    let three = polled_once(work.clone().oneshot(3));
    assert_eq!(limiter.in_flight(), 3);
    let error = outcome(work, 2).await.expect_err("one is left");
    assert_eq!(overloaded(&error).reason(), &Reason::Busy);
    drop(three);
    assert_eq!(limiter.in_flight(), 0);
}

/// The future after one poll, which did not end it.
fn polled_once<F: Future>(future: F) -> Pin<Box<F>> {
    let mut future = Box::pin(future);
    assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    future
}

#[tokio::test]
async fn weight_above_max_is_answered_at_once_and_without_a_time_to_retry() {
    let limiter = Handle::from(Limiter::new("memory", 4));
    let weight = |request: &Request<_>| request.uri().path().len();
    let layer = LimitLayer::new(limiter.clone()).weight(weight).queue_for(LONG).respond();
    let app = Router::new().fallback(async || "served");
    let address = serve(app.layer(layer)).await;
    let mut client = Client::connect(address).await;
    assert_eq!(client.text("/abc").await.0, 200);
    let answer = client.get("/abcd").await;
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert!(!answer.headers().contains_key(RETRY_AFTER));
    drop(client);
    comes_back(&limiter).await;
}

#[tokio::test]
async fn weight_function_that_panics_is_answered_500() {
    let limiter = Handle::from(Limiter::new("memory", 4));
    let weight = |request: &Request<_>| {
        let header = request.headers().get("x-weight").expect("the header is not there");
        header.len()
    };
    let layer = LimitLayer::new(limiter.clone()).weight(weight).respond();
    let address = serve(Router::new().route("/", route(async || "")).layer(layer)).await;
    let mut client = Client::connect(address).await;
    for _ in 0..2 {
        // On the same connection, so it is still there.
        let (status, text) = client.text("/").await;
        assert_eq!(status, 500);
        assert_eq!(text, "the function that chooses its limiter, weight or label has panicked");
    }
    comes_back(&limiter).await;
}

#[tokio::test]
async fn limiter_closed_under_load_answers_those_in_line_and_ends_no_work() {
    let limiter = Handle::from(Limiter::new("api", 2));
    let layer = LimitLayer::new(limiter.clone()).queue_for(LONG).respond();
    let (address, go_on) = stuck(|app| app.layer(layer)).await;
    let requests: Vec<_> = (0..8).map(|_| tokio::spawn(get(address, "/"))).collect();
    until("two are served and six wait", || (limiter.in_flight(), limiter.waiting()) == (2, 6))
        .await;
    limiter.close();
    until("nobody waits", || limiter.waiting() == 0).await;
    assert_eq!(limiter.in_flight(), 2);
    go_on.add_permits(2);
    let mut statuses = Vec::new();
    for request in requests {
        let (status, text) = request.await.expect("no panic");
        assert!(status == 200 || text.contains("closed"), "{text}");
        statuses.push(status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 503, 503, 503, 503, 503, 503]);
    assert_eq!(get(address, "/").await.0, 503, "newcomers, too");
    comes_back(&limiter).await;
}
