//! A process that is killed while it writes its history.
#![cfg(feature = "history")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use grmgr::{Adjust, Limiter, Registry};
use grmgr_monitor::Monitor;
use rusqlite::Connection;

const FILE: &str = "GRMGR_TEST_FILE";
const BUSY_FILE: &str = "GRMGR_TEST_BUSY_FILE";
const LIMITERS: i64 = 300;
const REPORT: Duration = Duration::from_millis(50);

/// Not a test by itself: the process that is killed.
#[test]
fn child() {
    let Ok(file) = std::env::var(FILE) else { return };
    let registry = Arc::new(Registry::new());
    for i in 0..LIMITERS {
        registry.register(Limiter::new(format!("limiter {i}"), 10)).unwrap();
    }
    let _monitor = Monitor::builder(registry)
        .sample_every(Duration::from_millis(10))
        .report_every(REPORT)
        .history(file)
        .run_id("killed")
        .start()
        .unwrap();
    loop {
        std::thread::park();
    }
}

fn spawn(child: &str, file: (&str, &Path)) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", child, "--nocapture"])
        .env(file.0, file.1)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Not a test by itself: the process that reports without a pause, each report with one more
/// change of a ceiling, and tells of each one that has been written.
#[test]
fn busy_child() {
    let Ok(file) = std::env::var(BUSY_FILE) else { return };
    let registry = Arc::new(Registry::new());
    let limiter = Limiter::builder("db").ceiling(1).max(1 << 20).hold(Duration::ZERO);
    let limiter = registry.register(limiter.build().unwrap()).unwrap();
    let monitor = Monitor::builder(registry).history(file).run_id("killed").start().unwrap();
    for report in 1.. {
        let _ = limiter.adjust(Adjust::To(report + 1), "test");
        monitor.flush().unwrap();
        println!("written {report}");
    }
}

fn newest(file: &Path) -> Option<i64> {
    let db = Connection::open_with_flags(file, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
    db.busy_timeout(Duration::from_secs(5)).ok()?;
    db.query_row("SELECT max(at_ms) FROM samples", [], |row| row.get(0)).ok()?
}

/// Waits until a report has been written after `last`; its time.
fn next_report(file: &Path, last: Option<i64>) -> i64 {
    let start = Instant::now();
    loop {
        if let Some(at) = newest(file).filter(|at| Some(*at) > last) {
            return at;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "no report");
        std::thread::yield_now();
    }
}

#[test]
fn kill_at_any_moment_loses_at_most_one_report_and_never_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stats.db");
    let mut last = None;
    for round in 0..12 {
        // Also: the lock of the killed one is gone, or this one would be refused.
        let mut child = spawn("child", (FILE, &file));
        let seen = next_report(&file, last);
        // Somewhere within the next report.
        let moment = Instant::now();
        while moment.elapsed() < REPORT * round / 12 {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();

        let db = Connection::open(&file).unwrap();
        let integrity: String =
            db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(integrity, "ok");
        // Reports are whole: each sample has every limiter.
        let torn: i64 = db
            .query_row(
                "SELECT count(*) FROM (SELECT count(*) AS n FROM samples GROUP BY at_ms
                 HAVING n <> ?)",
                [LIMITERS],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(torn, 0);
        let now = newest(&file).unwrap();
        assert!(now >= seen, "what had been written is still there");
        last = Some(now);
    }
    let db = Connection::open(&file).unwrap();
    let runs: i64 = db.query_row("SELECT count(*) FROM runs", [], |row| row.get(0)).unwrap();
    assert_eq!(runs, 1);
}

#[test]
fn a_kill_in_the_middle_of_a_report_loses_that_one_and_none_before() {
    for round in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("stats.db");
        let mut child = spawn("busy_child", (BUSY_FILE, &file));
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let written = |line: &str| line.strip_prefix("written ").map(|n| n.parse().unwrap());
        let third = lines.by_ref().map(Result::unwrap).find(|line| written(line) == Some(3_i64));
        assert!(third.is_some());
        // It is at the next one now: somewhere in it.
        let moment = Instant::now();
        while moment.elapsed() < Duration::from_micros(150) * round {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let told = lines.map_while(Result::ok).filter_map(|line| written(&line)).last();
        let told = told.unwrap_or(3);

        let db = Connection::open(&file).unwrap();
        let integrity: String =
            db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(integrity, "ok");
        let there: i64 =
            db.query_row("SELECT max(number) FROM changes", [], |row| row.get(0)).unwrap();
        // Written, but killed before it could say so: that is one more.
        assert!((told..=told + 1).contains(&there), "{told} were written, {there} are there");
    }
}
