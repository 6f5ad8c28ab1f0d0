//! A server that speaks TLS, with a certificate that is signed by an authority of the test's own.

#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use grmgr_cluster::{RedisStore, Request, ShareStore, StoreError, Terms};

fn openssl(dir: &Path, arguments: &str) {
    let mut command = Command::new("openssl");
    let done = command.args(arguments.split(' ')).current_dir(dir).output().expect("openssl");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

fn ask(port: u16) -> Result<(), StoreError> {
    let terms = Terms { total: 9, floor: 0, max_members: 0, ttl: 1_000, max_hold: 0, max_lag: 0 };
    let mut store = RedisStore::new(&format!("rediss://:secret@127.0.0.1:{port}")).unwrap();
    store.refresh(&Request::first("tls", "a", 1, terms)).map(drop)
}

/// Not a test: what a process does whose certificates are others.
#[test]
#[ignore = "only for the other test"]
fn a_process_that_asks() {
    if let Ok(port) = std::env::var("ASK_PORT") {
        ask(port.parse().unwrap()).unwrap();
    }
}

#[test]
#[ignore = "needs redis-server and openssl"]
fn a_server_is_asked_by_tls_and_only_if_its_certificate_is_trusted() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("san"), "subjectAltName=IP:127.0.0.1").unwrap();
    for arguments in [
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -subj /CN=test -days 2",
        "req -newkey rsa:2048 -nodes -keyout key -out csr -subj /CN=test",
        "x509 -req -in csr -CA ca.crt -CAkey ca.key -CAcreateserial -out crt -days 2 -extfile san",
    ] {
        openssl(dir.path(), arguments);
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut server = Command::new("redis-server")
        .args(["--port", "0", "--bind", "127.0.0.1", "--save", "", "--requirepass", "secret"])
        .args(["--tls-port", &port.to_string(), "--tls-auth-clients", "no"])
        .args(["--tls-cert-file", "crt", "--tls-key-file", "key", "--tls-ca-cert-file", "ca.crt"])
        .current_dir(dir.path())
        .stdout(Stdio::null())
        .spawn()
        .expect("apt-get install redis-server");
    let begin = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(begin.elapsed() < Duration::from_secs(10), "redis-server does not come up");
        thread::sleep(Duration::from_millis(20));
    }
    let untrusted = ask(port);
    let trusted = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_process_that_asks", "--include-ignored"])
        .env("ASK_PORT", port.to_string())
        .env("SSL_CERT_FILE", dir.path().join("ca.crt"))
        .output()
        .unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(matches!(untrusted, Err(StoreError::Unreachable(_))), "{untrusted:?}");
    assert!(trusted.status.success(), "{}", String::from_utf8_lossy(&trusted.stdout));
}
