//! The tables. Made to be read by people: names and times, and views that put them together.

use rusqlite::{Connection, TransactionBehavior};

use crate::windows::WINDOWS;

/// Goes into `user_version`.
pub(crate) const VERSION: i64 = 1;
/// "grmm", in `application_id`.
const APPLICATION: i64 = 0x6772_6d6d;

/// Why a file cannot be used.
#[derive(Debug)]
pub(crate) enum Unfit {
    /// A later release has written it.
    Newer(i64),
    /// It is the database of some other program.
    Foreign,
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Unfit {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Checks whose file it is and, in a new one, makes the tables.
pub(crate) fn prepare(db: &mut Connection) -> Result<(), Unfit> {
    // In a transaction: what is read of a file that another process is making must agree.
    let look = db.transaction()?;
    if is_ours(&look)? {
        return Ok(());
    }
    look.commit()?;
    // Both before the first table, and in this order: the journal mode already writes a page.
    db.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    let create = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been first.
    if !is_ours(&create)? {
        create.execute_batch(&tables())?;
        create.pragma_update(None, "application_id", APPLICATION)?;
        create.pragma_update(None, "user_version", VERSION)?;
    }
    Ok(create.commit()?)
}

/// `false`: it is empty. To be called within a transaction.
pub(crate) fn is_ours(db: &Connection) -> Result<bool, Unfit> {
    let pragma = |name| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (version, application) = (pragma("user_version")?, pragma("application_id")?);
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (application, version) {
        (APPLICATION, VERSION) => Ok(true),
        (APPLICATION, newer) if newer > VERSION => Err(Unfit::Newer(newer)),
        (0, 0) if tables == 0 => Ok(false),
        _ => Err(Unfit::Foreign),
    }
}

/// The names of the columns of averages: `in_flight_10s`, `ceiling_10s`, `waiting_10s`, …
pub(crate) fn average_columns() -> impl Iterator<Item = String> {
    WINDOWS.iter().flat_map(|(window, _)| {
        ["in_flight", "ceiling", "waiting"].map(|value| format!("{value}_{window}"))
    })
}

fn tables() -> String {
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
