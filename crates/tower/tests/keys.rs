//! A limit for each key.

mod common;

use std::convert::Infallible;
use std::future::{pending, ready};
use std::sync::Arc;
use std::task::{Context, Waker};

use axum::Router;
use axum::extract::Request;
use axum::routing::get as route;
use common::{Client, comes_back, get, outcome, serve, until};
use grmgr::{Limiter, Registry};
use grmgr_tower::{LimitLayer, Overloaded, Reason};
use tokio::sync::Notify;
use tower::{Layer, ServiceExt, service_fn};

fn make(name: &str) -> Limiter {
    Limiter::new(name.to_owned(), 1)
}

fn registry() -> Arc<Registry> {
    Arc::new(Registry::new())
}

#[tokio::test]
async fn tenants_do_not_wait_for_each_other() {
    let registry = registry();
    let tenant = |request: &Request| request.uri().path()[1..].to_owned();
    let layer = LimitLayer::per_key(registry.clone(), tenant, make).shed().respond();
    let go_on = Arc::new(Notify::new());
    let waits = go_on.clone();
    let app = Router::new().route("/acme", route(async move || waits.notified().await));
    let address = serve(app.route("/initech", route(async || "served")).layer(layer)).await;

    let first = tokio::spawn(get(address, "/acme"));
    until("acme is at its limit", || registry.get("acme").is_some_and(|it| it.in_flight() == 1))
        .await;
    assert_eq!(get(address, "/initech").await, (200, "served".into()));
    let (status, text) = get(address, "/acme").await;
    assert_eq!((status, text.starts_with("limiter \"acme\": no permit is free")), (503, true));
    go_on.notify_one();
    assert_eq!(first.await.expect("no panic").0, 200);
    for limiter in registry.limiters() {
        comes_back(&limiter).await;
    }
    assert_eq!(registry.names(), ["acme", "initech"]);
}

#[tokio::test]
async fn key_function_that_panics_is_answered_500() {
    let registry = registry();
    let tenant = |request: &Request| {
        request.headers().get("x-tenant").expect("no tenant").to_str().expect("text").to_owned()
    };
    let layer = LimitLayer::per_key(registry.clone(), tenant, make).respond();
    let address = serve(Router::new().route("/", route(async || "")).layer(layer)).await;
    let mut client = Client::connect(address).await;
    assert_eq!(client.text("/").await.0, 500);
    assert_eq!(client.text("/").await.0, 500, "on the same connection");
    assert!(registry.is_empty());
}

#[tokio::test]
async fn limiter_function_that_panics_or_gives_another_name_is_an_error() {
    let registry = registry();
    let make = |name: &str| {
        assert_ne!(name, "panics", "on purpose");
        Limiter::new("another", 1)
    };
    let key = |key: &&'static str| *key;
    let layer = LimitLayer::per_key(registry.clone(), key, make);
    let service = layer.layer(service_fn(|_: &'static str| ready(Ok::<_, Infallible>(()))));
    for key in ["panics", "another name"] {
        let error = outcome(service.clone(), key).await.expect_err("no limiter");
        let error: &Overloaded = error.downcast_ref().expect("no other error");
        assert_eq!((error.reason(), error.limiter()), (&Reason::Panicked, None));
        assert_eq!(error.retry_after(), None);
    }
    assert!(registry.is_empty());
    outcome(service, "another").await.expect("that one is right");
    assert_eq!(registry.get("another").map(|it| it.in_flight()), Some(0));
}

#[tokio::test]
async fn idle_keys_are_evicted_and_those_in_use_or_turned_stay() {
    let registry = registry();
    // Somebody else's, which nothing but the registry keeps.
    registry.register(Limiter::new("db", 20)).expect("the name is free");
    let make = |name: &str| {
        Limiter::builder(name.to_owned()).ceiling(1).max(10).build().expect("it makes sense")
    };
    let layer = LimitLayer::per_key(registry.clone(), |key: &String| key.clone(), make);
    let layer = layer.evict_above(10);
    let answer = layer.layer(service_fn(|_: String| ready(Ok::<_, Infallible>(()))));
    let busy = layer.layer(service_fn(|_: String| pending::<Result<(), Infallible>>()));

    let mut in_use = Box::pin(busy.oneshot("in use".into()));
    assert!(in_use.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    for turned in ["turned", "paused", "capped", "closed"] {
        outcome(answer.clone(), turned.into()).await.expect("free");
    }
    let get = |name| registry.get(name).expect("it is there");
    let _ = get("turned").set_ceiling(5);
    get("paused").pause();
    get("closed").close();
    // Nothing but the cap is left of it.
    let capped = get("capped");
    let cap = capped.cap("a hand").expect("the first");
    let _ = cap.set(1);
    std::mem::forget(cap);
    drop(capped);

    let mut most = 0;
    for n in 0..1_000 {
        outcome(answer.clone(), format!("tenant {n}")).await.expect("free");
        most = most.max(registry.len());
    }
    assert!(most <= 14, "{most} at once");
    let stay = ["capped", "closed", "db", "in use", "paused", "turned"];
    let names = registry.names();
    let left: Vec<_> = names.iter().filter(|name| !name.starts_with("tenant")).collect();
    assert_eq!(left, stay);
    drop(in_use);
    assert!(registry.limiters().iter().all(|limiter| limiter.in_flight() == 0));
}

#[tokio::test]
async fn eviction_under_load_admits_no_more_than_the_limit_of_each_key() {
    let registry = registry();
    let key = |key: &usize| format!("key {key}");
    let layer = LimitLayer::per_key(registry.clone(), key, make).evict_above(1);
    let inside: Arc<[common::Gauge; 5]> = Arc::default();
    let counted = inside.clone();
    let service = layer.layer(service_fn(move |key: usize| {
        let counted = counted.clone();
        async move {
            let _inside = counted[key].enter();
            tokio::task::yield_now().await;
            Ok::<_, Infallible>(())
        }
    }));
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..2_000 {
        tasks.spawn(service.clone().oneshot(n * 7 % 5));
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic").expect("nobody is turned away");
    }
    for gauge in inside.iter() {
        assert_eq!(gauge.most(), 1);
    }
}
