//! What a registry with many limiters costs: the time of each call, and the memory. Not a comparison:
//! no other semaphore has a registry.
//!
//! ```text
//! cargo run --release -p grmgr-benches --bin registry             # 100,000 limiters
//! cargo run --release -p grmgr-benches --bin registry -- 1000000
//! ```

use std::env::args;
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use grmgr::{Limiter, Registry};
use grmgr_benches::alloc::counted;

const CEILING: usize = 4;

fn main() -> ExitCode {
    let count = match args().nth(1).map(|count| count.parse()) {
        None => 100_000,
        Some(Ok(count)) if count > 0 => count,
        Some(_) => {
            eprintln!("how many limiters? A number from 1, for example: registry 100000");
            return ExitCode::FAILURE;
        }
    };
    // In no order, as tenants come.
    let names: Vec<String> = (0..count)
        .map(|i: u64| format!("tenant-{:016x}", i.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
        .collect();
    let make = |name: &String| Limiter::new(name.clone(), CEILING);
    let registry = Registry::new();
    println!("{count} limiters, names of {} bytes\n", names[0].len());

    let (memory, ()) = counted(|| {
        each("get_or_register_with, new", &names, |name| {
            drop(registry.get_or_register_with(name, || make(name)));
        });
    });
    let bytes = memory.live_bytes as f64 / count as f64;
    println!("  {bytes:.0} bytes each, of which the limiter {}", size_of::<Limiter>());
    each("get_or_register_with, known", &names, |name| {
        drop(registry.get_or_register_with(name, || unreachable!()));
    });
    each("get", &names, |name| drop(black_box(registry.get(name))));
    each("get, acquire, drop", &names, |name| {
        let limiter = registry.get(name).expect("registered");
        drop(limiter.try_acquire().expect("free"));
    });
    contended(&registry, &names);

    all("limiters", count, || drop(black_box(registry.limiters())));
    all("snapshots", count, || drop(black_box(registry.snapshots())));
    all("down_all", count, || drop(black_box(registry.down_all())));
    all("retain, all kept", count, || registry.retain(|_| true));
    let handles = registry.limiters();
    all("remove_idle, all in use", count, || assert_eq!(registry.remove_idle(), 0));
    drop(handles);
    let slowest = slowest_get(&registry, &names, || {
        all("remove_idle, all idle", count, || {
            assert_eq!(registry.remove_idle() as u64, count);
        });
    });
    println!("  the longest wait of a `get` beside it: {:.2} ms", ms(slowest));
    for name in &names {
        registry.register(make(name)).expect("free");
    }
    let slowest = slowest_get(&registry, &names, || {
        all("retain, none kept", count, || registry.retain(|_| false));
    });
    println!("  the longest wait of a `get` beside it: {:.2} ms", ms(slowest));
    assert!(registry.is_empty());
    ExitCode::SUCCESS
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Nanoseconds of a call for one name.
fn each(what: &str, names: &[String], mut call: impl FnMut(&String)) {
    let began = Instant::now();
    names.iter().for_each(&mut call);
    let each = began.elapsed().as_nanos() as f64 / names.len() as f64;
    println!("{what:<28} {each:>9.0} ns");
}

/// Milliseconds of a call for all, and its nanoseconds for each.
fn all(what: &str, count: u64, call: impl FnOnce()) {
    let began = Instant::now();
    call();
    let took = began.elapsed();
    let each = took.as_nanos() as f64 / count as f64;
    println!("{what:<28} {each:>9.0} ns each {:>9.1} ms", ms(took));
}

/// `get` by two threads at once.
fn contended(registry: &Registry, names: &[String]) {
    let began = Instant::now();
    thread::scope(|scope| {
        for half in names.chunks(names.len().div_ceil(2)) {
            scope.spawn(|| half.iter().for_each(|name| drop(black_box(registry.get(name)))));
        }
    });
    let each = began.elapsed().as_nanos() as f64 / names.len() as f64;
    println!("{:<28} {each:>9.0} ns", "get, two threads");
}

/// The longest that a `get` on another thread took while `work` was done.
fn slowest_get(registry: &Registry, names: &[String], work: impl FnOnce()) -> Duration {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let getter = scope.spawn(|| {
            let mut slowest = Duration::ZERO;
            for name in names.iter().cycle() {
                if done.load(Relaxed) {
                    break;
                }
                let began = Instant::now();
                drop(black_box(registry.get(name)));
                slowest = slowest.max(began.elapsed());
                // As rare as it is in a program: the lock is free for the work most of the time.
                thread::sleep(Duration::from_micros(50));
            }
            slowest
        });
        work();
        done.store(true, Relaxed);
        getter.join().expect("it does not panic")
    })
}
