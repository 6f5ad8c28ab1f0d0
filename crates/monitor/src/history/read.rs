//! Reading a history back, for the dashboard and for [`crate::recorded`].

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags, params};

use super::schema::{self, Unfit};
use super::writer::explain_open;

/// A history opened for reading.
#[derive(Debug)]
pub(crate) struct Reader {
    db: Connection,
}

/// Means over a stretch of time that ends at `unix_ms`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Point {
    /// Milliseconds since 1970, UTC.
    pub unix_ms: i64,
    /// Permits in flight.
    pub in_flight: f64,
    /// The ceiling in force.
    pub ceiling: f64,
    /// Requests in line.
    pub waiting: f64,
    /// Whether the limiter was paused at any time in it.
    pub paused: bool,
}

/// A recorded change of a ceiling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChangeRow {
    pub(crate) unix_ms: i64,
    pub(crate) from: i64,
    pub(crate) to: i64,
    pub(crate) cause: String,
}

impl Reader {
    /// Opens a file; queries that take longer than `patience` are given up.
    pub(crate) fn open(path: &Path, patience: Duration) -> Result<Self, String> {
        let explain = |unfit: Unfit| explain_open(path, &unfit);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut db = Connection::open_with_flags(path, flags).map_err(|e| explain(e.into()))?;
        let end = Instant::now() + patience;
        let mut prepare = || {
            db.busy_timeout(patience)?;
            db.progress_handler(10_000, Some(move || Instant::now() > end))
        };
        prepare().map_err(|e| explain(e.into()))?;
        let look = db.unchecked_transaction().map_err(|e| explain(e.into()))?;
        let ours = schema::is_ours(&look);
        drop(look);
        match ours {
            Ok(true) => Ok(Self { db }),
            Ok(false) => {
                Err(format!("{} is empty: no monitor has written to it yet", path.display()))
            }
            Err(unfit) => Err(explain(unfit)),
        }
    }

    /// The samples of a limiter from `from_ms` to `to_ms`, the oldest first; averaged, if there
    /// are more of them than `points`.
    pub(crate) fn series(
        &self,
        limiter: i64,
        (from_ms, to_ms): (i64, i64),
        points: usize,
    ) -> rusqlite::Result<Vec<Point>> {
        let width = ((to_ms - from_ms) / points.max(1) as i64).max(1);
        let mut select = self.db.prepare_cached(
            "SELECT max(at_ms), avg(in_flight), avg(ceiling), avg(waiting), max(paused) FROM samples
             WHERE limiter = ? AND at_ms >= ? AND at_ms <= ? GROUP BY at_ms / ? ORDER BY 1",
        )?;
        let rows = select.query_map(params![limiter, from_ms, to_ms, width], |row| {
            Ok(Point {
                unix_ms: row.get(0)?,
                in_flight: row.get(1)?,
                ceiling: row.get(2)?,
                waiting: row.get(3)?,
                paused: row.get(4)?,
            })
        })?;
        rows.collect()
    }

    /// The id of a limiter.
    pub(crate) fn limiter(&self, run_id: &str, name: &str) -> rusqlite::Result<Option<i64>> {
        use rusqlite::OptionalExtension;
        self.db
            .query_row(
                "SELECT limiters.id FROM limiters JOIN runs ON runs.id = run
                 WHERE run_id = ? AND name = ?",
                [run_id, name],
                |row| row.get(0),
            )
            .optional()
    }

    /// The changes of a limiter since `from_ms`, the oldest first, the newest `most` of them.
    pub(crate) fn changes(
        &self,
        limiter: i64,
        from_ms: i64,
        most: usize,
    ) -> rusqlite::Result<Vec<ChangeRow>> {
        let mut select = self.db.prepare_cached(
            "SELECT at_ms, from_ceiling, to_ceiling, cause FROM changes
             WHERE limiter = ? AND at_ms >= ? ORDER BY at_ms DESC, number DESC LIMIT ?",
        )?;
        let rows = select.query_map(params![limiter, from_ms, most as i64], |row| {
            Ok(ChangeRow {
                unix_ms: row.get(0)?,
                from: row.get(1)?,
                to: row.get(2)?,
                cause: row.get(3)?,
            })
        })?;
        let mut changes: Vec<_> = rows.collect::<rusqlite::Result<_>>()?;
        changes.reverse();
        Ok(changes)
    }

    pub(crate) fn db(&self) -> &Connection {
        &self.db
    }
}
