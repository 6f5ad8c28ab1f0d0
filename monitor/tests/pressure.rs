//! Real load on every CPU.
#![cfg(all(feature = "pressure", target_os = "linux"))]

use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use grmgr::{Limiter, Registry};
use grmgr_monitor::{Monitor, Pressure};

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        if start.elapsed() > Duration::from_secs(180) {
            let signal = std::fs::read_to_string("/proc/pressure/cpu").unwrap_or_default();
            panic!("never: {what}. Does anything else load this machine? {signal}");
        }
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
#[ignore = "loads every CPU for up to a minute, and needs them for itself: .ci/monitor runs this"]
fn ceilings_fall_under_load_and_recover_after_it() {
    let registry = Arc::new(Registry::new());
    let limiter = Limiter::builder("db").ceiling(20).hold(Duration::from_millis(500)).build();
    let limiter = registry.register(limiter.unwrap()).unwrap();
    // The averages of the kernel, only with less patience than usual.
    let pressure = Pressure::default()
        .poll_every(Duration::from_millis(200))
        .overload(80.0, 15.0)
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
    eventually("the ceiling falls", || limiter.ceiling() <= 16);
    stop.store(true, Ordering::Relaxed);
    load.into_iter().for_each(|thread| thread.join().unwrap());
    eventually("it comes back", || limiter.ceiling() == 20);
    let changes = limiter.changes();
    assert!(changes.iter().all(|change| change.cause == "pressure"));
    monitor.shutdown();
    assert_eq!(limiter.ceiling(), 20);
}
