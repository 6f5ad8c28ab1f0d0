//! A web server under its own load: a limit for each route, one for each tenant, and the dashboard
//! beside it.
//!
//! ```text
//! cargo run --release -p server-example -- [SECONDS [DASHBOARD]]
//! ```
//!
//! Every second it prints a line for each limiter. After a third of the time `/search` is turned down,
//! after two thirds up: without SECONDS after 10 and 20 s, and it goes on until Ctrl-C. Open the
//! dashboard at the address that it prints, and press the buttons.

mod load;

use std::env;
use std::error::Error;
use std::io;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::get;
use futures_util::stream;
use grmgr::{Handle, Limiter, Registry};
use grmgr_monitor::Monitor;
use grmgr_tower::{LimitLayer, Until};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::{Instant, interval, sleep, timeout};

use crate::load::Load;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let seconds: Option<u64> = arguments.next().map(|text| text.parse()).transpose()?;
    let dashboard = arguments.next().unwrap_or_else(|| "127.0.0.1:9187".into());

    let registry = Registry::global();
    let search = Limiter::builder("/search").ceiling(8).max(32).max_waiting(24).build()?;
    let search = registry.register(search)?;
    let export = registry.register(Limiter::builder("/export").ceiling(2).max(8).build()?)?;

    let monitor = Monitor::builder(registry)
        .sample_every(Duration::from_secs(1))
        .dashboard(dashboard)
        .start()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    println!("server:    http://{address}/search /export /tenants/…");
    if let Some(address) = monitor.dashboard_address() {
        println!("dashboard: http://{address}/");
    }
    println!("Ctrl-C ends it.");
    let app = app(&search, &export);
    let (stop, stopped) = oneshot::channel::<()>();
    let server = axum::serve(listener, app).with_graceful_shutdown(async { drop(stopped.await) });
    let server = tokio::spawn(server.into_future());

    let load = Load::start(address);
    let third = Duration::from_secs(seconds.unwrap_or(30)) / 3;
    let turn = async {
        sleep(third).await;
        println!("/search: {}", search.set_ceiling(2));
        sleep(third).await;
        println!("/search: {}", search.set_ceiling(24));
        match seconds {
            Some(_) => sleep(third).await,
            None => std::future::pending().await,
        }
    };
    let told = tokio::select! {
        () = turn => false,
        () = report(&load) => false,
        told = tokio::signal::ctrl_c() => told.map(|()| true)?,
    };

    // The clients go away in the middle of what they do, then the server, and nothing is left behind.
    let asked = load.stop();
    drop(stop);
    timeout(Duration::from_secs(10), server).await???;
    // It ends a moment before its last connection is dropped.
    timeout(Duration::from_secs(10), registry.wait_all()).await?;
    for limiter in registry.limiters() {
        assert_eq!((limiter.in_flight(), limiter.waiting()), (0, 0));
    }
    println!("\n{asked:#?}");
    if !told {
        asked.check();
    }
    monitor.shutdown();
    Ok(())
}

fn app(search: &Handle, export: &Handle) -> Router {
    // A short wait in a line of bounded length.
    let searching = LimitLayer::new(search.clone()).queue_for(Duration::from_millis(100)).respond();
    // No wait, and the permit is out until the connection has taken the body.
    let exporting = LimitLayer::new(export.clone()).shed().hold(Until::Body).respond();
    // A line for each tenant: nobody waits for what another asks for. The prefix keeps the names that
    // clients send apart from the other limiters of this registry, which the dashboard shows.
    let tenant = |request: &Request| request.uri().path().replace("/tenants/", "tenant ");
    let per_tenant = LimitLayer::per_key(Registry::global(), tenant, |name| {
        Limiter::builder(name.to_owned())
            .ceiling(2)
            .max(8)
            .max_waiting(8)
            .build()
            .expect("the settings make sense")
    });
    Router::new()
        .route("/search", get(async || query(20).await).layer(searching))
        .route("/export", get(async || Body::from_stream(export_rows())).layer(exporting))
        .route("/tenants/{name}", get(async || query(10).await).layer(per_tenant.respond()))
}

async fn query(milliseconds: u64) -> &'static str {
    sleep(Duration::from_millis(milliseconds)).await;
    "found\n"
}

/// Ten rows in 300 ms.
fn export_rows() -> impl futures_util::Stream<Item = io::Result<String>> {
    stream::unfold(0, async |row| {
        sleep(Duration::from_millis(30)).await;
        (row < 10).then(|| (Ok(format!("row {row}\n")), row + 1))
    })
}

/// Prints a table, every second.
async fn report(load: &Load) {
    let began = Instant::now();
    let mut seconds = interval(Duration::from_secs(1));
    loop {
        seconds.tick().await;
        println!(
            "\n{:>4} s  {:<18}{:>10}{:>10}{:>10}{:>10}",
            began.elapsed().as_secs(),
            "limiter",
            "in flight",
            "waiting",
            "served/s",
            "refused/s",
        );
        let mut answers = load.since_last();
        for limiter in Registry::global().snapshots() {
            let path = limiter.name.replace("tenant ", "/tenants/");
            let (served, turned_away) = answers.remove(&*path).unwrap_or_default();
            let in_flight = format!("{} of {}", limiter.in_flight, limiter.ceiling);
            println!(
                "        {:<18}{in_flight:>10}{:>10}{served:>10}{turned_away:>10}",
                limiter.name, limiter.waiting,
            );
        }
    }
}
