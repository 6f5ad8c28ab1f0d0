//! A process that is killed while it writes its history.
#![cfg(feature = "history")]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use grmgr::{Limiter, Registry};
use grmgr_monitor::Monitor;
use rusqlite::Connection;

const FILE: &str = "GRMGR_TEST_FILE";
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

fn spawn(file: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(FILE, file)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
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
        let mut child = spawn(&file);
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
