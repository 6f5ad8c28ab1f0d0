//! When a permit is held, and when it is given back.

mod common;

use std::convert::Infallible;
use std::future::{pending, poll_fn, ready};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get as route;
use bytes::Bytes;
use common::{Client, Gauge, comes_back, get, outcome, serve, slow_body, until};
use futures_util::future::join_all;
use futures_util::stream;
use grmgr::{Handle, Limiter};
use grmgr_tower::{LimitLayer, Until};
use http::{Request, Response};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt as _, Full, StreamBody};
use tokio::sync::Semaphore;
use tower::limit::{ConcurrencyLimit, GlobalConcurrencyLimitLayer};
use tower::load_shed::LoadShed;
use tower::{Layer, Service, ServiceExt, service_fn};

fn cx() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

fn handle(ceiling: usize) -> Handle {
    Limiter::new("test", ceiling).into()
}

#[test]
fn ready_service_holds_nothing_and_stands_in_no_line() {
    let limiter = handle(1);
    let layer = LimitLayer::new(limiter.clone());
    let answer = service_fn(|_: ()| ready(Ok::<_, Infallible>(())));
    let mut services = [(); 10].map(|()| layer.layer(answer));
    for service in &mut services {
        assert!(Service::<()>::poll_ready(service, &mut cx()).is_ready());
    }
    assert_eq!((limiter.in_flight(), limiter.waiting()), (0, 0));

    // What is there elsewhere: the first takes the permit, and the others are not ready.
    let permits = Arc::new(Semaphore::new(1));
    let theirs = || ConcurrencyLimit::with_semaphore(answer, permits.clone());
    let (mut first, mut second) = (theirs(), theirs());
    assert!(first.poll_ready(&mut cx()).is_ready());
    assert!(second.poll_ready(&mut cx()).is_pending());
    assert_eq!(permits.available_permits(), 0);
}

#[test]
fn shed_request_leaves_nothing_in_line_that_swallows_a_permit() {
    let limiter = handle(1);
    let answer = service_fn(|_: ()| ready(Ok::<_, Infallible>(())));
    let mut service = LimitLayer::new(limiter.clone()).shed().layer(answer);
    let held = limiter.try_acquire_owned().expect("one is free");
    assert!(service.poll_ready(&mut cx()).is_ready());
    let turned_away = pin!(service.call(())).poll(&mut cx());
    assert!(matches!(turned_away, Poll::Ready(Err(_))));
    drop(held);
    assert_eq!((limiter.in_flight(), limiter.waiting()), (0, 0));
    assert!(limiter.try_acquire().is_ok(), "nobody swallowed it");

    // What is there elsewhere: the service that shed has a waiter, to which the permit goes.
    let permits = Arc::new(Semaphore::new(1));
    let mut theirs = LoadShed::new(ConcurrencyLimit::with_semaphore(answer, permits.clone()));
    let held = permits.clone().try_acquire_owned().expect("one is free");
    assert!(theirs.poll_ready(&mut cx()).is_ready());
    assert!(matches!(pin!(theirs.call(())).poll(&mut cx()), Poll::Ready(Err(_))));
    drop(held);
    assert!(permits.try_acquire().is_err(), "swallowed");
}

#[tokio::test]
async fn hundred_idle_keep_alive_connections_hold_nothing() {
    let limiter = handle(4);
    let app = Router::new().route("/", route(async || "here"));
    let address = serve(app.layer(LimitLayer::new(limiter.clone()).respond())).await;
    let mut clients = Vec::new();
    for _ in 0..100 {
        let mut client = Client::connect(address).await;
        assert_eq!(client.text("/").await, (200, "here".into()));
        clients.push(client);
    }
    comes_back(&limiter).await;
    assert_eq!(get(address, "/").await.0, 200, "a newcomer is served");
    // They are all still open.
    for client in &mut clients {
        assert_eq!(client.text("/").await.0, 200);
    }
    comes_back(&limiter).await;
}

const PAUSE: Duration = Duration::from_millis(500);

/// Ten clients at once read bodies that take 500 ms: how many of these were there at once.
async fn most_bodies(limited: impl FnOnce(Router) -> Router) -> usize {
    let bodies = Gauge::default();
    let counted = bodies.clone();
    let app = Router::new().route("/", route(async move || slow_body(&counted, PAUSE)));
    let address = serve(limited(app)).await;
    for answer in join_all((0..10).map(|_| get(address, "/"))).await {
        assert_eq!(answer, (200, "piece piece ".into()));
    }
    bodies.most()
}

#[tokio::test]
async fn permit_is_held_until_the_body_ends() {
    let limiter = handle(4);
    let layer = LimitLayer::new(limiter.clone()).hold(Until::Body).respond();
    assert_eq!(most_bodies(|app| app.layer(layer)).await, 4);
    comes_back(&limiter).await;
    // What is there elsewhere: the same ceiling lets all of them stream at once.
    assert_eq!(most_bodies(|app| app.layer(GlobalConcurrencyLimitLayer::new(4))).await, 10);
}

#[tokio::test]
async fn until_response_streams_without_a_permit() {
    let limiter = handle(4);
    let layer = LimitLayer::new(limiter.clone()).hold(Until::Response).respond();
    assert_eq!(most_bodies(|app| app.layer(layer)).await, 10);
    comes_back(&limiter).await;
}

#[test]
fn finished_future_that_is_kept_holds_nothing() {
    let limiter = handle(1);
    let service = LimitLayer::new(limiter.clone())
        .layer(service_fn(|outcome: Result<(), String>| ready(outcome)));
    let mut services = [service.clone(), service];
    for (service, outcome) in services.iter_mut().zip([Ok(()), Err("no".to_owned())]) {
        assert!(service.poll_ready(&mut cx()).is_ready());
        let mut future = Box::pin(service.call(outcome));
        assert!(future.as_mut().poll(&mut cx()).is_ready());
        assert_eq!(limiter.in_flight(), 0, "the future is still there");
        drop(future);
    }
}

/// A body that ends as it is told to, and is kept afterwards.
struct Pieces(Vec<Result<&'static str, Infallible>>, bool);

impl http_body::Body for Pieces {
    type Data = bytes::Bytes;
    type Error = String;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, String>>> {
        let fails = self.1;
        Poll::Ready(match self.0.pop() {
            Some(Ok(piece)) => Some(Ok(Frame::data(piece.into()))),
            None if fails => Some(Err("broken off".into())),
            None => None,
        })
    }
}

#[tokio::test]
async fn ended_body_that_is_kept_holds_nothing() {
    for fails in [false, true] {
        let limiter = handle(1);
        let answer = service_fn(move |_: Request<()>| {
            ready(Ok::<_, Infallible>(Response::new(Pieces(vec![Ok("a"), Ok("b")], fails))))
        });
        let service = LimitLayer::new(limiter.clone()).respond().layer(answer);
        let response = outcome(service, Request::new(())).await.expect("never fails");
        let mut body = pin!(response.into_body());
        for _ in 0..2 {
            assert!(poll_fn(|cx| body.as_mut().poll_frame(cx)).await.is_some());
            assert_eq!(limiter.in_flight(), 1);
        }
        let end = poll_fn(|cx| body.as_mut().poll_frame(cx)).await;
        assert_eq!(end.is_some_and(|frame| frame.is_err()), fails);
        assert_eq!(limiter.in_flight(), 0, "the body is still there");
        assert!(body.is_end_stream());
    }
}

#[tokio::test]
async fn body_of_known_length_gives_it_back_with_its_last_piece() {
    let limiter = handle(1);
    let answer = service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(Response::new(Body::from("all of it"))))
    });
    let service = LimitLayer::new(limiter.clone()).respond().layer(answer);
    let response = outcome(service, Request::new(())).await.expect("never fails");
    let mut body = pin!(response.into_body());
    assert_eq!(body.size_hint().exact(), Some(9));
    assert_eq!(limiter.in_flight(), 1);
    assert!(poll_fn(|cx| body.as_mut().poll_frame(cx)).await.is_some());
    assert_eq!(limiter.in_flight(), 0);
}

#[tokio::test]
async fn empty_body_carries_nothing() {
    let limiter = handle(1);
    let answer =
        service_fn(|_: Request<()>| ready(Ok::<_, Infallible>(Response::new(Body::empty()))));
    let service = LimitLayer::new(limiter.clone()).respond().layer(answer);
    let response = outcome(service, Request::new(())).await.expect("never fails");
    assert_eq!(limiter.in_flight(), 0);
    drop(response);
}

#[tokio::test]
async fn clones_and_layers_share_one_ceiling() {
    let limiter = handle(2);
    let layer = LimitLayer::new(limiter.clone());
    let inside = Gauge::default();
    let counted = inside.clone();
    let work = service_fn(move |_: ()| {
        let counted = counted.clone();
        async move {
            let _inside = counted.enter();
            tokio::task::yield_now().await;
            Ok::<_, Infallible>(())
        }
    });
    let first = layer.layer(work.clone());
    let second = layer.clone().layer(work);
    let many = (0..50).flat_map(|_| [first.clone(), second.clone()]);
    let all: Vec<_> = many.map(|service| tokio::spawn(service.oneshot(()))).collect();
    for task in all {
        task.await.expect("no panic").expect("nobody is turned away");
    }
    assert_eq!(inside.most(), 2);
    comes_back(&limiter).await;
}

#[tokio::test]
async fn lowering_the_ceiling_under_load_is_obeyed() {
    let limiter = handle(8);
    let bodies = Gauge::default();
    let counted = bodies.clone();
    let pause = Duration::from_millis(20);
    let app = Router::new().route("/", route(async move || slow_body(&counted, pause)));
    let address = serve(app.layer(LimitLayer::new(limiter.clone()).respond())).await;
    let load = tokio::spawn(async move {
        let client = async || {
            let mut client = Client::connect(address).await;
            for _ in 0..20 {
                assert_eq!(client.text("/").await.0, 200);
            }
        };
        join_all((0..16).map(|_| client())).await;
    });
    until("the ceiling is reached", || bodies.now() == 8).await;

    let _ = limiter.set_ceiling(2);
    until("no more than 2 are left", || limiter.in_flight() <= 2).await;
    let mut looks = 0;
    while !load.is_finished() {
        // A body is dropped before its permit is given back, never after it.
        assert!(bodies.now() <= 2, "look {looks}");
        looks += 1;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    load.await.expect("all were served");
    assert!(looks > 10 && bodies.most() == 8);
    comes_back(&limiter).await;
}

#[tokio::test]
async fn service_that_panics_gives_it_back() {
    let limiter = handle(1);
    let panics = service_fn(|in_call: bool| {
        assert!(!in_call, "in call");
        async { if true { panic!("in the future") } else { Ok::<(), Infallible>(()) } }
    });
    let service = LimitLayer::new(limiter.clone()).layer(panics);
    for in_call in [true, false] {
        let mut future = Box::pin(service.clone().oneshot(in_call));
        let poll = std::panic::AssertUnwindSafe(|| future.as_mut().poll(&mut cx()));
        assert!(std::panic::catch_unwind(poll).is_err());
        assert_eq!(limiter.in_flight(), 0, "the future is still there");
        let poll = std::panic::AssertUnwindSafe(|| future.as_mut().poll(&mut cx()));
        let again = std::panic::catch_unwind(poll).expect_err("it has no permit any more");
        let text = again.downcast_ref::<String>().expect("a text");
        assert!(text.contains("polled again"), "{text}");
    }
}

/// Notes how many permits are out when it is dropped.
#[derive(Clone)]
struct Dropped {
    limiter: Handle,
    permits: Arc<Mutex<Vec<usize>>>,
}

impl Dropped {
    fn new(limiter: &Handle) -> Self {
        Self { limiter: limiter.clone(), permits: Arc::default() }
    }

    fn seen(&self) -> Vec<usize> {
        std::mem::take(&mut self.permits.lock().expect("no panic"))
    }
}

impl Drop for Dropped {
    fn drop(&mut self) {
        self.permits.lock().expect("no panic").push(self.limiter.in_flight());
    }
}

/// The permit is for what the work keeps as well.
#[test]
fn work_and_body_are_dropped_under_the_permit() {
    let limiter = handle(1);
    let dropped = Dropped::new(&limiter);
    // Says whether it is ready, and keeps what it has either way.
    let work = service_fn(|ends: bool| {
        let kept = dropped.clone();
        poll_fn(move |_| {
            let _ = &kept;
            if ends { Poll::Ready(Ok::<_, Infallible>(())) } else { Poll::Pending }
        })
    });
    let service = LimitLayer::new(limiter.clone()).layer(work);
    let mut ended = Box::pin(service.clone().call(true));
    assert!(ended.as_mut().poll(&mut cx()).is_ready());
    assert_eq!(dropped.seen(), [1], "at once, though the future is kept");
    let mut cancelled = Box::pin(service.clone().call(false));
    assert!(cancelled.as_mut().poll(&mut cx()).is_pending());
    drop(cancelled);
    assert_eq!((dropped.seen(), limiter.in_flight()), (vec![1], 0));

    let with_body = service_fn(|ends: bool| {
        let kept = dropped.clone();
        let frames = stream::poll_fn(move |_| {
            let _ = &kept;
            if ends { Poll::Ready(None::<Result<Frame<Bytes>, Infallible>>) } else { Poll::Pending }
        });
        ready(Ok::<_, Infallible>(Response::new(StreamBody::new(frames))))
    });
    let service = LimitLayer::new(limiter.clone()).hold(Until::Body).layer(with_body);
    for ends in [true, false] {
        let response = pin!(service.clone().call(ends)).poll(&mut cx());
        let Poll::Ready(Ok(response)) = response else { panic!("it answers at once") };
        let mut body = Box::pin(response.into_body());
        assert_eq!(body.as_mut().poll_frame(&mut cx()).is_ready(), ends);
        assert_eq!(dropped.seen().len(), usize::from(ends), "at once, though the body is kept");
        drop(body);
        assert_eq!(limiter.in_flight(), 0);
    }
    assert_eq!(dropped.seen(), [1]);
}

/// What is left of a request that is turned away goes at once, and its place in line with it.
#[test]
fn request_that_is_turned_away_is_dropped_though_its_future_is_kept() {
    let limiter = handle(1);
    let dropped = Dropped::new(&limiter);
    let _held = limiter.try_acquire().expect("free");
    let inner = service_fn(|_: Dropped| ready(Ok::<_, Infallible>(())));
    let mut service = LimitLayer::new(limiter.clone()).shed().layer(inner);
    let mut turned_away = Box::pin(service.call(dropped.clone()));
    assert!(matches!(turned_away.as_mut().poll(&mut cx()), Poll::Ready(Err(_))));
    assert_eq!(dropped.seen(), [1]);
}

#[test]
fn body_that_panics_gives_it_back() {
    let limiter = handle(1);
    let inner = service_fn(|()| {
        let panics = |_| -> Frame<Bytes> { panic!("in the body") };
        let body = Full::new(Bytes::from("text")).map_frame(panics);
        ready(Ok::<_, Infallible>(Response::new(body)))
    });
    let service = LimitLayer::new(limiter.clone()).hold(Until::Body).layer(inner);
    let response = pin!(service.oneshot(())).poll(&mut cx());
    let Poll::Ready(Ok(response)) = response else { panic!("it answers at once") };
    let mut body = Box::pin(response.into_body());
    assert_eq!(limiter.in_flight(), 1);
    let poll = std::panic::AssertUnwindSafe(|| body.as_mut().poll_frame(&mut cx()));
    assert!(std::panic::catch_unwind(poll).is_err());
    assert_eq!(limiter.in_flight(), 0, "the body is still there");
}

#[tokio::test]
async fn dropped_request_calls_nothing_and_leaves_the_line() {
    let limiter = handle(1);
    let called = Gauge::default();
    let counted = called.clone();
    let service = LimitLayer::new(limiter.clone()).layer(service_fn(move |_: ()| {
        let inside = counted.enter();
        async move {
            let _inside = inside;
            pending::<Result<(), Infallible>>().await
        }
    }));
    let mut working = Box::pin(service.clone().oneshot(()));
    assert!(working.as_mut().poll(&mut cx()).is_pending());
    let mut in_line = Box::pin(service.oneshot(()));
    assert!(in_line.as_mut().poll(&mut cx()).is_pending());
    assert_eq!((limiter.in_flight(), limiter.waiting(), called.most()), (1, 1, 1));
    drop(in_line);
    assert_eq!((limiter.in_flight(), limiter.waiting(), called.most()), (1, 0, 1));
    drop(working);
    assert_eq!((limiter.in_flight(), called.now()), (0, 0));
}
