//! A file that the release before has written: `data/schema-1.db`, recorded by its example
//! `dashboard` while its limiters were turned and paused.
#![cfg(feature = "history")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use grmgr::{Limiter, Registry};
use grmgr_monitor::{Monitor, recorded};
use rusqlite::Connection;

const FILE: &str = "GRMGR_TEST_OLD_FILE";

fn old(folder: &Path) -> std::path::PathBuf {
    let file = folder.join("stats.db");
    fs::write(&file, include_bytes!("data/schema-1.db")).unwrap();
    file
}

fn numbers<const N: usize>(file: &Path, query: &str) -> [i64; N] {
    let db = Connection::open(file).unwrap();
    db.query_row(query, [], |row| Ok(std::array::from_fn(|i| row.get(i).unwrap()))).unwrap()
}

/// What there is of the old run, by queries that both schemas know.
fn all_of_it(file: &Path) -> [i64; 7] {
    let db = Connection::open(file).unwrap();
    let integrity: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(integrity, "ok");
    numbers(
        file,
        "SELECT (SELECT count(*) FROM samples), (SELECT sum(in_flight + ceiling) FROM samples),
             (SELECT sum(paused) FROM samples), (SELECT count(*) FROM changes),
             (SELECT sum(from_ceiling - to_ceiling) FROM changes),
             (SELECT sum(acquired + waited) FROM averages), (SELECT count(*) FROM limiters)",
    )
}

fn watch(file: &Path, run_id: &str) -> (Arc<Registry>, Monitor) {
    let registry = Arc::new(Registry::new());
    registry.register(Limiter::new("blocks read", 10)).unwrap();
    let monitor = Monitor::builder(registry.clone()).history(file).run_id(run_id).start().unwrap();
    (registry, monitor)
}

#[test]
fn a_file_of_the_release_before_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let file = old(folder.path());
    let before = all_of_it(&file);
    assert!(before.iter().all(|n| *n > 0), "{before:?}");
    // Only a monitor that writes to it brings it up to date.
    let error = recorded::read(&file, None).unwrap_err().to_string();
    assert!(error.contains("earlier release"), "{error}");
    let (_, monitor) = watch(&file, "another run");
    monitor.shutdown();
    let [version] = numbers(&file, "SELECT user_version FROM pragma_user_version");
    assert_eq!(version, 2);
    let run = &recorded::read(&file, Some("version-one")).unwrap()[0];
    let samples: i64 = run.limiters.iter().map(|line| line.samples).sum();
    let acquired: i64 = run.limiters.iter().map(|line| line.acquired + line.waited).sum();
    assert_eq!((samples, acquired, run.limiters.len()), (before[0], before[5], before[6] as usize));
    // What it did not record is missing, not nought.
    assert!(run.limiters.iter().all(|line| line.points.iter().all(|p| p.setting.is_none())));
    assert_eq!(run.limiters[0].wait_p50, None);
}

#[test]
fn its_run_is_gone_on_with_and_its_counters_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = old(folder.path());
    let granted = "SELECT acquired FROM average_list WHERE name = 'blocks read'";
    let [before] = numbers(&file, granted);
    let (registry, monitor) = watch(&file, "version-one");
    drop(registry.get("blocks read").unwrap().try_acquire_many(3).unwrap());
    monitor.shutdown();
    assert_eq!(numbers(&file, granted), [before + 3]);
}

/// Not a test by itself: the process that is killed while it brings the file up to date.
#[test]
fn child() {
    let Ok(file) = std::env::var(FILE) else { return };
    println!("begins");
    let (_registry, _monitor) = watch(Path::new(&file), "another run");
    loop {
        std::thread::park();
    }
}

#[test]
fn a_kill_in_the_middle_of_it_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = old(folder.path());
    let before = all_of_it(&file);
    let (mut old_ones, mut new_ones) = (0, 0);
    // A little later each time, until some have been killed before it and some after.
    for round in 0.. {
        let delay = Duration::from_micros(150) * round;
        if round >= 40 && new_ones >= 3 {
            break;
        }
        assert!(delay < Duration::from_secs(1), "it is never brought up to date");
        let file = old(folder.path());
        let _ = fs::remove_file(folder.path().join("stats.db-wal"));
        let _ = fs::remove_file(folder.path().join("stats.db-shm"));
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(FILE, &file)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines =
            std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
        assert!(lines.any(|line| line.unwrap().contains("begins")));
        let moment = Instant::now();
        while moment.elapsed() < delay {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let [version] = numbers(&file, "SELECT user_version FROM pragma_user_version");
        *(if version == 1 { &mut old_ones } else { &mut new_ones }) += 1;
        let now = all_of_it(&file);
        let old_run = [now[0], now[3], now[4], now[5]];
        if version == 1 {
            assert_eq!(now, before, "round {round}");
        } else {
            // The new run may have added to it.
            assert!(
                old_run
                    .iter()
                    .zip([before[0], before[3], before[4], before[5]])
                    .all(|(a, b)| *a >= b)
            );
        }
        // And it goes on from there.
        watch(&file, "another run").1.shutdown();
        assert_eq!(numbers(&file, "SELECT user_version FROM pragma_user_version"), [2]);
    }
    assert!(old_ones > 0, "all were killed too late");
}
