//! Clients that go away: in line, in the handler, in the body, and at any moment.

mod common;

use std::env;
use std::future::pending;
use std::time::Duration;

use axum::Router;
use axum::routing::get as route;
use common::{
    Client, Gauge, LONG, comes_back, endless_body, get, large_body, serve, slow_body, until,
};
use grmgr::{Handle, Limiter};
use grmgr_tower::LimitLayer;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

fn handle(ceiling: usize) -> Handle {
    Limiter::new("test", ceiling).into()
}

#[tokio::test]
async fn client_that_vanishes_in_line_leaves_it() {
    let limiter = handle(1);
    let called = Gauge::default();
    let counted = called.clone();
    let app = Router::new().route(
        "/",
        route(async move || {
            let _inside = counted.enter();
            pending::<()>().await
        }),
    );
    let address = serve(app.layer(LimitLayer::new(limiter.clone()).respond())).await;
    let first = tokio::spawn(get(address, "/"));
    until("one is served", || limiter.in_flight() == 1).await;
    let second = tokio::spawn(get(address, "/"));
    until("one waits", || limiter.waiting() == 1).await;
    second.abort();
    until("nobody waits", || limiter.waiting() == 0).await;
    assert_eq!((limiter.in_flight(), called.most()), (1, 1));

    // And in the handler.
    first.abort();
    comes_back(&limiter).await;
    assert_eq!(called.now(), 0);
}

#[tokio::test]
async fn client_that_vanishes_in_the_body_gives_its_permit_back() {
    let limiter = handle(1);
    let bodies = Gauge::default();
    let counted = bodies.clone();
    let app = Router::new().route("/", route(async move || endless_body(&counted)));
    let address = serve(app.layer(LimitLayer::new(limiter.clone()).respond())).await;
    let mut client = Client::connect(address).await;
    let answer = client.get("/").await;
    assert_eq!((answer.status().as_u16(), limiter.in_flight()), (200, 1));
    drop((answer, client));
    comes_back(&limiter).await;
    assert_eq!((bodies.now(), bodies.most()), (0, 1));
}

#[tokio::test]
async fn body_that_is_never_read_keeps_its_permit_until_the_client_is_gone() {
    let limiter = handle(1);
    let bodies = Gauge::default();
    let counted = bodies.clone();
    let app = Router::new()
        .route("/", route(async move || large_body(&counted)))
        .route("/small", route(async || "served"));
    let layer = LimitLayer::new(limiter.clone()).queue_for(Duration::from_millis(50)).respond();
    let address = serve(app.layer(layer)).await;
    let mut reads_nothing = TcpStream::connect(address).await.expect("the server listens");
    reads_nothing.write_all(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n").await.expect("sent");
    until("its body is there", || bodies.now() == 1).await;
    // The others get an answer.
    assert_eq!(get(address, "/small").await.0, 503);
    assert_eq!(limiter.in_flight(), 1);
    drop(reads_nothing);
    comes_back(&limiter).await;
    assert_eq!((bodies.now(), get(address, "/small").await.0), (0, 200));
}

/// How many requests; a hundred times as many by hand and each night.
fn requests() -> usize {
    env::var("ABORTED_REQUESTS").ok().and_then(|n| n.parse().ok()).unwrap_or(2_000)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_leaks_over_many_requests_with_random_aborts() {
    let limiter: Handle =
        Limiter::builder("test").ceiling(4).max_waiting(20).build().expect("it makes sense").into();
    let inside = Gauge::default();
    let (bodies, handlers) = (inside.clone(), inside.clone());
    let app = Router::new()
        .route("/body", route(async move || slow_body(&bodies, Duration::from_micros(300))))
        .route(
            "/handler",
            route(async move || {
                let _inside = handlers.enter();
                tokio::time::sleep(Duration::from_micros(300)).await;
                "served"
            }),
        )
        .route(
            "/panic",
            route(async || {
                if true {
                    panic!("on purpose")
                }
            }),
        );
    let layer = LimitLayer::new(limiter.clone()).queue_for(Duration::from_millis(2)).respond();
    let address = serve(app.layer(layer)).await;

    // Panics of the handler are meant.
    std::panic::set_hook(Box::new(|_| ()));
    let (mut answers, mut aborts) = (0, 0);
    let mut random = 0x9e37_79b9_u64;
    let mut tasks = JoinSet::new();
    for n in 0..requests() {
        // xorshift
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let path = match random % 16 {
            0 => "/panic",
            1..8 => "/handler",
            _ => "/body",
        };
        // Up to 2 ms: in line, in the handler, in the body. A quarter has all the time it needs.
        let patience = match random >> 8 & 0xfff {
            micros @ 0..0xc00 => Duration::from_micros(micros * 2 / 3),
            _ => LONG,
        };
        tasks.spawn(async move {
            let asks = tokio::spawn(async move { get(address, path).await.0 });
            let stop = asks.abort_handle();
            match timeout(patience, asks).await {
                Ok(answer) => answer.ok(),
                Err(_) => {
                    stop.abort();
                    None
                }
            }
        });
        if n % 50 == 0 {
            let _ = limiter.set_ceiling(n / 50 % 4 + 1);
        }
        while tasks.len() >= 32 {
            let ended = tasks.join_next().await.expect("there are some").expect("no panic");
            if ended.is_some() { answers += 1 } else { aborts += 1 }
        }
    }
    while let Some(ended) = tasks.join_next().await {
        if ended.expect("no panic").is_some() { answers += 1 } else { aborts += 1 }
    }
    let _ = std::panic::take_hook();
    println!("{answers} answered, {aborts} aborted");
    assert!(answers > requests() / 100 && aborts > requests() / 100);
    timeout(LONG, limiter.wait()).await.expect("a permit was lost");
    comes_back(&limiter).await;
    until("every body is gone", || inside.now() == 0).await;
    assert!(inside.most() <= 4, "{} at once", inside.most());
    let _ = limiter.set_ceiling(4);
    let _all = limiter.try_acquire_many(4).expect("all are there");
}
