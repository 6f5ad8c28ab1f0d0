//! Drains an axum server under Ctrl-C, or after half a second, and names the requests that still run:
//! `cargo run -p grmgr-tower --features stats --example drain_axum`

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::routing::get;
use grmgr::Limiter;
use grmgr_tower::LimitLayer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::ctrl_c;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

static API: Limiter = Limiter::const_new("api", 4).with_track_holders();
const GRACE: Duration = Duration::from_millis(300);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (stop, stopped) = oneshot::channel::<()>();
    let server = axum::serve(listener, app()).with_graceful_shutdown(async { drop(stopped.await) });
    let server = tokio::spawn(server.into_future());
    for path in ["/mails", "/export", "/thumbnails?size=64"] {
        tokio::spawn(ask(address, path));
    }
    let told = timeout(Duration::from_millis(500), ctrl_c()).await;
    println!("{}", if told.is_ok() { "told to stop" } else { "the time is over" });

    // Nothing new begins. What runs may finish, but not take for ever.
    API.close();
    drop(stop);
    if timeout(GRACE, server).await.is_ok() {
        return Err("the export cannot have ended".into());
    }
    let left = API.holders();
    for holder in &left {
        println!("{}: {} still runs, for {:.1?} now", API.name(), holder.label, holder.held_for);
    }
    let labels: Vec<_> = left.iter().map(|holder| &*holder.label).collect();
    assert_eq!(labels, ["GET /export"]);
    Ok(())
}

fn app() -> Router {
    let label = |request: &Request| format!("{} {}", request.method(), request.uri().path());
    let limit = LimitLayer::new(&API).label(label).respond();
    Router::new()
        .route("/mails", get(async || sleep(Duration::from_millis(5)).await))
        .route("/export", get(async || sleep(Duration::from_secs(60)).await))
        .route("/thumbnails", get(async || sleep(Duration::from_millis(20)).await))
        .layer(limit)
}

/// Asks over and over, until the server is gone.
async fn ask(address: SocketAddr, path: &str) -> io::Result<()> {
    loop {
        let mut server = TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n");
        server.write_all(request.as_bytes()).await?;
        server.read_to_end(&mut Vec::new()).await?;
    }
}
