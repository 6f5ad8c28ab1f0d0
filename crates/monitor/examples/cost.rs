//! What watching costs: time of an acquire, CPU of the monitor's threads, bytes on disk.
//!
//! ```text
//! cargo run --release -p grmgr-monitor --example cost
//! ```
//!
//! Linux only: the threads' CPU time is read from `/proc`.

use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::thread;
use std::time::{Duration, Instant};

use grmgr::{Limiter, Registry};
use grmgr_monitor::Monitor;

fn main() -> Result<(), Box<dyn Error>> {
    acquire()?;
    for limiters in [1, 100, 10_000] {
        for in_use in [false, true] {
            cpu(limiters, in_use, Duration::from_secs(20))?;
        }
    }
    disk()
}

fn registry(limiters: usize) -> Arc<Registry> {
    let registry = Arc::new(Registry::new());
    for i in 0..limiters {
        registry.register(Limiter::new(format!("limiter {i}"), 100)).expect("a new name");
    }
    registry
}

/// The quickest of many short rounds: what the machine does besides only adds.
fn acquire() -> Result<(), Box<dyn Error>> {
    let registry = registry(1);
    let limiter = registry.get("limiter 0").expect("just registered");
    let measure = || {
        let round = |_| {
            const N: u32 = 100_000;
            let start = Instant::now();
            for _ in 0..N {
                drop(black_box(limiter.try_acquire()));
            }
            start.elapsed().as_secs_f64() * 1e9 / f64::from(N)
        };
        (0..2_000).map(round).fold(f64::INFINITY, f64::min)
    };
    let floor = (0..2_000).map(|_| two_atomics()).fold(f64::INFINITY, f64::min);
    println!("two bare atomic operations:              {floor:6.2} ns");
    println!("try_acquire + drop, no monitor:          {:6.2} ns", measure());
    for every in [2_000, 10] {
        let every = Duration::from_millis(every);
        let monitor = Monitor::builder(registry.clone()).sample_every(every).start()?;
        println!("try_acquire + drop, sampled every {every:<6?} {:6.2} ns", measure());
        drop(monitor);
    }
    println!("try_acquire + drop, after the monitor:   {:6.2} ns", measure());
    Ok(())
}

/// What giving out and taking back cannot do without: for comparison with other machines, and with
/// the primitive's own figures, which are without `stats`.
fn two_atomics() -> f64 {
    const N: u32 = 100_000;
    let word = AtomicU64::new(0);
    let start = Instant::now();
    for _ in 0..N {
        black_box(&word).fetch_add(1, Acquire);
        black_box(&word).fetch_sub(1, Release);
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(N)
}

/// CPU of the sampler and the writer, at the default intervals; with each limiter in use between any
/// two samples, or none.
fn cpu(limiters: usize, in_use: bool, span: Duration) -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let registry = registry(limiters);
    let monitor =
        Monitor::builder(registry.clone()).history(folder.path().join("stats.db")).start()?;
    // The first report adds the limiters to the database; that happens once.
    monitor.flush()?;
    let counts = || {
        let health = monitor.health();
        [health.samples, health.history.map_or(0, |history| history.reports)]
    };
    let threads = ["grmgr-sampler", "grmgr-history"];
    let (before, counted) = (threads.map(cpu_of), counts());
    let start = Instant::now();
    while start.elapsed() < span {
        if in_use {
            registry.limiters().iter().for_each(|limiter| drop(limiter.try_acquire()));
        }
        thread::sleep(Duration::from_secs(1));
    }
    let (passed, after, now) = (start.elapsed(), threads.map(cpu_of), counts());
    let used: [_; 2] = std::array::from_fn(|i| after[i].saturating_sub(before[i]).as_secs_f64());
    let each = |i: usize| 1e3 * used[i] / (now[i] - counted[i]).max(1) as f64;
    println!(
        "{limiters:6} limiters{}: {:.3} % of one CPU; {:.2} ms a sample, {:.2} ms a report; {} MB resident",
        if in_use { " in use" } else { "" },
        100.0 * (used[0] + used[1]) / passed.as_secs_f64(),
        each(0),
        each(1),
        resident_kb() / 1_024
    );
    Ok(())
}

/// Bytes a sample takes in the file, and so a limiter in a day.
fn disk() -> Result<(), Box<dyn Error>> {
    const LIMITERS: usize = 100;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("stats.db");
    let monitor = Monitor::builder(registry(LIMITERS))
        .sample_every(Duration::from_millis(10))
        .report_every(Duration::from_millis(500))
        .history(&file)
        .start()?;
    monitor.flush()?;
    let (bytes, samples) = (size(&file)?, monitor.health().samples);
    thread::sleep(Duration::from_secs(20));
    monitor.flush()?;
    let (bytes, samples) = (size(&file)? - bytes, monitor.health().samples - samples);
    let each = bytes as f64 / (samples as f64 * LIMITERS as f64);
    println!(
        "disk: {each:.1} bytes a sample; a limiter and day at 2 s: {:.2} MB, once thinned {:.0} kB",
        each * 43_200.0 / 1e6,
        each * 1_440.0 / 1e3
    );
    Ok(())
}

/// The file's own size once its log is in it.
fn size(file: &Path) -> Result<u64, Box<dyn Error>> {
    let db = rusqlite::Connection::open(file)?;
    db.busy_timeout(Duration::from_secs(5))?;
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(fs::metadata(file)?.len())
}

/// CPU time of this process's thread of that name.
fn cpu_of(name: &str) -> Duration {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let named = tasks.map(|task| task.path()).find(|task| {
        fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim_end() == name)
    });
    let text = named.and_then(|task| fs::read_to_string(task.join("schedstat")).ok());
    let nanos = text.and_then(|text| text.split(' ').next()?.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

fn resident_kb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).unwrap_or(0)
}
