//! Servers of the tests' own, each on a free port of the loopback, gone with its guard.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
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
        Self::start_with(options, &[])
    }

    /// One with variables in its environment.
    pub(crate) fn start_with(options: &[&str], variables: &[(&str, &str)]) -> Self {
        let options: Vec<String> = options.iter().map(|option| (*option).into()).collect();
        let dir = tempfile::tempdir().unwrap();
        let port = free_port();
        let child = spawn(port, &options, dir.path(), variables);
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
        self.child = spawn(self.port, &self.options, self.dir.path(), &[]);
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

fn spawn(port: u16, options: &[String], dir: &Path, variables: &[(&str, &str)]) -> Child {
    // A file comes before all options.
    let file = options.first().is_some_and(|option| !option.starts_with("--"));
    let (file, options) = options.split_at(usize::from(file));
    Command::new("redis-server")
        .args(file)
        .envs(variables.iter().copied())
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
    way: Arc<Way>,
}

struct Way {
    to: AtomicU16,
    swallows: AtomicBool,
    /// How long each piece is kept back, in milliseconds.
    delay: AtomicU64,
    streams: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    pub(crate) fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let way = Arc::new(Way {
            to: AtomicU16::new(to),
            swallows: AtomicBool::new(false),
            delay: AtomicU64::new(0),
            streams: Mutex::default(),
        });
        let its = way.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let to = its.to.load(SeqCst);
                let Ok(server) = TcpStream::connect(("127.0.0.1", to)) else { continue };
                let clone = |stream: &TcpStream| stream.try_clone().unwrap();
                its.streams.lock().unwrap().extend([clone(&client), clone(&server)]);
                for (from, to) in [(clone(&client), clone(&server)), (server, client)] {
                    let its = its.clone();
                    thread::spawn(move || its.pump(from, to));
                }
            }
        });
        Self { port, way }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn swallow(&self, swallows: bool) {
        self.way.swallows.store(swallows, SeqCst);
    }

    pub(crate) fn delay(&self, millis: u64) {
        self.way.delay.store(millis, SeqCst);
    }

    /// Leads elsewhere from now on; what is connected is cut off.
    pub(crate) fn turn(&self, to: u16) {
        self.way.to.store(to, SeqCst);
        for stream in self.way.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Way {
    fn pump(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = [0; 65536];
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            thread::sleep(Duration::from_millis(self.delay.load(SeqCst)));
            if !self.swallows.load(SeqCst) && to.write_all(&buffer[..n]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
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
