//! Disks that are full, read-only, or whose file is locked or overwritten, under a program at work
//! with everything switched on: the program notices nothing, the dashboard says what is wrong, and
//! afterwards everything is there.
#![cfg(all(feature = "dashboard", feature = "history", target_os = "linux"))]

mod support;

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use grmgr::Handle;
use rusqlite::Connection;
use serde_json::{Value, json};

use support::*;

/// The program's own work: two threads that take a permit and give it back.
struct Work {
    done: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Work {
    fn start(limiter: &Handle) -> Self {
        let (done, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let work = |limiter: Handle, done: Arc<AtomicU64>, stop: Arc<AtomicBool>| {
            move || {
                while !stop.load(Relaxed) {
                    drop(limiter.acquire_blocking().unwrap());
                    done.fetch_add(1, Relaxed);
                    thread::yield_now();
                }
            }
        };
        let start = |_| thread::spawn(work(limiter.clone(), done.clone(), stop.clone()));
        let threads = (0..2).map(start).collect();
        Self { done, stop, threads }
    }

    fn goes_on(&self) {
        let before = self.done.load(Relaxed);
        eventually("the work goes on", || self.done.load(Relaxed) > before + 100);
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn history(bench: &Bench) -> Value {
    get(bench.address, "/api/limiters").json()["history"].clone()
}

/// What is wrong is told on the dashboard, in these words; everything else works as ever. Between
/// which times that was.
fn only_the_history_suffers(bench: &Bench, work: &Work, advice: &str) -> Range<i64> {
    eventually(advice, || {
        history(bench)["error"].as_str().is_some_and(|error| error.contains(advice))
    });
    let begin = unix_ms();
    assert!(bench.monitor.health().history.unwrap().errors > 0);
    work.goes_on();
    let samples = bench.monitor.health().samples;
    eventually("sampling goes on", || bench.monitor.health().samples > samples + 3);
    let to = if bench.limiter.ceiling() == 9 { 8 } else { 9 };
    press(bench.address, json!({ "limiter": "db", "action": "set", "ceiling": to }));
    assert_eq!(bench.limiter.ceiling(), to, "it can be turned");
    assert!(get(bench.address, "/metrics").body.contains("limiter_ceiling"));
    assert_eq!(get(bench.address, "/api/history?limiter=db").status, 200);
    begin..unix_ms()
}

fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// Written again, with nothing lost: not what was sampled meanwhile, and no change.
fn and_then_all_is_there(bench: &Bench, file: &Path, meanwhile: Range<i64>) {
    eventually("it is written again", || history(bench)["error"].is_null());
    bench.monitor.flush().unwrap();
    assert_eq!(bench.monitor.health().history.unwrap().rows_lost, 0);
    let db = Connection::open(file).unwrap();
    let number = |query: &str, between: &Range<i64>| -> i64 {
        db.query_row(query, [between.start, between.end], |row| row.get(0)).unwrap()
    };
    let changes = "SELECT count(*) FROM changes WHERE at_ms BETWEEN ? AND ?";
    let made = bench.limiter.changes().last().map_or(0, |last| last.number);
    assert_eq!(number(changes, &(0..i64::MAX)).unsigned_abs(), made);
    let samples = "SELECT count(*) FROM samples WHERE at_ms BETWEEN ? AND ?";
    assert!(number(samples, &meanwhile) > 0, "{meanwhile:?}");
    let integrity: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(integrity, "ok");
}

fn watched(file: &Path) -> (Bench, Work) {
    let report = Duration::from_millis(50);
    let bench = start(|builder| builder.report_every(report).history(file).run_id("run"));
    let work = Work::start(&bench.limiter);
    (bench, work)
}

#[test]
fn a_locked_database() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stats.db");
    let (bench, work) = watched(&file);
    bench.monitor.flush().unwrap();
    let other = Connection::open(&file).unwrap();
    other.busy_timeout(Duration::from_secs(30)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let meanwhile = only_the_history_suffers(&bench, &work, "keeps it locked");
    other.execute_batch("COMMIT").unwrap();
    drop(other);
    and_then_all_is_there(&bench, &file, meanwhile);
}

#[test]
fn a_corrupt_database() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stats.db");
    let (bench, work) = watched(&file);
    bench.monitor.flush().unwrap();
    fs::rename(&file, folder.path().join("whole.db")).unwrap();
    fs::write(&file, "overwritten ".repeat(1_000)).unwrap();
    eventually("it is moved aside", || history(&bench)["moved_aside"].is_string());
    eventually("a new one is written", || history(&bench)["error"].is_null());
    bench.monitor.flush().unwrap();
    let aside = bench.monitor.health().history.unwrap().moved_aside.unwrap();
    assert!(fs::read_to_string(aside).unwrap().starts_with("overwritten "));
    work.goes_on();
}

/// A disk of its own, in memory.
struct Disk(PathBuf);

impl Disk {
    fn mount(folder: &Path, size: &str) -> Self {
        let options = format!("size={size}");
        mount(&["-t", "tmpfs", "-o", &options, "grmgr-test"], folder);
        Self(folder.to_owned())
    }

    fn again(&self, options: &str) {
        mount(&["-o", &format!("remount,{options}")], &self.0);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

fn mount(arguments: &[&str], folder: &Path) {
    let done = Command::new("mount").args(arguments).arg(folder).output().unwrap();
    assert!(done.status.success(), "needs root: {}", String::from_utf8_lossy(&done.stderr));
}

#[test]
#[ignore = "mounts a file system, so it needs root: .ci/monitor runs this"]
fn a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::mount(folder.path(), "2m");
    let file = folder.path().join("stats.db");
    let (bench, work) = watched(&file);
    bench.monitor.flush().unwrap();
    // Somebody else fills it.
    let _ = fs::write(folder.path().join("ballast"), vec![0; 4 << 20]);
    let meanwhile = only_the_history_suffers(&bench, &work, "make room");
    fs::remove_file(folder.path().join("ballast")).unwrap();
    and_then_all_is_there(&bench, &file, meanwhile);
    drop((work, bench, disk));
}

#[test]
#[ignore = "mounts a file system, so it needs root: .ci/monitor runs this"]
fn a_read_only_disk() {
    let folder = tempfile::tempdir().unwrap();
    let [good, bad, here] = ["good", "bad", "here"].map(|name| folder.path().join(name));
    fs::create_dir(&good).unwrap();
    fs::create_dir(&bad).unwrap();
    let disk = Disk::mount(&bad, "8m");
    let before = grmgr_monitor::Monitor::builder(Arc::new(grmgr::Registry::new()));
    before.history(bad.join("stats.db")).run_id("before").start().unwrap().shutdown();
    disk.again("ro");
    // At the start it is told, and the program goes on.
    let monitor = grmgr_monitor::Monitor::builder(Arc::new(grmgr::Registry::new()));
    let monitor = monitor.history(bad.join("stats.db")).run_id("other").start().unwrap();
    let error = monitor.health().history.unwrap().error.unwrap();
    assert!(error.contains("may this user write"), "{error}");
    drop(monitor);
    // So it is later. (A disk on which a file is open for writing cannot be made read-only, so
    // another one takes its place.)
    let point_to = |folder: &Path| {
        let link = here.with_extension("new");
        std::os::unix::fs::symlink(folder, &link).unwrap();
        fs::rename(link, &here).unwrap();
    };
    point_to(&good);
    let file = here.join("stats.db");
    let (bench, work) = watched(&file);
    bench.monitor.flush().unwrap();
    point_to(&bad);
    let meanwhile = only_the_history_suffers(&bench, &work, "may this user write");
    point_to(&good);
    and_then_all_is_there(&bench, &file, meanwhile);
    drop((work, bench, disk));
}
