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
use std::thread;
use std::time::{Duration, Instant};

use grmgr::{Limiter, Registry};
use grmgr_monitor::Monitor;

fn main() -> Result<(), Box<dyn Error>> {
    acquire()?;
    for limiters in [1, 100, 10_000] {
        cpu(limiters, Duration::from_secs(30))?;
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

/// The quickest of many rounds: what the machine does besides only adds.
fn acquire() -> Result<(), Box<dyn Error>> {
    let registry = registry(1);
    let limiter = registry.get("limiter 0").expect("just registered");
    let measure = || {
        let round = |_| {
            const N: u32 = 1_000_000;
            let start = Instant::now();
            for _ in 0..N {
                drop(black_box(limiter.try_acquire()));
            }
            start.elapsed().as_secs_f64() * 1e9 / f64::from(N)
        };
        (0..200).map(round).fold(f64::INFINITY, f64::min)
    };
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

/// CPU of the sampler and the writer, at the default intervals, all limiters in use.
fn cpu(limiters: usize, span: Duration) -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let registry = registry(limiters);
    let monitor =
        Monitor::builder(registry.clone()).history(folder.path().join("stats.db")).start()?;
    // The first report adds the limiters to the database; that happens once.
    monitor.flush()?;
    let before = ["grmgr-sampler", "grmgr-history"].map(cpu_of);
    let start = Instant::now();
    thread::sleep(span);
    let passed = start.elapsed();
    let after = ["grmgr-sampler", "grmgr-history"].map(cpu_of);
    let share =
        |i: usize| 100.0 * after[i].saturating_sub(before[i]).as_secs_f64() / passed.as_secs_f64();
    println!(
        "{limiters:6} limiters: sampler {:.4} %, history {:.4} % of one CPU; {} MB resident",
        share(0),
        share(1),
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
