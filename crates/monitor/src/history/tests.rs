//! Real files, manual ticks.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use grmgr::{Adjust, Handle, Limiter, Registry};
use rusqlite::Connection;

use super::queue::Batch;
use super::retention::Keeper;
use super::schema::Unfit;
use super::store::Store;
use super::{History, Options, Retention};
use crate::StartError;
use crate::counts::{Counts, Waits};
use crate::engine::Engine;
use crate::moment::Moment;
use crate::sampler::{Row, Sampler};

const SECOND: Duration = Duration::from_secs(1);
const DAY_MS: i64 = 86_400_000;

struct Bench {
    folder: tempfile::TempDir,
    registry: Arc<Registry>,
    engine: Engine,
    second: u32,
}

fn options(path: &Path, run_id: &str) -> Options {
    let mut options = Options::new(path.into(), run_id.into());
    options.patience = Duration::from_millis(20);
    // The tests' calendar is years ago.
    options.retention.age = Duration::from_secs(3_600 * 24 * 365 * 100);
    options.retention.thin_after = options.retention.age;
    options
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let registry = Arc::new(Registry::new());
        let mut engine = Engine::new(Sampler::new(registry.clone().into()), SECOND * 10);
        engine.history =
            Some(History::start(options(&folder.path().join("stats.db"), "test")).unwrap());
        Self { folder, registry, engine, second: 0 }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("stats.db")
    }

    fn limiter(&self, name: &'static str) -> Handle {
        let limiter = Limiter::builder(name).ceiling(10).hold(Duration::ZERO).build().unwrap();
        self.registry.register(limiter).unwrap()
    }

    fn now(&self) -> Moment {
        Moment::at(SECOND * self.second)
    }

    fn run(&mut self, seconds: u32) {
        for _ in 0..seconds {
            self.engine.tick(self.now());
            self.second += 1;
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let result = self.engine.flush(self.now());
        self.second += 1;
        result
    }

    fn error(&self) -> Option<String> {
        self.engine.health().history.unwrap().error
    }

    fn samples(&self) -> i64 {
        count(&self.path(), "samples")
    }
}

fn count(path: &Path, table: &str) -> i64 {
    let db = Connection::open(path).unwrap();
    db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

fn integrity(path: &Path) -> String {
    let db = Connection::open(path).unwrap();
    db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap()
}

#[test]
fn windows_that_are_not_full_are_null_and_full_ones_are_means() {
    let mut bench = Bench::new();
    let limiter = bench.limiter("db");
    let _permits = limiter.try_acquire_many(4).unwrap();
    bench.run(61);
    bench.flush().unwrap();
    let db = Connection::open(bench.path()).unwrap();
    let columns = "in_flight_10s, ceiling_10s, waiting_10s, in_flight_1m, in_flight_2m";
    let query = format!("SELECT {columns} FROM average_list WHERE run_id = 'test' AND name = 'db'");
    let row: [Option<f64>; 5] =
        db.query_row(&query, [], |row| Ok(std::array::from_fn(|i| row.get(i).unwrap()))).unwrap();
    assert_eq!(row, [Some(4.0), Some(10.0), Some(0.0), Some(4.0), None]);
}

#[test]
fn every_change_is_recorded_with_its_cause() {
    let mut bench = Bench::new();
    let limiter = bench.limiter("db");
    bench.run(1);
    let _ = limiter.down();
    let _ = limiter.adjust(Adjust::Up, "test");
    bench.flush().unwrap();
    let db = Connection::open(bench.path()).unwrap();
    let mut select =
        db.prepare("SELECT from_ceiling, to_ceiling, cause, missed FROM change_list").unwrap();
    let rows = select
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?, row.get(3)?)))
        .unwrap();
    let rows: Vec<(i64, i64, String, i64)> = rows.map(Result::unwrap).collect();
    assert_eq!(rows, [(10, 8, "manual".into(), 0), (8, 9, "test".into(), 0)]);
}

fn numbers<const N: usize>(path: &Path, query: &str) -> [i64; N] {
    let db = Connection::open(path).unwrap();
    db.query_row(query, [], |row| Ok(std::array::from_fn(|i| row.get(i).unwrap()))).unwrap()
}

/// A request that waits for this long, by the limiter's clock.
fn wait_for(limiter: &Handle, clock: &grmgr::ManualClock, wait: Duration) {
    let all = limiter.try_acquire_many(limiter.ceiling()).unwrap();
    let waited = limiter.snapshot().stats.waited;
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| drop(limiter.acquire_blocking().unwrap()));
        while limiter.snapshot().stats.waited == waited {
            std::thread::yield_now();
        }
        clock.advance(wait);
        drop(all);
        waiter.join().unwrap();
    });
}

#[test]
fn how_long_they_waited_has_an_answer() {
    let mut bench = Bench::new();
    let clock = grmgr::ManualClock::new();
    let limiter = Limiter::builder("db").ceiling(2).clock(clock.clone()).build().unwrap();
    let limiter = bench.registry.register(limiter).unwrap();
    bench.run(1);
    for wait in [100, 100, 100, 1_110] {
        wait_for(&limiter, &clock, Duration::from_millis(wait));
    }
    assert!(limiter.try_acquire_many(3).is_err());
    drop(limiter.acquire_many_blocking(1));
    bench.flush().unwrap();
    let query = "SELECT sum(acquired), sum(waited), sum(refused_exceeds_max), sum(peak_waiting),
                     sum(waited_seconds) * 1000 FROM count_list WHERE name = 'db'";
    let [acquired, waited, refused, peak] = numbers(&bench.path(), query);
    assert_eq!([acquired, waited, refused, peak], [4 * 2 + 4 + 1, 4, 1, 1]);
    // By SQL alone: how many waited how long.
    let db = Connection::open(bench.path()).unwrap();
    let mut select = db.prepare("SELECT seconds, sum(waits) FROM wait_list GROUP BY 1").unwrap();
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let rows: Vec<(f64, i64)> = rows.map(Result::unwrap).collect();
    assert_eq!(rows.iter().map(|(_, n)| *n).collect::<Vec<_>>(), [3, 1]);
    assert!(
        rows[0].0 > 0.1 && rows[0].0 < 0.126 && rows[1].0 > 1.11 && rows[1].0 < 1.4,
        "{rows:?}"
    );
}

#[test]
fn what_is_counted_goes_on_over_restarts_and_registrations() {
    let mut bench = Bench::new();
    let take = |limiter: &Handle, n| drop(limiter.try_acquire_many(n).unwrap());
    let limiter = bench.limiter("db");
    bench.run(1);
    take(&limiter, 3);
    bench.flush().unwrap();
    // Another limiter of the name.
    bench.registry.delete("db");
    let limiter = bench.limiter("db");
    take(&limiter, 4);
    bench.flush().unwrap();
    // Another monitor of the run, which finds the limiter there.
    bench.engine.history = None;
    let mut engine = Engine::new(Sampler::new(bench.registry.clone().into()), SECOND * 10);
    engine.history = Some(History::start(options(&bench.path(), "test")).unwrap());
    bench.engine = engine;
    bench.run(1);
    take(&limiter, 5);
    bench.flush().unwrap();
    let totals = "SELECT acquired, (SELECT sum(acquired) FROM counts) FROM average_list";
    assert_eq!(numbers(&bench.path(), totals), [12, 12]);
}

#[test]
fn a_pause_between_two_samples_is_recorded() {
    let mut bench = Bench::new();
    let limiter = bench.limiter("db");
    bench.run(1);
    limiter.pause();
    bench.run(1);
    limiter.resume();
    bench.flush().unwrap();
    let of = "SELECT count(*), sum(paused) FROM pause_list WHERE name = 'db'";
    assert_eq!(numbers(&bench.path(), of), [2, 1]);
    #[cfg(feature = "dashboard")]
    {
        bench.engine.pause(&limiter, true, "dashboard");
        bench.second += 1;
        bench.engine.pause(&limiter, false, "dashboard");
        bench.flush().unwrap();
        let of = "SELECT count(*) FROM pause_list WHERE cause = 'dashboard'";
        assert_eq!(numbers(&bench.path(), of), [2]);
    }
}

#[test]
fn a_deleted_limiter_is_written_once_more_and_marked() {
    let mut bench = Bench::new();
    bench.limiter("db");
    bench.run(2);
    bench.registry.delete("db");
    bench.run(2);
    bench.flush().unwrap();
    let db = Connection::open(bench.path()).unwrap();
    let gone: bool = db.query_row("SELECT gone FROM average_list", [], |row| row.get(0)).unwrap();
    assert!(gone);
    assert_eq!(bench.samples(), 2);
}

#[test]
fn a_locked_database_is_retried_and_nothing_is_lost() {
    let mut bench = Bench::new();
    bench.limiter("db");
    bench.run(5);
    bench.flush().unwrap();
    let other = Connection::open(bench.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    bench.run(5);
    assert!(bench.flush().unwrap_err().to_string().contains("keeps it locked"));
    assert!(bench.error().is_some());
    assert_eq!(bench.engine.health().history.unwrap().rows_waiting, 6);
    other.execute_batch("COMMIT").unwrap();
    bench.flush().unwrap();
    assert_eq!((bench.error(), bench.samples()), (None, 13));
}

#[test]
fn a_database_that_is_locked_at_the_start_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stats.db");
    drop(History::start(options(&path, "first")).unwrap());
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let history = History::start(options(&path, "second")).unwrap();
    assert!(history.wait(history.report(std::iter::empty())).is_err());
    other.execute_batch("COMMIT").unwrap();
    history.wait(history.report(std::iter::empty())).unwrap();
    assert_eq!(count(&path, "runs"), 2);
}

#[test]
fn a_damaged_file_is_moved_aside_and_a_new_one_is_made() {
    let mut bench = Bench::new();
    bench.limiter("db");
    bench.run(5);
    bench.flush().unwrap();
    let damaged = bench.folder.path().join("damaged.db");
    // Another file in its place, which is no database: what a failing disk or a human leaves.
    fs::rename(bench.path(), &damaged).unwrap();
    fs::write(bench.path(), vec![0x5a; 8_192]).unwrap();
    bench.run(5);
    bench.flush().unwrap();
    assert_eq!(bench.samples(), 6, "all that was sampled since");
    assert_eq!(integrity(&bench.path()), "ok");
    let aside = bench.engine.health().history.unwrap().moved_aside.unwrap();
    assert_eq!(fs::read(aside).unwrap(), vec![0x5a; 8_192], "it is still there");
}

#[cfg(unix)]
#[test]
fn pages_overwritten_in_place_never_stop_the_program() {
    use std::os::unix::fs::FileExt;
    let mut bench = Bench::new();
    bench.limiter("db");
    bench.run(5);
    bench.flush().unwrap();
    let db = Connection::open(bench.path()).unwrap();
    db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(db);
    let file = fs::OpenOptions::new().write(true).open(bench.path()).unwrap();
    for page in 1..16 {
        let _ = file.write_all_at(&[0xff; 4_096], page * 4_096);
    }
    for _ in 0..3 {
        bench.run(5);
        let _ = bench.flush();
    }
    // Damage is told, what was in hand is written into a new file, and the old one is kept.
    let health = bench.engine.health().history.unwrap();
    assert!(health.errors > 0 && health.moved_aside.is_some(), "{health:?}");
    assert_eq!((health.error, health.rows_waiting), (None, 0));
    assert_eq!(integrity(&bench.path()), "ok");
}

fn batch(from_ms: i64, n: i64) -> Batch {
    let row = |i| Row { in_flight: i as u32, ..Row::idle("db", from_ms + i * 2_000) };
    Batch { rows: (0..n).map(row).collect(), ..Batch::default() }
}

#[test]
fn a_full_disk_writes_nothing_or_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stats.db");
    let mut store = Store::open(&path, "test", SECOND).unwrap();
    store.db.pragma_update(None, "max_page_count", 20).unwrap();
    let batch = batch(0, 20_000);
    let error = store.write(&batch).unwrap_err();
    assert_eq!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::DiskFull));
    assert_eq!(count(&path, "samples"), 0);
    store.db.pragma_update(None, "max_page_count", 10_000).unwrap();
    store.write(&batch).unwrap();
    assert_eq!(count(&path, "samples"), 20_000);
    assert_eq!(integrity(&path), "ok");
}

#[test]
fn a_read_only_database_writes_nothing_and_is_written_when_it_may_be() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stats.db");
    let mut store = Store::open(&path, "test", SECOND).unwrap();
    store.db.pragma_update(None, "query_only", true).unwrap();
    let error = store.write(&batch(0, 5)).unwrap_err();
    assert_eq!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::ReadOnly));
    store.db.pragma_update(None, "query_only", false).unwrap();
    store.write(&batch(0, 5)).unwrap();
    assert_eq!(count(&path, "samples"), 5);
}

/// A start never fails for the file's sake: it says what is wrong, and tries again.
#[test]
fn a_file_that_is_unfit_at_the_start_is_told_and_retried() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    Connection::open(file("foreign.db")).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    Store::open(&file("newer.db"), "test", SECOND)
        .unwrap()
        .db
        .pragma_update(None, "user_version", 99)
        .unwrap();
    // Somebody's notes, named by mistake: they are not moved either.
    fs::write(file("text.db"), "no database, and longer than a head of 100 bytes\n".repeat(100))
        .unwrap();
    for (name, advice) in [
        ("text.db", "no SQLite database: move it away"),
        ("foreign.db", "another program: name another file"),
        ("newer.db", "later release (schema 99"),
        ("missing/stats.db", "does its folder exist"),
    ] {
        let history = History::start(options(&file(name), "test")).unwrap();
        let error = history.health().error.unwrap();
        assert!(error.contains(advice), "{error}");
        assert!(history.wait(history.report(std::iter::empty())).is_err());
        // Out of the way, and it is written.
        if name.starts_with("missing") {
            fs::create_dir(file("missing")).unwrap();
        } else {
            fs::remove_file(file(name)).unwrap();
        }
        history.wait(history.report(std::iter::empty())).unwrap();
        assert_eq!((history.health().error, count(&file(name), "runs")), (None, 1));
    }
}

#[test]
fn a_damaged_file_at_the_start_is_moved_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stats.db");
    drop(History::start(options(&path, "before")).unwrap());
    // All but its head is gone.
    let mut bytes = fs::read(&path).unwrap();
    bytes[100..].fill(0xff);
    fs::write(&path, &bytes).unwrap();
    let history = History::start(options(&path, "test")).unwrap();
    history.wait(history.report(std::iter::empty())).unwrap();
    let health = history.health();
    assert_eq!(health.error, None);
    assert_eq!(fs::read(health.moved_aside.unwrap()).unwrap(), bytes);
    assert_eq!(count(&path, "runs"), 1);
}

#[test]
fn the_file_is_written_as_the_readers_of_it_expect() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stats.db");
    let store = Store::open(&path, "test", SECOND).unwrap();
    let pragma = |name| -> String {
        let query = format!("SELECT CAST({name} AS TEXT) FROM pragma_{name}");
        store.db.query_row(&query, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(pragma("journal_mode"), "wal");
    assert_eq!(pragma("synchronous"), "1", "NORMAL");
    assert_eq!(pragma("user_version"), "2");
}

#[test]
fn one_run_id_has_one_living_monitor() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stats.db");
    let first = History::start(options(&path, "night")).unwrap();
    let error = History::start(options(&path, "night")).unwrap_err();
    assert!(matches!(error, StartError::RunIdInUse { .. }), "{error}");
    assert!(error.to_string().contains("its own run_id"));
    drop(first);
    drop(History::start(options(&path, "night")).unwrap());
    assert_eq!(count(&path, "runs"), 1, "the later run goes on with it");
}

#[test]
fn several_monitors_write_to_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stats.db");
    std::thread::scope(|scope| {
        for run in ["one", "two", "three"] {
            let path = &path;
            scope.spawn(move || {
                let mut store = Store::open(path, run, SECOND * 30).unwrap();
                for report in 0..20 {
                    store.write(&batch(report * 100_000, 50)).unwrap();
                }
            });
        }
    });
    assert_eq!(count(&path, "samples"), 3 * 20 * 50);
    assert_eq!(count(&path, "limiters"), 3);
}

/// Clears away until nothing is left to do.
fn keep(store: &mut Store, retention: &Retention, now_ms: i64) {
    let mut keeper = Keeper::default();
    let now = Moment { elapsed: Duration::ZERO, unix_ms: now_ms };
    // How the calendar got there is not what these tests are about.
    store.db.execute("DELETE FROM progress WHERE what = 'clock'", []).unwrap();
    let time = keeper.report(&store.db, now, 0).unwrap();
    while keeper.step(&mut store.db, retention, time).unwrap() {}
}

#[test]
fn samples_older_than_a_day_are_thinned_to_one_a_minute() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stats.db");
    let mut store = Store::open(&path, "test", SECOND).unwrap();
    // An hour of samples every 2 s, of which the first half is older than a day.
    let begin = 1_000 * DAY_MS;
    store.write(&batch(begin, 1_800)).unwrap();
    keep(&mut store, &Retention::default(), begin + DAY_MS + 1_800_000);
    assert_eq!(count(&path, "samples"), 30 + 900);
    let first_of_each = "SELECT count(*) FROM samples WHERE at_ms % 60000 = 0 AND at_ms < ?";
    let first_of_each: i64 =
        store.db.query_row(first_of_each, [begin + 1_800_000], |row| row.get(0)).unwrap();
    assert_eq!(first_of_each, 30);
}

#[test]
fn what_was_counted_and_how_high_it_went_survives_thinning() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stats.db");
    let mut store = Store::open(&path, "test", SECOND).unwrap();
    let begin = 1_000 * DAY_MS;
    let mut batch = batch(begin, 60);
    for (i, row) in batch.rows.iter_mut().enumerate() {
        row.waiting = (i % 7) as u32;
        let waits = Waits { buckets: vec![(40, 1), (50 + (i % 2) as u8, 2)], sum: SECOND };
        row.counts =
            Some(Arc::new(Counts { acquired: 5, cancelled: 1, waits, ..Counts::default() }));
    }
    store.write(&batch).unwrap();
    keep(&mut store, &Retention::default(), begin + 2 * DAY_MS);
    assert_eq!((count(&path, "samples"), count(&path, "counts")), (2, 2));
    let sums = "SELECT sum(acquired), sum(cancelled), max(peak_waiting), max(peak_in_flight),
                    sum(waited_us) / 1000000 FROM counts";
    assert_eq!(numbers(&path, sums), [300, 60, 6, 59, 60]);
    let waits = "SELECT sum(waits), count(DISTINCT seconds) FROM wait_list";
    assert_eq!(numbers(&path, waits), [180, 3]);
}

#[test]
fn eight_days_forward_for_five_seconds_delete_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stats.db");
    let mut store = Store::open(&path, "test", SECOND).unwrap();
    let begin = 1_000 * DAY_MS;
    store.write(&batch(begin - DAY_MS / 2, 1_000)).unwrap();
    let mut keeper = Keeper::default();
    let mut report = |second: u64, off: i64| {
        let unix_ms = begin + second as i64 * 1_000 + off;
        let now = Moment { elapsed: Duration::from_secs(second), unix_ms };
        let time = keeper.report(&store.db, now, 0).unwrap();
        while keeper.step(&mut store.db, &Retention::default(), time).unwrap() {}
        (count(&path, "samples"), keeper.complaint().is_some())
    };
    assert_eq!(report(0, 0), (1_000, false));
    assert_eq!([report(1, 8 * DAY_MS), report(5, 8 * DAY_MS)], [(1_000, true); 2]);
    assert_eq!(report(6, 0), (1_000, false));
    // Also if that is where the next process begins.
    keeper = Keeper::default();
    let now = Moment { elapsed: Duration::ZERO, unix_ms: begin + 8 * DAY_MS };
    assert_eq!(keeper.report(&store.db, now, 0).unwrap(), None);
}

#[test]
fn what_is_older_than_a_week_goes_with_its_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stats.db");
    let mut store = Store::open(&path, "test", SECOND).unwrap();
    let begin = 1_000 * DAY_MS;
    store.write(&batch(begin, 100)).unwrap();
    keep(&mut store, &Retention::default(), begin + 7 * DAY_MS + 100_000);
    assert_eq!(count(&path, "samples"), 2, "of 100 samples in 200 s, thinned");
    keep(&mut store, &Retention::default(), begin + 8 * DAY_MS);
    assert_eq!(count(&path, "samples"), 0);
}

#[test]
fn of_too_many_samples_the_oldest_go() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stats.db");
    let mut store = Store::open(&path, "test", SECOND).unwrap();
    store.write(&batch(0, 120_000)).unwrap();
    let retention =
        Retention { rows: 1_000, age: SECOND * 1_000_000, thin_after: SECOND * 1_000_000 };
    keep(&mut store, &retention, 240_000_000);
    assert_eq!(count(&path, "samples"), 1_000);
    let oldest: i64 =
        store.db.query_row("SELECT min(at_ms) FROM samples", [], |row| row.get(0)).unwrap();
    assert_eq!(oldest, 2_000 * 119_000);
}

#[test]
fn what_nobody_knows_is_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stats.db");
    Store::open(&path, "test", SECOND).unwrap().db.pragma_update(None, "user_version", 3).unwrap();
    assert!(matches!(Store::open(&path, "test", SECOND), Err(Unfit::Newer(3))));
}
