//! Three processes share twelve permits; one is killed. One command:
//!
//! ```sh
//! cargo run -p grmgr-cluster --example cluster
//! ```
//!
//! starts a server of its own (`redis-server` has to be installed) and takes about fifteen seconds. With
//! `--redis URL` it uses yours.

mod server;

use std::error::Error;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use grmgr::{Handle, Limiter};
use grmgr_cluster::{LeaseClock, Member, State};
use server::Server;

const TOTAL: usize = 12;
const TTL: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        ["--member", url] => member(url),
        ["--redis", url] => show(url),
        [] => Server::start().and_then(|server| show(&server.url())),
        _ => Err("usage: cluster [--redis URL]".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cluster: {error}");
            ExitCode::FAILURE
        }
    }
}

/// One of the three processes: as much work as it may do, and a line about it every now and then.
fn member(url: &str) -> Result<(), Box<dyn Error>> {
    let limiter = Limiter::builder("work").ceiling(TOTAL).run_alone(false).clock(LeaseClock);
    let limiter = Handle::from(limiter.build()?);
    let member = Member::builder(limiter.clone())
        .redis(url)
        .pool("example")
        .total(TOTAL)
        .ttl(TTL)
        .refresh(TTL / 6)
        .max_lag(Duration::ZERO)
        .start()?;
    for _ in 0..2 * TOTAL {
        let limiter = limiter.clone();
        thread::spawn(move || {
            while let Ok(_permit) = limiter.acquire_blocking() {
                thread::sleep(Duration::from_millis(20));
            }
        });
    }
    loop {
        let alone = match member.state() {
            State::Alone { why, .. } => why.to_string(),
            _ => String::new(),
        };
        let line = format!("{} {} {alone}", limiter.ceiling(), limiter.in_flight());
        // When nobody reads it any more, it is over.
        writeln!(std::io::stdout(), "{line}")?;
        thread::sleep(Duration::from_millis(50));
    }
}

/// What a process last said: its share, what is in flight, why it is alone.
type Said = Arc<Mutex<(usize, usize, String)>>;

struct Process {
    child: Child,
    said: Said,
}

impl Process {
    fn start(url: &str) -> Result<Self, Box<dyn Error>> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--member", url])
            .stdout(Stdio::piped())
            .spawn()?;
        let said = Said::default();
        let (out, heard) = (child.stdout.take().ok_or("no output")?, said.clone());
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let mut words = line.splitn(3, ' ');
                let mut number = || words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
                let (share, in_flight) = (number(), number());
                let why = words.next().unwrap_or_default().to_owned();
                if let Ok(mut heard) = heard.lock() {
                    *heard = (share, in_flight, why);
                }
            }
        });
        Ok(Self { child, said })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn show(url: &str) -> Result<(), Box<dyn Error>> {
    let mut processes = Vec::new();
    for _ in 0..3 {
        processes.push(Some(Process::start(url)?));
    }
    println!("{TOTAL} permits for three processes; a lease lasts {TTL:?}\n");
    println!("{:>6}  {:<14}{:<14}{:<14}{:>6}", "time", "first", "second", "third", "shares");
    let terminal = std::io::stdout().is_terminal();
    let (begin, mut last, mut event) = (Instant::now(), String::new(), "");
    let mut fair_at = None;
    loop {
        let mut columns = String::new();
        let mut shares = Vec::new();
        for process in &processes {
            let column = match process {
                None => "killed".into(),
                Some(process) => {
                    let (share, in_flight, why) =
                        process.said.lock().map_err(|_| "poisoned")?.clone();
                    shares.push(share);
                    if why.is_empty() {
                        format!("{in_flight:>2} of {share:>2}")
                    } else {
                        "alone".into()
                    }
                }
            };
            columns.push_str(&format!("{column:<14}"));
        }
        let sum: usize = shares.iter().sum();
        let row = format!("{columns}{sum:>6}  {event}");
        // In a terminal a line that lives; elsewhere one for each change of a share.
        let now = format!("{shares:?}{event}");
        if now != last && !last.is_empty() && terminal {
            println!();
        }
        if terminal || now != last {
            let time = begin.elapsed().as_secs_f64();
            print!(
                "{}{time:>5.1}s  {row}{}",
                if terminal { "\r" } else { "" },
                if terminal { "" } else { "\n" }
            );
            std::io::stdout().flush()?;
        }
        last = now;
        let fair = shares.iter().all(|share| *share == TOTAL / shares.len());
        let since = *fair_at.get_or_insert_with(Instant::now);
        if !fair {
            fair_at = None;
        } else if since.elapsed() > Duration::from_secs(2) {
            if processes[1].is_none() {
                break;
            }
            processes[1] = None;
            event = "<- the second was killed: its share comes back when its lease ends";
            fair_at = None;
        }
        if begin.elapsed() > Duration::from_secs(60) {
            return Err("the shares have not become fair".into());
        }
        thread::sleep(Duration::from_millis(100));
    }
    println!("\n\nThe other two share all {TOTAL}.");
    Ok(())
}
