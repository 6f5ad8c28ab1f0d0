//! Servers of the tests' own, each on a free port of the loopback, gone with its guard.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) struct Server {
    pub(crate) port: u16,
    child: Child,
    dir: tempfile::TempDir,
    password: Option<String>,
    options: Vec<String>,
}

impl Server {
    pub(crate) fn start(options: &[&str]) -> Self {
        let options: Vec<String> = options.iter().map(|option| (*option).into()).collect();
        let dir = tempfile::tempdir().unwrap();
        let port = free_port();
        let child = spawn(port, &options, dir.path());
        let password = options.windows(2).find(|o| o[0] == "--requirepass").map(|o| o[1].clone());
        let mut server = Self { port, child, dir, password, options };
        assert!(server.comes_up(), "redis-server does not start: apt-get install redis-server");
        server
    }

    fn comes_up(&mut self) -> bool {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(10) {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            if let Ok(mut connection) = self.client().get_connection()
                && redis::cmd("PING").query::<String>(&mut connection).is_ok()
            {
                return true;
            }
            thread::sleep(Duration::from_millis(20));
        }
        false
    }

    /// The same port again, after `kill`. What it knew is gone.
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.child = spawn(self.port, &self.options, self.dir.path());
        assert!(self.comes_up(), "the server does not come up again");
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn url(&self) -> String {
        match &self.password {
            Some(password) => format!("redis://:{password}@127.0.0.1:{}", self.port),
            None => format!("redis://127.0.0.1:{}", self.port),
        }
    }

    pub(crate) fn client(&self) -> redis::Client {
        redis::Client::open(self.url()).unwrap()
    }

    pub(crate) fn command<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = redis::cmd(words[0]);
        for word in &words[1..] {
            command.arg(*word);
        }
        command.query(&mut self.client().get_connection().unwrap()).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(port: u16, options: &[String], dir: &std::path::Path) -> Child {
    Command::new("redis-server")
        .args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--loglevel",
            "warning",
        ])
        .arg("--dir")
        .arg(dir)
        .args(options)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("apt-get install redis-server")
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Passes bytes on to a port, until it is told to swallow them: connections stay open then.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    pub(crate) swallows: Arc<AtomicBool>,
    /// How long each piece is kept back, in milliseconds.
    pub(crate) delay: Arc<std::sync::atomic::AtomicU64>,
}

impl Proxy {
    pub(crate) fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let swallows = Arc::new(AtomicBool::new(false));
        let delay = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let (s, d) = (swallows.clone(), delay.clone());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", to)) else { continue };
                for (mut from, mut to) in [
                    (client.try_clone().unwrap(), server.try_clone().unwrap()),
                    (server.try_clone().unwrap(), client.try_clone().unwrap()),
                ] {
                    let (swallows, delay) = (s.clone(), d.clone());
                    thread::spawn(move || {
                        let mut buffer = [0; 65536];
                        while let Ok(n @ 1..) = from.read(&mut buffer) {
                            thread::sleep(Duration::from_millis(delay.load(SeqCst)));
                            if !swallows.load(SeqCst) && to.write_all(&buffer[..n]).is_err() {
                                break;
                            }
                        }
                        let _ = to.shutdown(std::net::Shutdown::Both);
                    });
                }
            }
        });
        Self { port, swallows, delay }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

/// Waits until something is so, for at most this long.
pub(crate) fn soon(within: Duration, what: &str, mut is_so: impl FnMut() -> bool) -> Duration {
    let begin = Instant::now();
    while begin.elapsed() < within {
        if is_so() {
            return begin.elapsed();
        }
        thread::sleep(Duration::from_millis(2));
    }
    panic!("not within {within:?}: {what}");
}
