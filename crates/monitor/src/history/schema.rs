//! The tables. Made to be read by people: names and times, and views that put them together.
//!
//! A file is brought up to date step by step, each schema from the one before, in one transaction:
//! killed at any moment, it has the old one or the new one.

use rusqlite::{Connection, TransactionBehavior};

use crate::counts::REASONS;
use crate::windows::WINDOWS;

/// What makes each schema of the one before, the first of an empty file. Those that have been
/// released never change.
const STEPS: [fn() -> String; 2] = [first, second];
/// Goes into `user_version`.
pub(crate) const VERSION: i64 = STEPS.len() as i64;
/// "grmm", in `application_id`.
pub(crate) const APPLICATION: i64 = 0x6772_6d6d;

/// Why a file cannot be used.
#[derive(Debug)]
pub(crate) enum Unfit {
    /// A later release has written it.
    Newer(i64),
    /// An earlier release has written it; only the monitor that writes to it brings it up to date.
    Older(i64),
    /// It is the database of some other program.
    Foreign,
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Unfit {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Checks whose file it is, and makes or brings up to date the tables.
pub(crate) fn prepare(db: &mut Connection) -> Result<(), Unfit> {
    // In a transaction: what is read of a file that another process is making must agree.
    let checking = db.transaction()?;
    let version = version(&checking)?;
    checking.commit()?;
    if version == VERSION {
        return Ok(());
    }
    if version == 0 {
        // Both before the first table, and in this order: the journal mode already writes a page.
        db.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        db.pragma_update(None, "journal_mode", "WAL")?;
    }
    let migration = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been first.
    let version = self::version(&migration)?;
    for step in STEPS.iter().skip(version as usize) {
        migration.execute_batch(&step())?;
    }
    migration.pragma_update(None, "application_id", APPLICATION)?;
    migration.pragma_update(None, "user_version", VERSION)?;
    migration.commit()?;
    if (1..VERSION).contains(&version) {
        tracing::info!(
            from = version,
            to = VERSION,
            "history: the file's schema is up to date now"
        );
    }
    Ok(())
}

/// The schema of the file; 0: it is empty. To be called within a transaction.
pub(crate) fn version(db: &Connection) -> Result<i64, Unfit> {
    let pragma = |name| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (version, application) = (pragma("user_version")?, pragma("application_id")?);
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (application, version) {
        (APPLICATION, 1..=VERSION) => Ok(version),
        (APPLICATION, newer) if newer > VERSION => Err(Unfit::Newer(newer)),
        (0, 0) if tables == 0 => Ok(0),
        _ => Err(Unfit::Foreign),
    }
}

/// The names of the columns of averages: `in_flight_10s`, `ceiling_10s`, `waiting_10s`, …
pub(crate) fn average_columns() -> impl Iterator<Item = String> {
    WINDOWS.iter().flat_map(|(window, _)| {
        ["in_flight", "ceiling", "waiting"].map(|value| format!("{value}_{window}"))
    })
}

/// The columns of what has been counted, in `counts` and, as totals, in `averages`.
pub(crate) fn count_columns() -> impl Iterator<Item = String> {
    let counted = ["acquired", "waited", "cancelled"].map(String::from);
    counted.into_iter().chain(REASONS.iter().map(|reason| format!("refused_{reason}")))
}

fn first() -> String {
    let averages: Vec<_> = average_columns().map(|column| format!("{column} REAL")).collect();
    let averages = averages.join(",\n    ");
    format!(
        "
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL UNIQUE,
    started_ms INTEGER NOT NULL,
    seen_ms INTEGER NOT NULL
);
CREATE TABLE limiters (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    UNIQUE (run, name)
);
-- By time: what is new goes to the end and what is old goes from the beginning.
CREATE TABLE samples (
    at_ms INTEGER NOT NULL,
    limiter INTEGER NOT NULL,
    in_flight INTEGER NOT NULL,
    ceiling INTEGER NOT NULL,
    waiting INTEGER NOT NULL,
    paused INTEGER NOT NULL,
    PRIMARY KEY (at_ms, limiter)
) WITHOUT ROWID;
-- `missed`: how many changes just before this one could not be recorded.
CREATE TABLE changes (
    at_ms INTEGER NOT NULL,
    limiter INTEGER NOT NULL,
    number INTEGER NOT NULL,
    from_ceiling INTEGER NOT NULL,
    to_ceiling INTEGER NOT NULL,
    cause TEXT NOT NULL,
    missed INTEGER NOT NULL,
    PRIMARY KEY (at_ms, limiter, number)
) WITHOUT ROWID;
-- One row a limiter. A window that is not full yet is NULL.
CREATE TABLE averages (
    limiter INTEGER PRIMARY KEY REFERENCES limiters (id) ON DELETE CASCADE,
    at_ms INTEGER NOT NULL,
    min INTEGER NOT NULL,
    max INTEGER NOT NULL,
    acquired INTEGER NOT NULL,
    waited INTEGER NOT NULL,
    refused INTEGER NOT NULL,
    gone INTEGER NOT NULL,
    {averages}
);
CREATE TABLE progress (
    what TEXT PRIMARY KEY,
    until_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE VIEW sample_list AS
    SELECT run_id, name, strftime('%Y-%m-%d %H:%M:%f', at_ms / 1000.0, 'unixepoch') AS at_utc,
        in_flight, ceiling, waiting, paused
    FROM samples JOIN limiters ON limiters.id = limiter JOIN runs ON runs.id = run
    ORDER BY at_ms;
CREATE VIEW change_list AS
    SELECT run_id, name, strftime('%Y-%m-%d %H:%M:%f', at_ms / 1000.0, 'unixepoch') AS at_utc,
        from_ceiling, to_ceiling, cause, missed
    FROM changes JOIN limiters ON limiters.id = limiter JOIN runs ON runs.id = run
    ORDER BY at_ms;
CREATE VIEW average_list AS
    SELECT run_id, name, averages.*
    FROM averages JOIN limiters ON limiters.id = limiter JOIN runs ON runs.id = run;
"
    )
}

/// What is counted, pauses, and the hands on the ceiling. What the first schema did not know of its
/// rows is NULL, or 0 where it adds up.
fn second() -> String {
    "
ALTER TABLE samples ADD COLUMN setting INTEGER;
-- The cause of the cap that kept the ceiling below the setting.
ALTER TABLE samples ADD COLUMN capped_by TEXT;
-- 'setting' or 'cap'. A cap that is not set stands at 268435455.
ALTER TABLE changes ADD COLUMN hand TEXT NOT NULL DEFAULT 'setting';
-- In force afterwards.
ALTER TABLE changes ADD COLUMN ceiling INTEGER;
ALTER TABLE averages ADD COLUMN cancelled INTEGER NOT NULL DEFAULT 0;
ALTER TABLE averages ADD COLUMN refused_closed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE averages ADD COLUMN refused_exceeds_max INTEGER NOT NULL DEFAULT 0;
ALTER TABLE averages ADD COLUMN refused_no_permits INTEGER NOT NULL DEFAULT 0;
ALTER TABLE averages ADD COLUMN refused_queue_full INTEGER NOT NULL DEFAULT 0;
-- What happened between a sample and the one before: a row only where something has. A peak is 0
-- unless it was higher than any before. `waits`: how many of those that were granted waited how
-- long, as JSON: bucket to number (see `wait_list`); `waited_us`: how long all of them together.
CREATE TABLE counts (
    at_ms INTEGER NOT NULL,
    limiter INTEGER NOT NULL,
    acquired INTEGER NOT NULL,
    waited INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    refused_closed INTEGER NOT NULL,
    refused_exceeds_max INTEGER NOT NULL,
    refused_no_permits INTEGER NOT NULL,
    refused_queue_full INTEGER NOT NULL,
    peak_in_flight INTEGER NOT NULL,
    peak_waiting INTEGER NOT NULL,
    waited_us INTEGER NOT NULL,
    waits TEXT,
    PRIMARY KEY (at_ms, limiter)
) WITHOUT ROWID;
-- `paused`: 1 when it was paused, 0 when it was resumed. `cause`: '' where only a sample saw it.
CREATE TABLE pauses (
    at_ms INTEGER NOT NULL,
    limiter INTEGER NOT NULL,
    paused INTEGER NOT NULL,
    cause TEXT NOT NULL,
    PRIMARY KEY (at_ms, limiter, paused)
) WITHOUT ROWID;
DROP VIEW sample_list;
DROP VIEW change_list;
CREATE VIEW sample_list AS
    SELECT run_id, name, strftime('%Y-%m-%d %H:%M:%f', at_ms / 1000.0, 'unixepoch') AS at_utc,
        in_flight, ceiling, setting, capped_by, waiting, paused
    FROM samples JOIN limiters ON limiters.id = limiter JOIN runs ON runs.id = run
    ORDER BY at_ms;
CREATE VIEW change_list AS
    SELECT run_id, name, strftime('%Y-%m-%d %H:%M:%f', at_ms / 1000.0, 'unixepoch') AS at_utc,
        hand, from_ceiling, to_ceiling, ceiling, cause, missed
    FROM changes JOIN limiters ON limiters.id = limiter JOIN runs ON runs.id = run
    ORDER BY at_ms;
CREATE VIEW count_list AS
    SELECT run_id, name, strftime('%Y-%m-%d %H:%M:%f', at_ms / 1000.0, 'unixepoch') AS at_utc,
        acquired, waited, cancelled, refused_closed, refused_exceeds_max, refused_no_permits,
        refused_queue_full, peak_in_flight, peak_waiting, waited_us / 1e6 AS waited_seconds
    FROM counts JOIN limiters ON limiters.id = limiter JOIN runs ON runs.id = run
    ORDER BY at_ms;
-- Waits that ended, by length: at most so many seconds, and longer than four fifths of it.
CREATE VIEW wait_list AS
    SELECT run_id, name, strftime('%Y-%m-%d %H:%M:%f', at_ms / 1000.0, 'unixepoch') AS at_utc,
        at_ms, ((4 + (bucket.key & 3)) << (8 + (bucket.key >> 2))) / 1e9 AS seconds,
        bucket.value AS waits
    FROM counts JOIN json_each(waits) AS bucket
        JOIN limiters ON limiters.id = limiter JOIN runs ON runs.id = run
    ORDER BY at_ms;
CREATE VIEW pause_list AS
    SELECT run_id, name, strftime('%Y-%m-%d %H:%M:%f', at_ms / 1000.0, 'unixepoch') AS at_utc,
        paused, cause
    FROM pauses JOIN limiters ON limiters.id = limiter JOIN runs ON runs.id = run
    ORDER BY at_ms;
"
    .into()
}
