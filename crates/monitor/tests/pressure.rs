//! Real load, and what the kernel tells of it.
#![cfg(all(feature = "pressure", target_os = "linux"))]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use grmgr::{Clock, Limiter, Registry, SystemClock};
use grmgr_monitor::{Monitor, Pressure};

const POLL: Duration = Duration::from_secs(1);
/// The defaults.
const OVERLOAD: (f64, f64) = (40.0, 25.0);

/// Processes that want a CPU, in a control group of their own: its pressure is theirs, whatever
/// else this machine has to do.
struct Load {
    group: Option<PathBuf>,
    processes: Vec<Child>,
}

impl Load {
    fn new() -> Self {
        let group = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"]
            .iter()
            .map(Path::new)
            .filter(|root| root.join("cgroup.controllers").exists())
            .map(|root| root.join(format!("grmgr-test-{}", std::process::id())))
            .find(|group| fs::create_dir(group).is_ok());
        let mut load = Self { group, processes: Vec::new() };
        if !load.signal().exists() {
            // No group to be had, or none that measures: then it is the system's pressure.
            load.remove_group();
        }
        load
    }

    fn signal(&self) -> PathBuf {
        match &self.group {
            Some(group) => group.join("cpu.pressure"),
            None => "/proc/pressure/cpu".into(),
        }
    }

    /// A root for the monitor, in which it finds this signal.
    fn root(&self) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let proc = root.path().join("proc");
        fs::create_dir_all(proc.join("self")).unwrap();
        match &self.group {
            Some(group) => {
                fs::write(proc.join("self/cgroup"), "0::/load\n").unwrap();
                fs::create_dir_all(root.path().join("sys/fs/cgroup")).unwrap();
                symlink(group, root.path().join("sys/fs/cgroup/load")).unwrap();
            }
            None => symlink("/proc/pressure", proc.join("pressure")).unwrap(),
        }
        root
    }

    fn start(&mut self) {
        let cpus = thread::available_parallelism().map_or(2, |n| n.get());
        for _ in 0..cpus * 4 {
            let process = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
            if let Some(group) = &self.group {
                fs::write(group.join("cgroup.procs"), process.id().to_string()).unwrap();
            }
            self.processes.push(process);
        }
    }

    fn stop(&mut self) {
        for mut process in self.processes.drain(..) {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    fn remove_group(&mut self) {
        if let Some(group) = self.group.take() {
            let _ = fs::remove_dir(group);
        }
    }

    fn overloads(&self) -> bool {
        let text = fs::read_to_string(self.signal()).expect("a kernel that measures pressure");
        let average = |name| {
            let mut words = text.split_whitespace();
            words.find_map(|word| word.strip_prefix(name)).unwrap().parse::<f64>().unwrap()
        };
        average("avg10=") > OVERLOAD.0 && average("avg60=") > OVERLOAD.1
    }

    /// Looks every 5 ms, until it holds; the limiters' time then.
    fn eventually(&self, what: &str, holds: impl Fn() -> bool) -> Duration {
        let start = Instant::now();
        while !holds() {
            if start.elapsed() > Duration::from_secs(180) {
                let signal = self.signal();
                let text = fs::read_to_string(&signal).unwrap_or_default();
                panic!("never: {what}. {}: {text}", signal.display());
            }
            thread::sleep(Duration::from_millis(5));
        }
        SystemClock.now()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop();
        self.remove_group();
    }
}

#[test]
#[ignore = "loads every CPU for half a minute: .ci/monitor runs this"]
fn ceilings_fall_under_load_and_recover_after_it() {
    let registry = Arc::new(Registry::new());
    let limiter = Limiter::builder("db").ceiling(20).hold(POLL / 2).build();
    let limiter = registry.register(limiter.unwrap()).unwrap();
    let mut load = Load::new();
    let root = load.root();
    // As it is by default, only with less patience.
    let pressure = Pressure::default()
        .root(root.path())
        .poll_every(POLL)
        .overload(OVERLOAD.0, OVERLOAD.1)
        .clear(20.0, Duration::from_secs(1));
    let monitor = Monitor::builder(registry).pressure(pressure).start().unwrap();

    load.start();
    let crossed = load.eventually("the signal crosses its threshold", || load.overloads());
    load.eventually("the ceiling falls", || limiter.ceiling() <= 16);
    let fell = limiter.changes()[0].at;
    let after = fell.saturating_sub(crossed);
    assert!(after <= POLL * 2, "{after:?} after the signal had crossed its threshold");
    load.stop();
    load.eventually("it comes back", || limiter.ceiling() == 20);
    let changes = limiter.changes();
    assert!(changes.iter().all(|change| change.cause == "pressure"));
    monitor.shutdown();
    assert_eq!(limiter.ceiling(), 20);
}
