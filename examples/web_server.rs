//! A web server that serves 4 requests at once, lets 8 wait, and answers 503 to the rest: `cargo run --example web_server`

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use grmgr::Limiter;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

static REQUESTS: Limiter = Limiter::const_new("requests", 4).with_max_waiting(8);
static DB: Limiter = Limiter::const_new("db", 2);

#[tokio::main]
async fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(serve(listener));

    // The database hangs, and 20 clients come: 4 requests get stuck in it, and 8 wait in line. The
    // other 8 are answered at once, instead of piling up.
    DB.pause();
    let mut clients: JoinSet<_> = (0..20).map(|_| get(address)).collect();
    for _ in 0..8 {
        let status = clients.join_next().await.expect("20 clients").expect("no panic")?;
        assert_eq!(status, "503 Service Unavailable");
    }
    println!("the database hangs: {REQUESTS:?}");
    assert_eq!((REQUESTS.in_flight(), REQUESTS.waiting()), (4, 8));

    // It is back, and the requests in line are served.
    DB.resume();
    while let Some(status) = clients.join_next().await {
        assert_eq!(status.expect("no panic")?, "200 OK");
    }
    println!("it is back: {REQUESTS:?}");
    println!("8 were answered 503, 12 were served");
    Ok(())
}

async fn serve(listener: TcpListener) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(answer(client));
    }
}

async fn answer(mut client: TcpStream) -> io::Result<()> {
    // Short enough to come in one piece; a real server parses it.
    let mut request = [0; 1024];
    let _ = client.read(&mut request).await?;
    // The permit is held until the answer is written, not only until it is known.
    match REQUESTS.run(handle(&mut client)).await {
        Ok(written) => written,
        Err(_queue_full) => {
            respond(&mut client, "503 Service Unavailable", "come back later").await
        }
    }
}

async fn handle(client: &mut TcpStream) -> io::Result<()> {
    let rows = DB.run(query()).await.map_err(io::Error::other)?;
    respond(client, "200 OK", rows).await
}

async fn query() -> &'static str {
    assert!(DB.in_flight() <= 2 && REQUESTS.in_flight() <= 4);
    sleep(Duration::from_millis(20)).await;
    "two rows"
}

async fn respond(client: &mut TcpStream, status: &str, body: &str) -> io::Result<()> {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n", body.len());
    client.write_all(format!("{head}retry-after: 1\r\n\r\n{body}").as_bytes()).await
}

/// A client: the status of what is answered.
async fn get(address: SocketAddr) -> io::Result<String> {
    let mut server = TcpStream::connect(address).await?;
    server.write_all(b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    server.read_to_string(&mut answer).await?;
    Ok(answer.lines().next().unwrap_or_default().replace("HTTP/1.1 ", ""))
}
