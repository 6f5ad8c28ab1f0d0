//! The open database: one report, one transaction.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{
    CachedStatement, Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior,
    params,
};

use super::queue::{AverageRow, Batch};
use super::schema::{self, Unfit};
use crate::moment::unix_ms;

/// A connection that writes for one run.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) db: Connection,
    run: i64,
    /// The ids of limiters that are in the database.
    ids: HashMap<Arc<str>, i64>,
    /// Which file it is: one that was moved away is no longer the one at the path.
    file: Option<FileId>,
}

type FileId = (u64, u64);

impl Store {
    /// Opens the file, or makes it, and announces the run.
    pub(crate) fn open(path: &Path, run_id: &str, patience: Duration) -> Result<Self, Unfit> {
        let mut db = Connection::open(path)?;
        db.busy_timeout(patience)?;
        let start = Instant::now();
        loop {
            match schema::prepare(&mut db) {
                // Of several that make the same file at the same time, SQLite lets some fail at
                // once, whatever their patience.
                Err(Unfit::Sqlite(error)) if is_busy(&error) && start.elapsed() < patience => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                result => break result?,
            }
        }
        // FULL would sync at every report; with WAL, NORMAL loses the last reports with the power,
        // never the file, and nothing at all with the process.
        db.pragma_update(None, "synchronous", "NORMAL")?;
        db.pragma_update(None, "foreign_keys", true)?;
        let run = db.query_row(
            "INSERT INTO runs (run_id, started_ms, seen_ms) VALUES (?1, ?2, ?2)
             ON CONFLICT (run_id) DO UPDATE SET seen_ms = excluded.seen_ms RETURNING id",
            params![run_id, unix_ms()],
            |row| row.get(0),
        )?;
        Ok(Self { db, run, ids: HashMap::new(), file: file_id(path) })
    }

    /// Whether the file is still the one at this path.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        self.file == file_id(path)
    }

    /// Closes a file that has been moved away. SQLite by itself would leave its log at the old
    /// path, where it would be taken for that of the next file; this puts it into the file.
    pub(crate) fn leave(self) {
        let truncated = self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let Err(error) = truncated {
            tracing::warn!(%error, "history: the last reports are not in the file that was moved");
        }
    }

    /// Writes all of it, or nothing.
    pub(crate) fn write(&mut self, batch: &Batch) -> rusqlite::Result<()> {
        let ids_before = self.ids.len();
        let result = write(&mut self.db, self.run, &mut self.ids, batch);
        if result.is_err() && self.ids.len() > ids_before {
            // Some of them were given in the transaction that is now undone.
            self.ids.clear();
        }
        result
    }
}

fn write(
    db: &mut Connection,
    run: i64,
    ids: &mut HashMap<Arc<str>, i64>,
    batch: &Batch,
) -> rusqlite::Result<()> {
    let write = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    write
        .prepare_cached("UPDATE runs SET seen_ms = max(seen_ms, ?2) WHERE id = ?1")?
        .execute(params![run, unix_ms()])?;
    {
        let mut insert = write.prepare_cached(
            "INSERT OR REPLACE INTO samples (at_ms, limiter, in_flight, ceiling, waiting, paused)
             VALUES (?, ?, ?, ?, ?, ?)",
        )?;
        for row in &batch.rows {
            let id = id(&write, run, ids, &row.name)?;
            insert.execute(params![
                row.unix_ms,
                id,
                row.in_flight,
                row.ceiling,
                row.waiting,
                row.paused
            ])?;
        }
        let mut insert = write.prepare_cached(
            "INSERT OR REPLACE INTO changes
             (at_ms, limiter, number, from_ceiling, to_ceiling, cause, missed)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )?;
        for (name, dated) in &batch.changes {
            let id = id(&write, run, ids, name)?;
            let change = &dated.change;
            insert.execute(params![
                dated.unix_ms,
                id,
                change.number as i64,
                change.from as i64,
                change.to as i64,
                change.cause,
                dated.missed as i64
            ])?;
        }
        let mut upsert = write.prepare_cached(&upsert_averages())?;
        for (name, row) in &batch.averages {
            let id = id(&write, run, ids, name)?;
            bind_averages(&mut upsert, id, row)?;
            upsert.raw_execute()?;
        }
    }
    write.commit()?;
    // The names of limiters that are gone are not kept; they get the same ids if they come back.
    for (name, _) in batch.averages.iter().filter(|(_, row)| row.gone) {
        ids.remove(name.as_ref());
    }
    Ok(())
}

fn id(
    write: &Transaction<'_>,
    run: i64,
    ids: &mut HashMap<Arc<str>, i64>,
    name: &Arc<str>,
) -> rusqlite::Result<i64> {
    if let Some(id) = ids.get(name) {
        return Ok(*id);
    }
    let mut find = write.prepare_cached("SELECT id FROM limiters WHERE run = ? AND name = ?")?;
    let found = find.query_row(params![run, name.as_ref()], |row| row.get(0)).optional()?;
    let id = match found {
        Some(id) => id,
        None => write
            .prepare_cached("INSERT INTO limiters (run, name) VALUES (?, ?)")?
            .insert(params![run, name.as_ref()])?,
    };
    ids.insert(name.clone(), id);
    Ok(id)
}

fn upsert_averages() -> String {
    let columns = ["limiter", "at_ms", "min", "max", "acquired", "waited", "refused", "gone"];
    let columns: Vec<_> =
        columns.into_iter().map(String::from).chain(schema::average_columns()).collect();
    format!(
        "INSERT OR REPLACE INTO averages ({}) VALUES ({})",
        columns.join(", "),
        vec!["?"; columns.len()].join(", ")
    )
}

fn bind_averages(
    upsert: &mut CachedStatement<'_>,
    id: i64,
    row: &AverageRow,
) -> rusqlite::Result<()> {
    let counts = [
        id,
        row.unix_ms,
        row.min as i64,
        row.max as i64,
        row.acquired as i64,
        row.waited as i64,
        row.refused as i64,
        i64::from(row.gone),
    ];
    for (i, count) in counts.iter().enumerate() {
        upsert.raw_bind_parameter(i + 1, count)?;
    }
    let values = row.averages.iter().flat_map(|average| match average {
        Some(values) => values.map(Some),
        None => [None; 3],
    });
    for (i, value) in values.enumerate() {
        upsert.raw_bind_parameter(counts.len() + i + 1, value)?;
    }
    Ok(())
}

/// Whether another process or connection is in the way.
pub(crate) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

#[cfg(unix)]
fn file_id(path: &Path) -> Option<FileId> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

/// Elsewhere an open database cannot be moved.
#[cfg(not(unix))]
fn file_id(path: &Path) -> Option<FileId> {
    fs::metadata(path).ok().map(|_| (0, 0))
}
