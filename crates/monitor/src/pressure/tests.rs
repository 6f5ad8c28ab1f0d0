//! Files of a signal in a folder, and polls by hand.

use super::*;
use crate::mutex::lock;
use grmgr::{Handle, Limiter, Registry};
use std::fmt::{self, Write};
use std::fs;
use std::sync::{Arc, Mutex};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata};

struct Bench {
    root: tempfile::TempDir,
    limiter: Handle,
    watcher: Watcher,
    now: Duration,
}

impl Bench {
    fn new(with: impl FnOnce(Pressure) -> Pressure) -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("proc/pressure")).unwrap();
        let registry = Arc::new(Registry::new());
        let limiter = Limiter::builder("a").ceiling(10).hold(Duration::ZERO).build().unwrap();
        let limiter = registry.register(limiter).unwrap();
        let config = with(Pressure::default().root(root.path()));
        let watcher = Watcher::new(config, registry.into());
        Self { root, limiter, watcher, now: Duration::ZERO }
    }

    fn signal(&self, avg10: f64, avg60: f64) {
        let line = format!("some avg10={avg10} avg60={avg60} avg300=0.00 total=1\n");
        fs::write(self.root.path().join("proc/pressure/cpu"), line).unwrap();
    }

    /// So many polls, 2 s apart; the ceiling after them.
    fn poll(&mut self, polls: usize) -> usize {
        for _ in 0..polls {
            self.watcher.poll(self.now);
            self.now += Duration::from_secs(2);
        }
        self.limiter.ceiling()
    }
}

#[test]
fn ceilings_fall_with_the_first_poll_and_come_back_to_where_they_were() {
    let mut bench = Bench::new(|pressure| pressure);
    bench.signal(10.0, 10.0);
    assert_eq!(bench.poll(3), 10);
    bench.signal(80.0, 30.0);
    assert_eq!(bench.poll(1), 8);
    assert_eq!(bench.poll(1), 6);
    bench.signal(30.0, 40.0);
    assert_eq!(bench.poll(20), 6, "neither overloaded nor clear");
    bench.signal(5.0, 30.0);
    assert_eq!(bench.poll(15), 6, "clear, but not for 30 s yet");
    assert_eq!(bench.poll(1), 7);
    assert_eq!(bench.poll(20), 10);
    assert!(bench.limiter.changes().iter().all(|change| change.cause == "pressure"));
}

#[test]
fn without_a_signal_nothing_moves() {
    let mut bench = Bench::new(|pressure| pressure);
    bench.signal(80.0, 30.0);
    assert_eq!(bench.poll(1), 8);
    fs::remove_file(bench.root.path().join("proc/pressure/cpu")).unwrap();
    assert_eq!(bench.poll(100), 8);
    assert!(bench.watcher.told, "said once");
    bench.signal(1.0, 1.0);
    assert_eq!(bench.poll(15), 8);
    assert!(!bench.watcher.told);
    assert_eq!(bench.poll(10), 10);
}

#[test]
fn a_dry_run_only_says_what_it_would_do() {
    let mut bench = Bench::new(|pressure| pressure.dry_run(true));
    bench.signal(80.0, 30.0);
    assert_eq!(bench.poll(10), 10);
    let status = bench.watcher.poll(bench.now);
    assert_eq!((status.verdict, status.caps["a"]), (Verdict::Overload, 1));
    bench.signal(1.0, 1.0);
    assert_eq!(bench.poll(40), 10);
    assert!(bench.limiter.changes().is_empty());
    assert!(bench.watcher.poll(bench.now).caps.is_empty(), "imagined to be given back");
}

/// What is logged, at `INFO` and above.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// How many lines have this in them.
    fn with(&self, part: &str) -> usize {
        lock(&self.0).iter().filter(|line| line.contains(part)).count()
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }
    fn event(&self, event: &Event<'_>) {
        struct Line(String);
        impl Visit for Line {
            fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
                let _ = write!(self.0, "{field}={value:?} ");
            }
        }
        let mut line = Line(String::new());
        event.record(&mut line);
        lock(&self.0).push(line.0);
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn a_dry_run_logs_its_steps_and_a_lost_signal_is_logged_once() {
    let log = Log::default();
    tracing::subscriber::with_default(log.clone(), || {
        let mut bench = Bench::new(|pressure| pressure.dry_run(true));
        bench.signal(80.0, 30.0);
        bench.poll(2);
        assert_eq!(log.with("would lower"), 2);
        assert_eq!(log.with("from=8 to=6"), 1, "as if the first had been made");
        bench.signal(1.0, 1.0);
        bench.poll(30);
        assert_eq!(log.with("would raise"), 4);
        assert_eq!(log.with("from=9 to=10"), 1);
        fs::remove_file(bench.root.path().join("proc/pressure/cpu")).unwrap();
        bench.poll(20);
        assert_eq!(log.with("cannot be read"), 1);
    });
}

#[test]
fn thresholds_that_cannot_be_are_refused() {
    let wrong = |pressure: Pressure| pressure.check().unwrap_err().to_string();
    let pressure = Pressure::default;
    assert!(wrong(pressure().overload(140.0, 20.0)).contains("0 to 100"));
    assert!(wrong(pressure().overload(f64::NAN, 20.0)).contains("0 to 100"));
    assert!(wrong(pressure().clear(50.0, Duration::ZERO)).contains("cannot be clear above"));
    assert!(wrong(pressure().throttled(1.5)).contains("0 to 1"));
    assert!(wrong(pressure().floor(0)).contains("1 at least"));
    assert!(wrong(pressure().poll_every(Duration::ZERO)).contains("10 ms at least"));
    assert!(pressure().check().is_ok());
}
