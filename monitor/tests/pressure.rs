//! Real load on every CPU.
#![cfg(all(feature = "pressure", target_os = "linux"))]

use std::fs;
use std::hint::spin_loop;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use grmgr::{Clock, Limiter, Registry, SystemClock};
use grmgr_monitor::{Monitor, Pressure};

const SIGNAL: &str = "/proc/pressure/cpu";
const POLL: Duration = Duration::from_secs(1);
const OVERLOAD: (f64, f64) = (80.0, 15.0);

/// Looks every 5 ms, until it holds; the limiters' time then.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !holds() {
        if start.elapsed() > Duration::from_secs(180) {
            let signal = fs::read_to_string(SIGNAL).unwrap_or_default();
            panic!("never: {what}. Does anything else load this machine? {signal}");
        }
        thread::sleep(Duration::from_millis(5));
    }
    SystemClock.now()
}

fn overloaded() -> bool {
    let text = fs::read_to_string(SIGNAL).expect("a kernel that measures pressure");
    let average = |name| {
        let mut words = text.split_whitespace();
        words.find_map(|word| word.strip_prefix(name)).unwrap().parse::<f64>().unwrap()
    };
    average("avg10=") > OVERLOAD.0 && average("avg60=") > OVERLOAD.1
}

#[test]
#[ignore = "loads every CPU for up to a minute, and needs them for itself: .ci/monitor runs this"]
fn ceilings_fall_under_load_and_recover_after_it() {
    let registry = Arc::new(Registry::new());
    let limiter = Limiter::builder("db").ceiling(20).hold(POLL / 2).build();
    let limiter = registry.register(limiter.unwrap()).unwrap();
    // The system's signal, and no group's of its own: the one that this test can look at, too.
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("proc/pressure")).unwrap();
    symlink(SIGNAL, root.path().join("proc/pressure/cpu")).unwrap();
    // The averages of the kernel, only with less patience than usual.
    let pressure = Pressure::default()
        .root(root.path())
        .poll_every(POLL)
        .overload(OVERLOAD.0, OVERLOAD.1)
        .clear(70.0, Duration::from_secs(1));
    let monitor = Monitor::builder(registry).pressure(pressure).start().unwrap();

    let stop = Arc::new(AtomicBool::new(false));
    let cpus = thread::available_parallelism().map_or(2, |n| n.get());
    let load: Vec<_> = (0..cpus * 4)
        .map(|_| {
            let stop = stop.clone();
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    spin_loop();
                }
            })
        })
        .collect();
    let crossed = eventually("the signal crosses its threshold", overloaded);
    eventually("the ceiling falls", || limiter.ceiling() <= 16);
    let fell = limiter.changes()[0].at;
    let after = fell.saturating_sub(crossed);
    assert!(after <= POLL * 2, "{after:?} after the signal had crossed its threshold");
    stop.store(true, Ordering::Relaxed);
    load.into_iter().for_each(|thread| thread.join().unwrap());
    eventually("it comes back", || limiter.ceiling() == 20);
    let changes = limiter.changes();
    assert!(changes.iter().all(|change| change.cause == "pressure"));
    monitor.shutdown();
    assert_eq!(limiter.ceiling(), 20);
}
