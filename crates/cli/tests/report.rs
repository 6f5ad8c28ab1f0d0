//! The command, on a real history.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use grmgr::{Adjust, Limiter, Registry};
use grmgr_monitor::Monitor;

fn record(file: &Path, run_id: &str) {
    let registry = Arc::new(Registry::new());
    let db = Limiter::builder("db").ceiling(10).hold(Duration::ZERO).build().unwrap();
    let db = registry.register(db).unwrap();
    registry.register(Limiter::new("odd \u{1b}[31m <&> name", 3)).unwrap();
    let monitor = Monitor::builder(registry).history(file).run_id(run_id).start().unwrap();
    next_millisecond();
    let _permits = db.try_acquire_many(4).unwrap();
    // One that waits until another has given back.
    let held = db.try_acquire_many(6).unwrap();
    std::thread::scope(|scope| {
        let waits = || drop(db.acquire_blocking().unwrap());
        scope.spawn(waits);
        while db.snapshot().stats.waited == 0 {
            std::thread::yield_now();
        }
        assert!(db.try_acquire().is_err());
        drop(held);
    });
    let _ = db.adjust(Adjust::Down, "night");
    let _ = db.adjust(Adjust::Down, "night");
    db.pause();
    monitor.flush().unwrap();
    next_millisecond();
}

/// Samples are told apart by milliseconds.
fn next_millisecond() {
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    let then = now();
    while now() == then {
        std::hint::spin_loop();
    }
}

fn grmgr(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_grmgr")).args(arguments).output().unwrap()
}

fn fails_with(arguments: &[&str], advice: &str) {
    let output = grmgr(arguments);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && error.contains(advice), "{error}");
    assert!(!error.contains("panicked"), "{error}");
}

#[test]
fn a_table_of_each_run_and_a_chart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stats.db");
    record(&file, "first");
    record(&file, "second");
    let output = grmgr(&["report", file.to_str().unwrap()]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("run first: ") && text.contains("run second: "), "{text}");
    let line = text.lines().find(|line| line.trim_start().starts_with("db ")).unwrap();
    let cells: Vec<_> = line.split_whitespace().collect();
    assert_eq!(cells[..4], ["db", "3", "1.3", "10"], "{text}");
    assert_eq!(cells[5..7], ["6–10", "6"], "{text}");
    for told in ["9 %", "1 no_permits"] {
        assert!(line.contains(told), "{told}: {text}");
    }
    assert!(line.ends_with("2 night, paused 67 %"), "{text}");
    assert!(!text.contains('\u{1b}'), "no control character reaches the terminal");
    // No file unless it is asked for.
    let mut files = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path());
    assert!(files.all(|file| file.extension().is_none_or(|ending| ending != "svg")));
    let chart = folder.path().join("chart.svg");
    grmgr(&["report", file.to_str().unwrap(), "--svg", chart.to_str().unwrap()]);
    let svg = fs::read_to_string(&chart).unwrap();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    assert!(svg.contains("<polyline") && svg.contains("&lt;&amp;&gt;"));
    assert!(svg.contains("9 % waited; of those p50 "), "{svg}");

    let output = grmgr(&["report", file.to_str().unwrap(), "--run", "second"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("run second: ") && !text.contains("run first: "), "{text}");
}

#[test]
fn a_history_of_a_killed_or_running_program_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stats.db");
    let registry = Arc::new(Registry::new());
    registry.register(Limiter::new("db", 10)).unwrap();
    let monitor = Monitor::builder(registry).history(&file).run_id("alive").start().unwrap();
    monitor.flush().unwrap();
    let output = grmgr(&["report", file.to_str().unwrap(), "--run", "alive"]);
    assert!(String::from_utf8(output.stdout).unwrap().contains("run alive"));
}

#[test]
fn what_cannot_be_read_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stats.db");
    let path = file.to_str().unwrap();
    fails_with(&["report", path], "there is no file");
    fs::write(&file, "").unwrap();
    fails_with(&["report", path], "no monitor has written");
    fs::write(&file, "text ".repeat(1_000)).unwrap();
    fails_with(&["report", path], "no SQLite database");
    fs::remove_file(&file).unwrap();
    rusqlite::Connection::open(&file).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    fails_with(&["report", path], "another program");
    fs::remove_file(&file).unwrap();
    record(&file, "first");
    fails_with(&["report", path, "--run", "nope"], "no run \"nope\"");
    fails_with(&["report", path, "--svg", "/nowhere/at/all.svg"], "cannot write");
    rusqlite::Connection::open(&file).unwrap().pragma_update(None, "user_version", 7).unwrap();
    fails_with(&["report", path], "later release");
}
