//! What thousands of members cost the server, and how soon shares are fair after many come and many go:
//!
//! ```sh
//! cargo run --release -p grmgr-cluster --example many -- [MEMBERS] [MOVE]
//! ```
//!
//! The members are what a member is to the server: its requests. They are sent by the store itself, over a
//! few connections, at the times at which members would send them, in time that passes as fast as the server
//! can keep up. Needs `redis-server`.

mod server;

use std::error::Error;
use std::net::TcpStream;
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use grmgr_cluster::{Answer, RedisStore, Request, ShareStore, Terms};
use server::Server;

/// The usual times.
const TTL: u64 = 15_000;
const REFRESH: u64 = 5_000;

/// One of the members.
struct Member {
    request: Request,
    answer: Option<(Answer, u64)>,
    due: u64,
    gone: bool,
}

impl Member {
    fn new(number: usize, terms: Terms, now: u64, random: &mut u64) -> Self {
        let mut request = Request::first("many", &format!("{number:032x}"), 20, terms);
        request.seq = 0;
        Self { request, answer: None, due: now + next(random) % REFRESH, gone: false }
    }

    /// Sends its request, and does what a member does with the answer.
    fn refresh(
        &mut self,
        store: &mut RedisStore,
        now: u64,
        random: &mut u64,
    ) -> Result<(), Box<dyn Error>> {
        let q = &mut self.request;
        q.seq += 1;
        q.dice = next(random) as u8;
        if let Some((answer, at)) = &self.answer {
            q.has = answer.share;
            q.used = answer.share;
            q.seen = answer.now;
            q.elapsed = now - at;
            q.age = TTL;
            q.left = TTL - TTL / 10;
            (q.epoch, q.terms, q.since) = (answer.epoch, answer.terms, answer.since);
        }
        let answer = store.refresh(q)?;
        // Work that is above the share ends at once.
        self.due = now + REFRESH * 9 / 10 + next(random) % (REFRESH / 5);
        if answer.share < q.has {
            self.due = now + next(random) % (REFRESH / 10);
        } else if answer.share < answer.fair {
            self.due = now + REFRESH * 2 / 5 + next(random) % (REFRESH / 5);
        }
        q.used = answer.share;
        self.answer = Some((answer, now));
        Ok(())
    }

    fn share(&self) -> u64 {
        self.answer.as_ref().map_or(0, |(answer, _)| answer.share)
    }
}

fn next(random: &mut u64) -> u64 {
    *random =
        random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *random >> 33
}

/// The pool in real time: everybody refreshes when it is due.
struct Pool {
    members: Vec<Member>,
    store: RedisStore,
    begin: Instant,
    random: u64,
    requests: u64,
    late: u64,
}

impl Pool {
    fn now(&self) -> u64 {
        self.begin.elapsed().as_millis() as u64
    }

    /// Runs until the shares are so, and returns how long that took.
    fn run(
        &mut self,
        at_most: u64,
        mut is_so: impl FnMut(&[Member]) -> bool,
    ) -> Result<Option<u64>, Box<dyn Error>> {
        let begin = self.now();
        while self.now() < begin + at_most {
            let tick = self.now();
            for i in 0..self.members.len() {
                let now = self.now();
                let member = &mut self.members[i];
                if !member.gone && member.due <= now {
                    self.late = self.late.max(now - member.due);
                    member.refresh(&mut self.store, now, &mut self.random)?;
                    self.requests += 1;
                }
            }
            if is_so(&self.members) {
                return Ok(Some(self.now() - begin));
            }
            thread::sleep(Duration::from_millis(5u64.saturating_sub(self.now() - tick)));
        }
        Ok(None)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let numbers: Vec<usize> =
        std::env::args().skip(1).map(|n| n.parse()).collect::<Result<_, _>>()?;
    let members = numbers.first().copied().unwrap_or(10_000);
    let moved = numbers.get(1).copied().unwrap_or(members / 10);
    let server = Server::start()?;
    // Four for each as it begins; all want more.
    let total = 4 * members as u64;
    let terms = Terms { total, floor: 0, max_members: 0, ttl: TTL, max_hold: 0, max_lag: 0 };
    let memory = server.info::<u64>("memory", "used_memory")?;
    let mut random = 7;
    let mut pool = Pool {
        members: (0..members).map(|i| Member::new(i, terms, 0, &mut random)).collect(),
        store: RedisStore::new(&server.url())?.timeout(Duration::from_secs(10)),
        begin: Instant::now(),
        random,
        requests: 0,
        late: 0,
    };
    let fair = |share: u64| {
        move |members: &[Member]| {
            // With one for each that is left over, at most.
            members.iter().filter(|m| !m.gone).all(|m| (share..=share + 1).contains(&m.share()))
        }
    };
    let seconds = |time: Option<u64>| match time {
        Some(millis) => format!("{:.1} s", millis as f64 / 1_000.0),
        None => "not within 60 s".into(),
    };
    let begun = pool.run(60_000, fair(4))?;
    println!(
        "{members} members, {total} permits, ttl {} s, refresh {} s",
        TTL / 1_000,
        REFRESH / 1_000
    );
    println!(
        "fair after the first start (its quiet time is {} s): {}",
        TTL / 1_000,
        seconds(begun)
    );

    // The steady state.
    let (requests, cpu, calls) = (pool.requests, server.cpu()?, server.script_time()?);
    pool.run(20_000, |_| false)?;
    let requests = pool.requests - requests;
    let cpu = server.cpu()? - cpu;
    let (count, micros) = server.script_time()?;
    let (count, micros) = (count - calls.0, micros - calls.1);
    println!("steady for 20 s: {requests} refreshes, {:.0} a second", requests as f64 / 20.0);
    println!("  script: {:.1} µs each on average", micros as f64 / count as f64);
    println!(
        "  CPU of the server: {:.1} µs a refresh, {:.1} % of a core",
        cpu * 1e6 / requests as f64,
        cpu * 5.0
    );
    let used = server.info::<u64>("memory", "used_memory")? - memory;
    println!("  memory: {used} bytes, {} a member", used / members as u64);

    // Many come.
    let new = (total / (members + moved) as u64).max(1);
    let now = pool.now();
    for i in 0..moved {
        let member = Member::new(members + i, terms, now, &mut pool.random);
        pool.members.push(member);
    }
    let come = pool.run(60_000, fair(new))?;
    println!("fair after {moved} more have come within {} s: {}", REFRESH / 1_000, seconds(come));
    // Many go, without a word.
    for member in pool.members.iter_mut().take(moved) {
        member.gone = true;
    }
    let gone = pool.run(60_000, fair(4))?;
    println!(
        "fair after {moved} were killed (their leases last {} s): {}",
        TTL / 1_000,
        seconds(gone)
    );
    println!("no refresh was sent more than {} ms late", pool.late);
    Ok(())
}

/// What it says of itself.
impl Server {
    fn lines(&self, section: &str) -> Result<String, Box<dyn Error>> {
        use std::io::{Read, Write};
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.write_all(format!("INFO {section}\r\nQUIT\r\n").as_bytes())?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    }

    fn info<T>(&self, section: &str, name: &str) -> Result<T, Box<dyn Error>>
    where
        T: FromStr<Err: Error + 'static>,
    {
        let text = self.lines(section)?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        Ok(line.ok_or("INFO lacks a line")?.trim().parse()?)
    }

    /// Seconds of CPU that it has used.
    fn cpu(&self) -> Result<f64, Box<dyn Error>> {
        Ok(self.info::<f64>("cpu", "used_cpu_sys")? + self.info::<f64>("cpu", "used_cpu_user")?)
    }

    /// How often the script was called, and for how many microseconds in all.
    fn script_time(&self) -> Result<(u64, u64), Box<dyn Error>> {
        let text = self.lines("commandstats")?;
        let line = text.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:"));
        let line = line.ok_or("no script was called")?;
        let of = |name: &str| -> Result<u64, Box<dyn Error>> {
            let value = line.split(',').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            Ok(value.ok_or("INFO lacks a value")?.parse()?)
        };
        Ok((of("calls")?, of("usec")?))
    }
}
