//! What goes wrong, with a real server and members that are real processes, each saturated with work. In
//! each test no more permits than the total are in flight at any moment; `cargo test -- --nocapture
//! --include-ignored` prints the most there were, and of how many looks.

#![cfg(all(unix, feature = "redis"))]

mod support;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use grmgr::{Clock, Handle, Limiter};
use grmgr_cluster::{
    Answer, LeaseClock, Member, MemoryStore, RedisStore, Request, ShareStore, State, StoreError,
    Terms,
};
use rustix::process::{Pid, Signal, kill_process};
use support::{Proxy, Server, soon};

const TOTAL: usize = 12;
const TTL: Duration = Duration::from_millis(1_500);
const REFRESH: Duration = Duration::from_millis(300);
/// No primary here is replaced, but where a test says so.
const LAG: Duration = Duration::from_millis(100);
/// What `min-replicas-max-lag 1` needs.
const LAG_OF_REPLICAS: Duration = Duration::from_millis(3_000);
/// What one piece of work takes. A permit counts as in flight for no longer than a few times this, so that
/// the work of a process that is stopped does not count while it stands still.
const WORK: Duration = Duration::from_millis(10);
const COUNTS: u64 = 40_000_000;
/// Generous, for machines that have much else to do.
const PATIENCE: Duration = Duration::from_secs(20);

/// A member in a process of its own.
struct Process {
    child: Child,
    log: PathBuf,
}

/// The members of one test, with all their logs.
struct Pool {
    dir: tempfile::TempDir,
    name: String,
    lag: Duration,
    logs: Vec<PathBuf>,
}

impl Pool {
    fn new(name: &str) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), name: name.into(), lag: LAG, logs: Vec::new() }
    }

    fn join(&mut self, url: &str) -> Process {
        let log = self.dir.path().join(self.logs.len().to_string());
        self.logs.push(log.clone());
        File::create(&log).unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_member_process", "--include-ignored", "--nocapture"])
            .env("MEMBER_URL", url)
            .env("MEMBER_POOL", &self.name)
            .env("MEMBER_LAG", self.lag.as_millis().to_string())
            .env("MEMBER_LOG", &log)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Process { child, log }
    }

    /// The most permits in flight at once, and at how many grants that was looked at.
    fn most(&self) -> (usize, usize) {
        let mut moves = Vec::new();
        for log in &self.logs {
            let mut began = BTreeMap::new();
            for line in fs::read_to_string(log).unwrap().lines() {
                let words: Vec<u64> =
                    line.split(' ').skip(1).filter_map(|word| word.parse().ok()).collect();
                match (line.as_bytes().first(), &words[..]) {
                    (Some(b'G'), [id, at]) => drop(began.insert(*id, *at)),
                    (Some(b'R'), [id, at]) => {
                        if let Some(begin) = began.remove(id) {
                            moves.push((begin, 1));
                            moves.push(((*at).min(begin + COUNTS), -1));
                        }
                    }
                    _ => {}
                }
            }
            // Those that were killed while they worked.
            for begin in began.into_values() {
                moves.push((begin, 1));
                moves.push((begin + COUNTS, -1));
            }
        }
        // Of the same moment, ends first.
        moves.sort_unstable();
        let (mut in_flight, mut most) = (0isize, 0);
        for (_, by) in &moves {
            in_flight += by;
            most = most.max(in_flight);
        }
        (most as usize, moves.len() / 2)
    }

    /// Says what there was, and that it was no more than the total.
    fn check(&self) {
        let (most, looks) = self.most();
        println!("{}: at most {most} of {TOTAL} in force, {looks} looks", self.name);
        assert!(most <= TOTAL, "{}: {most} in force", self.name);
        assert!(looks > 500, "too little was going on: {looks}");
    }
}

impl Process {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// What it last said of its state: its share, whether it is alone, the epoch.
    fn last(&self) -> (usize, bool, u64) {
        let log = fs::read_to_string(&self.log).unwrap();
        // The last line may be half written.
        let whole = log.rfind('\n').map_or("", |end| &log[..end]);
        let line = whole.lines().rev().find(|line| line.starts_with('S'));
        let words: Vec<u64> = line
            .unwrap_or("S 0 0 1 0")
            .split(' ')
            .skip(2)
            .filter_map(|word| word.parse().ok())
            .collect();
        (words[0] as usize, words[1] == 1, words[2])
    }

    fn share(&self) -> usize {
        self.last().0
    }

    fn alone(&self) -> bool {
        self.last().1
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Not a test: what the processes run.
#[test]
#[ignore = "only for the other tests"]
fn a_member_process() {
    let Ok(url) = std::env::var("MEMBER_URL") else { return };
    let pool = std::env::var("MEMBER_POOL").unwrap();
    let lag = std::env::var("MEMBER_LAG").unwrap();
    let log = File::options().append(true).open(std::env::var("MEMBER_LOG").unwrap()).unwrap();
    let log = Arc::new(log);
    let limiter = Limiter::builder("db").ceiling(TOTAL).run_alone(false).clock(LeaseClock);
    let limiter = Handle::from(limiter.build().unwrap());
    let builder = Member::builder(limiter.clone());
    let builder = match url.strip_prefix("jumpy") {
        Some(rest) => {
            let client = redis::Client::open(format!("redis{rest}")).unwrap();
            builder.store(Jumpy(client.get_connection().unwrap()))
        }
        None => builder.redis(url),
    };
    let member = builder
        .pool(pool)
        .total(TOTAL)
        .ttl(TTL)
        .refresh(REFRESH)
        .max_lag(Duration::from_millis(lag.parse().unwrap()))
        .start()
        .unwrap();
    // They take what there is, and know when: of a permit that is handed to a waiter, one that is stopped
    // before it looks at the clock does not.
    for worker in 0..TOTAL {
        let (limiter, log) = (limiter.clone(), log.clone());
        thread::spawn(move || {
            let now = || LeaseClock.now().as_nanos() as u64;
            for n in 0u64.. {
                let (before, permit) = loop {
                    let before = now();
                    match limiter.try_acquire() {
                        Ok(permit) => break (before, permit),
                        Err(_) => thread::sleep(WORK / 5),
                    }
                };
                let id = worker as u64 + n * 100;
                let after = now();
                let granted = if after - before < COUNTS { after } else { before };
                (&*log).write_all(format!("G {id} {granted}\n").as_bytes()).unwrap();
                thread::sleep(WORK);
                (&*log).write_all(format!("R {id} {}\n", now()).as_bytes()).unwrap();
                drop(permit);
            }
        });
    }
    // And these wait, so that the member wants more.
    for _ in 0..TOTAL {
        let limiter = limiter.clone();
        thread::spawn(move || {
            loop {
                drop(limiter.acquire_blocking().unwrap());
                thread::sleep(WORK);
            }
        });
    }
    let mut last = String::new();
    loop {
        let state = match member.state() {
            State::Leased { share, epoch, .. } => format!("{share} 0 {epoch}"),
            _ => "0 1 0".into(),
        };
        if state != last {
            let line = format!("S {} {state}\n", LeaseClock.now().as_nanos());
            (&*log).write_all(line.as_bytes()).unwrap();
            last = state;
        }
        thread::sleep(Duration::from_millis(2));
        // Nobody is left to look at it.
        if std::os::unix::process::parent_id() == 1 {
            return;
        }
    }
}

/// Three members with a fair share each.
fn three(pool: &mut Pool, urls: [&str; 3]) -> [Process; 3] {
    let members = urls.map(|url| pool.join(url));
    soon(PATIENCE, "fair shares", || members.iter().all(|member| member.share() == 4));
    thread::sleep(REFRESH);
    members
}

#[test]
#[ignore = "needs redis-server"]
fn a_member_is_killed() {
    let server = Server::start(&[]);
    let mut pool = Pool::new("a member is killed");
    let [mut a, b, c] = three(&mut pool, [&server.url(); 3]);
    a.kill();
    let back = soon(PATIENCE, "its share is back", || b.share() == 6 && c.share() == 6);
    println!("its share was back after {back:?}; ttl {TTL:?}, refresh {REFRESH:?}");
    let d = pool.join(&server.url());
    let fair = soon(PATIENCE, "fair again", || [&b, &c, &d].iter().all(|m| m.share() == 4));
    println!("fair {fair:?} after another one was started");
    pool.check();
}

#[test]
#[ignore = "needs redis-server"]
fn a_member_is_stopped_and_woken() {
    let server = Server::start(&[]);
    let mut pool = Pool::new("a member is stopped and woken");
    let [a, b, c] = three(&mut pool, [&server.url(); 3]);
    for _ in 0..3 {
        a.signal(Signal::STOP);
        soon(PATIENCE, "its share is with the others", || b.share() + c.share() == TOTAL);
        thread::sleep(REFRESH);
        a.signal(Signal::CONT);
        soon(PATIENCE, "fair again", || [&a, &b, &c].iter().all(|m| m.share() == 4));
    }
    pool.check();
}

#[test]
#[ignore = "needs redis-server"]
fn the_server_is_killed_and_comes_back_empty() {
    let mut server = Server::start(&[]);
    let mut pool = Pool::new("the server is killed and comes back empty");
    let members = three(&mut pool, [&server.url(); 3]);
    server.kill();
    let lost = soon(PATIENCE, "at the floor", || members.iter().all(|m| m.share() == 0));
    println!("at the floor {lost:?} after the server was killed; ttl {TTL:?}");
    thread::sleep(TTL);
    assert!(members.iter().all(Process::alone));
    server.restart();
    let back = soon(PATIENCE, "shares again", || members.iter().all(|m| m.share() == 4));
    println!("shares again {back:?} after it came back");
    pool.check();
}

#[test]
#[ignore = "needs redis-server"]
fn the_server_is_stopped_and_woken() {
    let server = Server::start(&[]);
    let mut pool = Pool::new("the server is stopped and woken");
    let members = three(&mut pool, [&server.url(); 3]);
    let pid = Pid::from_raw(server.pid() as i32).unwrap();
    for stopped in [TTL / 2, 2 * TTL] {
        kill_process(pid, Signal::STOP).unwrap();
        thread::sleep(stopped);
        // What was sent meanwhile is all done at once.
        kill_process(pid, Signal::CONT).unwrap();
        soon(PATIENCE, "shares again", || members.iter().all(|m| m.share() == 4));
    }
    pool.check();
}

#[test]
#[ignore = "needs redis-server"]
fn everything_is_flushed() {
    let server = Server::start(&[]);
    let mut pool = Pool::new("everything is flushed");
    let members = three(&mut pool, [&server.url(); 3]);
    let epoch = members[0].last().2;
    for _ in 0..3 {
        let _: () = server.command(&["FLUSHALL"]);
        thread::sleep(3 * REFRESH);
    }
    soon(PATIENCE, "a new epoch", || members.iter().all(|m| m.last().2 > epoch));
    assert!(members.iter().all(|m| m.share() == 4), "shares outlast it");
    // A key is evicted, so to speak.
    let _: () = server.command(&["DEL", "grmgr:{everything%20is%20flushed}:has"]);
    thread::sleep(3 * REFRESH);
    soon(PATIENCE, "shares", || members.iter().all(|m| m.share() == 4));
    pool.check();
}

#[test]
#[ignore = "needs redis-server"]
fn the_script_is_flushed() {
    let server = Server::start(&[]);
    let mut pool = Pool::new("the script is flushed");
    let members = three(&mut pool, [&server.url(); 3]);
    let epochs = members.each_ref().map(|m| m.last().2);
    for _ in 0..5 {
        let _: () = server.command(&["SCRIPT", "FLUSH"]);
        thread::sleep(REFRESH);
        assert!(members.iter().all(|m| m.share() == 4));
    }
    assert_eq!(members.each_ref().map(|m| m.last().2), epochs);
    pool.check();
}

#[test]
#[ignore = "needs redis-server"]
fn a_partition_swallows_what_is_sent() {
    let server = Server::start(&[]);
    let proxy = Proxy::start(server.port);
    let mut pool = Pool::new("a partition swallows what is sent");
    let [a, b, c] = three(&mut pool, [&proxy.url(), &server.url(), &server.url()]);
    for _ in 0..2 {
        proxy.swallow(true);
        let floor = soon(PATIENCE, "it is at the floor", || a.share() == 0);
        println!("at the floor {floor:?} after it was cut off; ttl {TTL:?}");
        soon(PATIENCE, "the others have its share", || b.share() + c.share() == TOTAL);
        proxy.swallow(false);
        soon(PATIENCE, "fair again", || [&a, &b, &c].iter().all(|m| m.share() == 4));
    }
    pool.check();
}

#[test]
#[ignore = "needs redis-server"]
fn answers_are_late() {
    let server = Server::start(&[]);
    let proxies = [0; 3].map(|_| Proxy::start(server.port));
    let mut pool = Pool::new("answers are late");
    let urls = proxies.each_ref().map(Proxy::url);
    let members = three(&mut pool, urls.each_ref().map(String::as_str));
    // The timeout is a tenth of the ttl, for the two ways together: the longer ones come too late.
    for (round, delay) in [40, 70, 75, 80, 120, 300, 0].into_iter().enumerate() {
        for (i, proxy) in proxies.iter().enumerate() {
            proxy.delay(if i == round % 3 { 0 } else { delay });
        }
        thread::sleep(TTL);
    }
    for proxy in &proxies {
        proxy.delay(0);
    }
    soon(PATIENCE, "fair again", || members.iter().all(|m| m.share() == 4));
    pool.check();
}

/// The replica is promoted and one member moves to it, while the other stays at the old primary.
fn promotion(name: &str, old: &Server, new: &Server) -> (usize, usize) {
    let port = old.port.to_string();
    let _: () = new.command(&["REPLICAOF", "127.0.0.1", &port]);
    soon(PATIENCE, "the replica is up", || {
        let info: String = new.command(&["INFO", "replication"]);
        info.contains("master_link_status:up")
    });
    // The primary counts its good replicas once a second.
    thread::sleep(Duration::from_millis(1_500));
    let way = Proxy::start(old.port);
    let mut pool = Pool::new(name);
    pool.lag = LAG_OF_REPLICAS;
    let [a, b] = [pool.join(&old.url()), pool.join(&way.url())];
    soon(PATIENCE, "fair shares", || a.share() == 6 && b.share() == 6);
    let _: () = new.command(&["REPLICAOF", "NO", "ONE"]);
    way.turn(new.port);
    let begin = Instant::now();
    soon(PATIENCE, "the member at the new one has it all", || b.share() == TOTAL);
    println!("{name}: grown {:?} after the promotion", begin.elapsed());
    assert!(begin.elapsed() >= TTL + LAG_OF_REPLICAS - REFRESH, "it has grown too early");
    thread::sleep(TTL);
    pool.most()
}

#[test]
#[ignore = "needs redis-server"]
fn a_replica_is_promoted_and_the_old_primary_lives_guarded() {
    let guard = ["--min-replicas-to-write", "1", "--min-replicas-max-lag", "1"];
    let [old, new] = [Server::start(&guard), Server::start(&[])];
    let (most, looks) = promotion("promotion, guarded", &old, &new);
    println!("promotion, guarded: at most {most} of {TOTAL} in force, {looks} looks");
    assert!(most <= TOTAL, "{most}");
}

/// What is not promised (O4): the risk that the member warns of is real.
#[test]
#[ignore = "needs redis-server"]
fn a_replica_is_promoted_and_the_old_primary_lives_unguarded() {
    let [old, new] = [Server::start(&[]), Server::start(&[])];
    let (most, looks) = promotion("promotion, unguarded", &old, &new);
    println!("promotion, unguarded: at most {most} of {TOTAL} in force, {looks} looks");
    assert!(most > TOTAL, "{most}: the guard is not needed?");
}

/// The script as it is, but for the time: that of the server and what its key `jump` says.
struct Jumpy(redis::Connection);

impl ShareStore for Jumpy {
    fn refresh(&mut self, q: &Request) -> Result<Answer, StoreError> {
        let failed = |error: redis::RedisError| StoreError::Unreachable(error.to_string());
        let (seconds, micros): (u64, u64) =
            redis::cmd("TIME").query(&mut self.0).map_err(failed)?;
        let jump: Option<u64> = redis::cmd("GET").arg("jump").query(&mut self.0).map_err(failed)?;
        let now = seconds * 1_000 + micros / 1_000 + jump.unwrap_or(0);
        let script = redis::Script::new(include_str!("../src/script.lua"));
        let mut call = script.prepare_invoke();
        for part in ["leases", "has", "wants", "meta"] {
            call.key(format!("{{{}}}:{part}", q.pool));
        }
        let Terms { total, floor, max_members, ttl, max_hold, max_lag } = q.terms;
        call.arg(&*q.member).arg(q.seq).arg(q.want).arg(q.used).arg(q.has);
        call.arg(q.left).arg(q.seen).arg(q.elapsed).arg(q.age).arg(q.epoch);
        call.arg(format!("{total} {floor} {max_members} {ttl} {max_hold} {max_lag}"));
        call.arg(q.since).arg(q.dice).arg(u8::from(q.leaving)).arg(now);
        let reply: Vec<u64> = call.invoke(&mut self.0).map_err(failed)?;
        let [_, 0, share, fair, members, epoch, quiet, now, since, ..] = reply[..] else {
            return Err(StoreError::Stale);
        };
        Ok(Answer { share, fair, members, epoch, quiet, now, terms: q.terms, since })
    }
}

#[test]
#[ignore = "needs redis-server"]
fn the_servers_clock_jumps() {
    let server = Server::start(&[]);
    let url = server.url().replace("redis", "jumpy");
    let mut pool = Pool::new("the server's clock jumps");
    let members = three(&mut pool, [&url; 3]);
    // Ahead, and back by less than that.
    for jump in ["3600000", "7200000", "7203000", "3600000"] {
        let epoch = members[0].last().2;
        let _: () = server.command(&["SET", "jump", jump]);
        // One that comes just then must not profit from it.
        let newcomer = pool.join(&url);
        soon(PATIENCE, "a new epoch", || members[0].last().2 > epoch);
        thread::sleep(TTL);
        drop(newcomer);
        soon(PATIENCE, "fair again", || members.iter().all(|m| m.share() == 4));
    }
    pool.check();
}

#[test]
#[ignore = "needs redis-server"]
fn two_hundred_members_come_at_once_and_again_after_a_loss() {
    let mut server = Server::start(&[]);
    let begin = Instant::now();
    let members: Vec<(Handle, Member)> = (0..200)
        .map(|_| {
            let limiter = Limiter::builder("db").ceiling(400).run_alone(false).clock(LeaseClock);
            let limiter = Handle::from(limiter.build().unwrap());
            let member = Member::builder(limiter.clone())
                .redis(server.url())
                .pool("storm")
                .total(400)
                // Two hundred threads on the few processors of a test machine.
                .ttl(Duration::from_secs(4))
                .max_lag(Duration::ZERO)
                .start()
                .unwrap();
            (limiter, member)
        })
        .collect();
    let mut looks = 0;
    let mut most = 0;
    let mut all = |what: &str| {
        soon(3 * PATIENCE, what, || {
            // What is read later may have been given back before: a sum of many looks is no moment. So
            // the shares are read twice, and what stayed was there in between.
            let shares = || members.iter().map(|(limiter, _)| limiter.ceiling());
            let first: Vec<usize> = shares().collect();
            let sum = first.iter().zip(shares()).map(|(a, b)| *a.min(&b)).sum::<usize>();
            looks += 1;
            most = most.max(sum);
            assert!(sum <= 400, "{sum}");
            members.iter().all(|(limiter, _)| limiter.ceiling() >= 1)
        })
    };
    all("one for each");
    println!("storm: one permit for each after {:?}", begin.elapsed());
    server.restart();
    thread::sleep(Duration::from_secs(5));
    all("one for each still");
    println!("storm: all have kept theirs; at most {most} of 400 in force, {looks} looks");
}

#[test]
#[ignore = "needs redis-server"]
fn sentinel_names_the_new_primary() {
    let (mut old, new) = (Server::start(&[]), Server::start(&[]));
    let port = old.port.to_string();
    let _: () = new.command(&["REPLICAOF", "127.0.0.1", &port]);
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("sentinel.conf");
    fs::write(
        &config,
        format!(
            "sentinel monitor main 127.0.0.1 {port} 1\nsentinel down-after-milliseconds main 500\n\
             sentinel failover-timeout main 2000\n"
        ),
    )
    .unwrap();
    let sentinel = Server::start(&[config.to_str().unwrap(), "--sentinel"]);
    soon(PATIENCE, "Sentinel knows the replica", || {
        let group: Vec<String> = sentinel.command(&["SENTINEL", "MASTER", "main"]);
        group.windows(2).any(|pair| pair == ["num-slaves", "1"])
    });
    let mut store = RedisStore::new("redis://primary")
        .unwrap()
        .sentinel("main", [format!("redis://127.0.0.1:{}", support::free_port()), sentinel.url()])
        .unwrap();
    let terms =
        Terms { total: 12, floor: 0, max_members: 0, ttl: 1_500, max_hold: 0, max_lag: 1_000 };
    let mut request = Request::first("sentinel", "a", 1, terms);
    request.epoch = store.refresh(&request).unwrap().epoch;
    assert!(store.risk().is_some(), "nothing guards the old primary");
    old.kill();
    request.seq += 1;
    assert!(store.refresh(&request).is_err());
    let mut answer = None;
    soon(2 * PATIENCE, "the new primary answers", || {
        request.seq += 1;
        answer = store.refresh(&request).ok();
        answer.is_some()
    });
    assert!(answer.unwrap().epoch > request.epoch, "another server begins another epoch");
}

#[test]
fn a_store_in_memory_serves_members_with_threads() {
    let store = MemoryStore::new();
    let members: Vec<_> = (0..3)
        .map(|_| {
            let limiter = Limiter::builder("db").ceiling(TOTAL).run_alone(false).clock(LeaseClock);
            let limiter = Handle::from(limiter.build().unwrap());
            let builder = Member::builder(limiter.clone()).store(store.clone()).total(TOTAL);
            let builder = builder.ttl(Duration::from_millis(300)).max_lag(Duration::ZERO);
            (limiter, builder.start().unwrap())
        })
        .collect();
    soon(PATIENCE, "one for each", || members.iter().all(|(limiter, _)| limiter.ceiling() >= 1));
    for (limiter, member) in members {
        let cap = member.leave();
        assert_eq!(limiter.ceiling(), 0);
        drop(cap);
        assert_eq!(limiter.ceiling(), TOTAL);
        // One that is dropped does not set its limiter free.
        drop(Member::builder(limiter.clone()).store(store.clone()).total(TOTAL).start().unwrap());
        assert_eq!(limiter.ceiling(), 0);
    }
}
