//! A monitor with a dashboard, and requests as raw as a client can make them.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use grmgr::{Handle, Limiter, Registry};
use grmgr_monitor::{Builder, Monitor};
use serde_json::Value;

pub const TOKEN: &str = "a-token-of-the-test";

pub struct Bench {
    pub registry: Arc<Registry>,
    pub limiter: Handle,
    pub monitor: Monitor,
    pub address: SocketAddr,
}

pub fn start(with: impl FnOnce(Builder) -> Builder) -> Bench {
    let registry = Arc::new(Registry::new());
    let limiter = Limiter::builder("db").ceiling(10).max(20).build().unwrap();
    let limiter = registry.register(limiter).unwrap();
    let builder = Monitor::builder(registry.clone())
        .sample_every(Duration::from_millis(10))
        .dashboard("127.0.0.1:0");
    let monitor = with(builder).start().unwrap();
    let address = monitor.dashboard_address().unwrap();
    Bench { registry, limiter, monitor, address }
}

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }
}

/// One request on a connection of its own, as raw as a client can be.
pub fn raw(address: SocketAddr, request: &str) -> Answer {
    let mut stream = connect(address);
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_lowercase(), body: body.into() }
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

pub fn get(address: SocketAddr, path: &str) -> Answer {
    raw(address, &format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"))
}

pub fn post(address: SocketAddr, path: &str, headers: &str, body: &str) -> Answer {
    let length = body.len();
    raw(
        address,
        &format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}\
             content-length: {length}\r\n\r\n{body}"
        ),
    )
}

pub const JSON: &str = "content-type: application/json\r\n";

pub fn press(address: SocketAddr, body: Value) -> Answer {
    post(address, "/api/adjust", JSON, &body.to_string())
}

pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(60), "never: {what}");
        std::thread::yield_now();
    }
}
