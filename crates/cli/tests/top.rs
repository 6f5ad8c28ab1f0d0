//! `grmgr top` in a terminal: a pseudo-terminal that `script` makes.
#![cfg(target_os = "linux")]

#[path = "../../monitor/tests/support/mod.rs"]
mod support;

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use support::*;

const GRMGR: &str = env!("CARGO_BIN_EXE_grmgr");

struct Terminal {
    program: Child,
    keys: ChildStdin,
    output: Receiver<Vec<u8>>,
    seen: Vec<u8>,
}

impl Terminal {
    fn start(command: &str) -> Self {
        let command = format!("stty cols 80 rows 24; {command}; echo left with $?; stty -a");
        let mut program = Command::new("script")
            .args(["--quiet", "--return", "--command", &command, "/dev/null"])
            .env("TERM", "xterm-256color")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script, of util-linux");
        let (keys, mut stdout) = (program.stdin.take().unwrap(), program.stdout.take().unwrap());
        let (tell, output) = channel();
        thread::spawn(move || {
            let mut piece = [0; 4_096];
            while let Ok(n @ 1..) = stdout.read(&mut piece) {
                let _ = tell.send(piece[..n].to_vec());
            }
        });
        Self { program, keys, output, seen: Vec::new() }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until this has been written since the last time.
    fn sees(&mut self, text: &str) {
        let start = Instant::now();
        loop {
            if let Some(at) = self.seen.windows(text.len()).position(|w| w == text.as_bytes()) {
                self.seen.drain(..at + text.len());
                return;
            }
            let left = Duration::from_secs(60).saturating_sub(start.elapsed());
            let piece = self.output.recv_timeout(left);
            let seen = String::from_utf8_lossy(&self.seen);
            self.seen.extend(piece.unwrap_or_else(|_| panic!("no {text:?} in {seen:?}")));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// What a terminal is told when the screen of before comes back.
const BACK: &str = "\u{1b}[?1049l";

#[test]
fn it_draws_keys_turn_the_program_and_the_terminal_is_as_before() {
    let bench = start(|builder| builder);
    let address = bench.address;
    let mut terminal = Terminal::start(&format!("{GRMGR} top {address}"));
    terminal.sees("0 / 10");
    terminal.press("d");
    terminal.sees("db: lowered from 10 to 8");
    assert_eq!(bench.limiter.ceiling(), 8);
    terminal.press("s15\r");
    eventually("it is set", || bench.limiter.ceiling() == 15);
    terminal.press("s99\r");
    terminal.sees("give a number from 1 to 20");
    assert_eq!(bench.limiter.ceiling(), 15);
    terminal.press("p");
    terminal.sees("pause it");
    assert!(!bench.limiter.is_paused());
    terminal.press("y");
    eventually("it is paused", || bench.limiter.is_paused());
    // What has not changed is not drawn again, so only what is in a style of its own is looked for.
    terminal.press("\r");
    terminal.sees("given up waiting");
    terminal.press("\u{1b}");
    terminal.sees("waiting");
    terminal.press("/nobody");
    terminal.sees("Enter keeps it");
    terminal.press("\r");
    drop(bench);
    terminal.sees("no answer");
    terminal.press("q");
    terminal.sees(BACK);
    terminal.sees("left with 0");
    // Lines are put together and shown by the terminal again.
    terminal.sees(" icanon");
    terminal.sees(" echo ");
}

#[test]
fn control_c_leaves_it_too() {
    let bench = start(|builder| builder);
    let mut terminal = Terminal::start(&format!("{GRMGR} top {}", bench.address));
    terminal.sees("0 / 10");
    terminal.press("\u{3}");
    terminal.sees(BACK);
    terminal.sees("left with 0");
}

#[test]
fn what_cannot_be_shown_is_told_in_a_line() {
    let bench = start(|builder| builder);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let web = thread::spawn({
        let silent = silent.try_clone().unwrap();
        move || {
            let (mut stream, _) = silent.accept().unwrap();
            let _ = stream.read(&mut [0; 4_096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello");
        }
    });
    for (address, advice) in [
        (free.to_string(), "such as 127.0.0.1:9187"),
        ("https://127.0.0.1:1".into(), "no https"),
        ("no address".into(), "such as 127.0.0.1:9187"),
        (silent.local_addr().unwrap().to_string(), "answered something else"),
        (bench.address.to_string(), "does not go to one"),
    ] {
        let output = Command::new(GRMGR).args(["top", &address]).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.starts_with("grmgr: ") && error.contains(advice), "{error}");
        assert_eq!((error.lines().count(), output.stdout.len()), (1, 0), "{error}");
    }
    web.join().unwrap();
}
