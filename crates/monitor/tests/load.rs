//! Clients of the dashboard that are many, slow, or silent.
#![cfg(all(feature = "dashboard", feature = "history"))]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use grmgr::Limiter;
use serde_json::{Value, json};

use support::*;

/// Reads from a stream of events until one has come, and gives its data.
fn event(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Value {
    loop {
        if let Some(end) = buffer.windows(2).position(|pair| pair == b"\n\n") {
            let event = String::from_utf8_lossy(&buffer[..end]).into_owned();
            buffer.drain(..end + 2);
            if let Some((_, data)) = event.split_once("data: ") {
                // Chunks of the transfer begin and end within the text around it.
                return serde_json::from_str(data).unwrap();
            }
            continue;
        }
        let mut piece = [0; 16_384];
        let n = stream.read(&mut piece).unwrap();
        assert!(n > 0, "the stream has ended");
        buffer.extend_from_slice(&piece[..n]);
    }
}

fn subscribe(address: SocketAddr) -> TcpStream {
    let mut stream = connect(address);
    // HTTP/1.0: no chunks in between.
    write!(stream, "GET /api/events HTTP/1.0\r\nhost: {address}\r\n\r\n").unwrap();
    stream
}

#[test]
fn events_tell_of_every_change() {
    let bench = start(|builder| builder);
    let (mut stream, mut buffer) = (subscribe(bench.address), Vec::new());
    assert_eq!(event(&mut stream, &mut buffer)["limiters"][0]["ceiling"], 10);
    let _ = bench.limiter.down();
    eventually("the fall is told", || {
        let limiter = &event(&mut stream, &mut buffer)["limiters"][0];
        limiter["ceiling"] == 8 && limiter["last_change"]["cause"] == "manual"
    });
    drop(bench.monitor);
    eventually("the stream ends with the monitor", || {
        matches!(stream.read(&mut [0; 16_384]), Ok(0) | Err(_))
    });
}

#[test]
fn a_client_that_never_reads_disturbs_nobody() {
    let bench = start(|builder| builder);
    for i in 0..300 {
        bench.registry.register(Limiter::new(format!("limiter {i}"), 5)).unwrap();
    }
    let _deaf: Vec<_> = (0..12).map(|_| subscribe(bench.address)).collect();
    // Far more than what the sockets hold.
    let (mut stream, mut buffer) = (subscribe(bench.address), Vec::new());
    for _ in 0..100 {
        event(&mut stream, &mut buffer);
    }
    let answer = press(bench.address, json!({ "limiter": "db", "action": "down" }));
    assert_eq!((answer.status, bench.limiter.ceiling()), (200, 8));
}

/// A connection that comes from another address of this machine.
#[cfg(target_os = "linux")]
fn from(address: &str, to: SocketAddr) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(format!("{address}:0").parse().unwrap()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stream = runtime.block_on(socket.connect(to)).unwrap().into_std().unwrap();
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

#[test]
fn a_thousand_idle_connections_are_turned_away_and_the_program_goes_on() {
    let bench = start(|builder| builder);
    let idle: Vec<_> = (0..1_000).filter_map(|_| TcpStream::connect(bench.address).ok()).collect();
    assert_eq!(idle.len(), 1_000);
    // The program itself.
    drop(bench.limiter.try_acquire().unwrap());
    bench.monitor.flush().unwrap();
    // Those beyond the bound are told so at once.
    let mut last = idle.last().unwrap();
    last.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut told = String::new();
    last.read_to_string(&mut told).unwrap();
    assert!(told.starts_with("HTTP/1.1 503") && told.contains("too many connections"), "{told}");
    // Another client does not notice.
    #[cfg(target_os = "linux")]
    {
        let mut other = from("127.0.0.2", bench.address);
        let (address, mut text) = (bench.address, String::new());
        let request =
            format!("GET /api/limiters HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        other.write_all(request.as_bytes()).unwrap();
        other.read_to_string(&mut text).unwrap();
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    }
    // Those within it are closed when they have said nothing for too long; then there is room.
    let mut first = idle.first().unwrap();
    first.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    match first.read_to_end(&mut Vec::new()) {
        Ok(_) => {}
        Err(error) => assert_ne!(error.kind(), ErrorKind::WouldBlock, "still open"),
    }
    eventually("there is room again", || {
        let stream = TcpStream::connect(bench.address);
        let Ok(mut stream) = stream else { return false };
        let address = bench.address;
        let request =
            format!("GET /api/limiters HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        let _ = stream.write_all(request.as_bytes());
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text);
        text.starts_with("HTTP/1.1 200")
    });
}

#[test]
fn event_streams_are_bounded_and_one_that_ends_makes_room() {
    let bench = start(|builder| builder);
    let first = |mut stream: TcpStream| {
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        (String::from_utf8_lossy(&status[9..]).into_owned(), stream)
    };
    let mut open: Vec<_> = (0..16).map(|_| first(subscribe(bench.address))).collect();
    assert!(open.iter().all(|(status, _)| status == "200"));
    assert_eq!(first(subscribe(bench.address)).0, "503");
    assert_eq!(get(bench.address, "/api/limiters").status, 200, "everything else goes on");
    open.pop();
    eventually("there is room again", || first(subscribe(bench.address)).0 == "200");
}

#[test]
fn a_request_whose_body_never_comes_is_given_up() {
    let bench = start(|builder| builder);
    let address = bench.address;
    let mut stream = connect(address);
    write!(stream, "POST /api/adjust HTTP/1.1\r\nhost: {address}\r\n{JSON}").unwrap();
    write!(stream, "content-length: 30\r\n\r\n").unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 408");
}

#[test]
fn of_ten_thousand_limiters_a_page_shows_some_and_metrics_have_all() {
    let bench = start(|builder| builder.sample_every(Duration::from_secs(10)));
    for i in 0..10_000 {
        bench.registry.register(Limiter::new(format!("limiter {i}"), 5)).unwrap();
    }
    bench.monitor.flush().unwrap();
    let frame = get(bench.address, "/api/limiters").json();
    assert_eq!((&frame["total"], &frame["matching"]), (&json!(10_001), &json!(10_001)));
    assert_eq!(frame["limiters"].as_array().unwrap().len(), 200);
    let frame = get(bench.address, "/api/limiters?q=limiter%20777").json();
    assert_eq!(
        (&frame["matching"], &frame["limiters"][0]["name"]),
        (&json!(11), &json!("limiter 777"))
    );
    assert_eq!(get(bench.address, "/api/history?limiter=limiter%20777").status, 200);
    let text = get(bench.address, "/metrics").body;
    assert_eq!(text.lines().filter(|line| line.starts_with("limiter_ceiling{")).count(), 10_001);
}
