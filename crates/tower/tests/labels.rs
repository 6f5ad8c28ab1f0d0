//! Whose the permits are, of limiters that track their holders.

mod common;

use std::borrow::Cow;
use std::convert::Infallible;
use std::future::{pending, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Waker};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::routing::get as route;
use common::{Client, Gauge, LONG, comes_back, endless_body, get, serve, until};
use grmgr::{Handle, Limiter, Registry};
use grmgr_tower::{LimitLayer, Overloaded, Pick, Reason};
use tokio::sync::Semaphore;
use tower::{Layer, ServiceExt, service_fn};

fn tracked(name: &str, ceiling: usize) -> Limiter {
    let builder = Limiter::builder(name.to_owned()).ceiling(ceiling);
    builder.track_holders().build().expect("it makes sense")
}

/// Labels and permits, the oldest first.
fn holders(limiter: &Limiter) -> Vec<(String, usize)> {
    let holders = limiter.holders().into_iter();
    holders.map(|holder| (holder.label.into_owned(), holder.count)).collect()
}

fn holder(label: &str, count: usize) -> (String, usize) {
    (label.to_owned(), count)
}

/// Such as "GET /slow".
fn method_and_path(request: &Request) -> String {
    format!("{} {}", request.method(), request.uri().path())
}

/// A server whose handlers wait until they are told to go on, but for `/body`, which streams for ever.
async fn slow(layer: impl FnOnce(Router) -> Router) -> (SocketAddr, Arc<Semaphore>) {
    let go_on = Arc::new(Semaphore::new(0));
    let waits = go_on.clone();
    let handler = async move || {
        waits.acquire().await.expect("never closed").forget();
        "served"
    };
    let bodies = Gauge::default();
    let app =
        Router::new().route("/body", route(async move || endless_body(&bodies))).fallback(handler);
    (serve(layer(app)).await, go_on)
}

/// The future after one poll, which did not end it.
fn polled_once<F: Future>(future: F) -> Pin<Box<F>> {
    let mut future = Box::pin(future);
    assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    future
}

#[tokio::test]
async fn request_at_work_and_body_that_streams_are_holders_by_name() {
    let limiter = Handle::from(tracked("api", 4));
    let layer = LimitLayer::new(limiter.clone()).label(method_and_path).respond();
    let (address, go_on) = slow(|app| app.layer(layer)).await;
    let at_work = tokio::spawn(get(address, "/slow?secret=1"));
    until("one is at work", || limiter.in_flight() == 1).await;
    let mut client = Client::connect(address).await;
    let streams = client.get("/body").await;
    assert_eq!(streams.status(), 200, "its response is there, and its body has not ended");
    assert_eq!(holders(&limiter), [holder("GET /slow", 1), holder("GET /body", 1)]);

    go_on.add_permits(1);
    assert_eq!(at_work.await.expect("no panic"), (200, "served".into()));
    until("the first is over", || limiter.in_flight() == 1).await;
    assert_eq!(holders(&limiter), [holder("GET /body", 1)]);
    drop((streams, client));
    comes_back(&limiter).await;
    assert!(limiter.holders().is_empty());
}

#[tokio::test]
async fn request_that_has_waited_is_a_holder_by_name() {
    let limiter = Handle::from(tracked("api", 1));
    let layer = LimitLayer::new(limiter.clone()).queue_for(LONG).label(method_and_path).respond();
    let (address, go_on) = slow(|app| app.layer(layer)).await;
    let first = tokio::spawn(get(address, "/first"));
    until("one is at work", || limiter.in_flight() == 1).await;
    let second = tokio::spawn(get(address, "/second"));
    until("one waits", || limiter.waiting() == 1).await;
    assert_eq!(holders(&limiter), [holder("GET /first", 1)], "in line it holds nothing");
    go_on.add_permits(1);
    assert_eq!(first.await.expect("no panic").0, 200);
    until("the second is at work", || holders(&limiter) == [holder("GET /second", 1)]).await;
    go_on.add_permits(1);
    assert_eq!(second.await.expect("no panic").0, 200);
    comes_back(&limiter).await;
}

#[tokio::test]
async fn shed_request_leaves_no_label_behind() {
    let limiter = Handle::from(tracked("api", 1));
    let layer = LimitLayer::new(limiter.clone()).label(method_and_path).shed().respond();
    let (address, go_on) = slow(|app| app.layer(layer)).await;
    let first = tokio::spawn(get(address, "/first"));
    until("one is at work", || limiter.in_flight() == 1).await;
    assert_eq!(get(address, "/shed").await.0, 503);
    assert_eq!(holders(&limiter), [holder("GET /first", 1)]);
    go_on.add_permits(1);
    assert_eq!(first.await.expect("no panic").0, 200);
    comes_back(&limiter).await;
    let next = tokio::spawn(get(address, "/next"));
    until("the next is at work", || holders(&limiter) == [holder("GET /next", 1)]).await;
    go_on.add_permits(1);
    assert_eq!(next.await.expect("no panic").0, 200);
    comes_back(&limiter).await;
}

#[tokio::test]
async fn label_is_made_only_where_holders_are_tracked() {
    let made = Arc::new(AtomicUsize::new(0));
    let served = async |limiter: Limiter, requests: usize| {
        let made = made.clone();
        let layer = LimitLayer::new(limiter).label(move |request: &&'static str| {
            made.fetch_add(1, SeqCst);
            *request
        });
        let service = layer.layer(service_fn(|_: &'static str| ready(Ok::<_, Infallible>(()))));
        for _ in 0..requests {
            service.clone().oneshot("job").await.expect("free");
        }
    };
    served(Limiter::new("untracked", 1), 10).await;
    assert_eq!(made.load(SeqCst), 0);
    served(tracked("tracked", 1), 3).await;
    assert_eq!(made.load(SeqCst), 3, "once for each request");
}

#[tokio::test]
async fn label_function_that_panics_is_answered_500_and_loses_no_permit() {
    let limiter = Handle::from(tracked("api", 2));
    let label = |request: &Request| {
        let id = request.headers().get("x-id").expect("the header is not there");
        id.to_str().expect("text").to_owned()
    };
    let layer = LimitLayer::new(limiter.clone()).label(label).respond();
    let address = serve(Router::new().route("/", route(async || "")).layer(layer)).await;
    let mut client = Client::connect(address).await;
    for _ in 0..3 {
        // On the same connection, so it is still there.
        let (status, text) = client.text("/").await;
        assert_eq!(status, 500);
        assert_eq!(text, "the function that chooses its limiter, weight or label has panicked");
        assert_eq!((limiter.in_flight(), limiter.waiting(), limiter.holders().len()), (0, 0, 0));
    }
    drop(client);
    comes_back(&limiter).await;
    let _all = limiter.try_acquire_many(2).expect("none is lost");
}

#[tokio::test]
async fn label_goes_with_keys_and_weights_in_any_order() {
    type Job = (&'static str, usize, &'static str);
    fn check(serve: impl Fn(Arc<Registry>, Job) -> Pin<Box<dyn Future<Output = ()>>>) {
        let registry = Arc::new(Registry::new());
        let jobs = [("acme", 2, "export"), ("acme", 1, "mail"), ("initech", 3, "")];
        let at_work = jobs.map(|job| polled_once(serve(registry.clone(), job)));
        let of = |name| holders(&registry.get(name).expect("it is there"));
        assert_eq!(of("acme"), [holder("acme: export", 2), holder("acme: mail", 1)]);
        assert_eq!(of("initech"), [holder("initech: ", 3)]);
        drop(at_work);
        assert!(registry.limiters().iter().all(|limiter| limiter.in_flight() == 0));
    }
    let key = |job: &Job| job.0;
    let make = |name: &str| tracked(name, 4);
    let weight = |job: &Job| job.1;
    let label = |job: &Job| format!("{}: {}", job.0, job.2);
    let never = service_fn(|_: Job| pending::<Result<(), Infallible>>());
    check(move |registry, job| {
        let layer = LimitLayer::per_key(registry, key, make).weight(weight).label(label);
        Box::pin(async move { drop(layer.layer(never).oneshot(job).await) })
    });
    check(move |registry, job| {
        let layer = LimitLayer::per_key(registry, key, make).label(label).weight(weight);
        Box::pin(async move { drop(layer.layer(never).oneshot(job).await) })
    });
    // The last label counts.
    check(move |registry, job| {
        let layer = LimitLayer::per_key(registry, key, make);
        let layer = layer.label(|_: &Job| "another").shed().weight(weight).label(label);
        Box::pin(async move { drop(layer.layer(never).oneshot(job).await) })
    });
}

/// By its own field, and for each request another.
#[derive(Clone)]
struct Own(Handle);

impl Pick<&'static str> for Own {
    fn limiter(&self, _: &&'static str) -> Handle {
        self.0.clone()
    }

    fn label(&self, request: &&'static str) -> Cow<'static, str> {
        Cow::Borrowed(request)
    }
}

#[test]
fn choice_of_ones_own_may_label() {
    let limiter = Handle::from(tracked("own", 4));
    let never = service_fn(|_: &'static str| pending::<Result<(), Infallible>>());
    let own = LimitLayer::picking(Own(limiter.clone()));
    let _a = polled_once(own.layer(never).oneshot("labelled"));
    let _b = polled_once(own.weight(|_: &&'static str| 2).layer(never).oneshot("weighs more"));
    let _c = polled_once(LimitLayer::new(limiter.clone()).layer(never).oneshot("no label"));
    let expected = [holder("labelled", 1), holder("weighs more", 2), holder("", 1)];
    assert_eq!(holders(&limiter), expected);
}

#[tokio::test]
async fn request_that_weighs_nothing_is_no_holder() {
    let limiter = Handle::from(tracked("memory", 4));
    let layer = LimitLayer::new(limiter.clone()).weight(|n: &usize| *n).label(|_: &usize| "job");
    let service = layer.layer(service_fn(|_: usize| pending::<Result<(), Infallible>>()));
    let _nothing = polled_once(service.clone().oneshot(0));
    let _two = polled_once(service.oneshot(2));
    assert_eq!(holders(&limiter), [holder("job", 2)]);
}

#[tokio::test(start_paused = true)]
async fn request_that_gives_up_in_line_leaves_no_label_behind() {
    let limiter = Handle::from(tracked("db", 1));
    let layer = LimitLayer::new(limiter.clone()).queue_for(Duration::from_secs(1));
    let layer = layer.label(|_: &()| "gives up");
    let service = layer.layer(service_fn(|_: ()| pending::<Result<(), Infallible>>()));
    let held = limiter.try_acquire_owned().expect("one is free");
    let error = service.clone().oneshot(()).await.expect_err("out of time");
    let error: &Overloaded = error.downcast_ref().expect("no other error");
    assert!(matches!(error.reason(), Reason::TimedOut { .. }));
    assert_eq!(holders(&limiter), [holder("", 1)]);
    // And one that is dropped there.
    drop(polled_once(service.oneshot(())));
    drop(held);
    comes_back(&limiter).await;
    assert!(limiter.holders().is_empty());
}
