//! The open database: one report, one transaction.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use grmgr::Hand;
use rusqlite::{
    CachedStatement, Connection, ErrorCode, OptionalExtension, Row, Transaction,
    TransactionBehavior, params,
};

use super::queue::{AverageRow, Batch};
use super::schema::{self, Unfit};
use crate::counts::{Counts, Waits};
use crate::moment::unix_ms;
use crate::sampler::Dated;

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
        let mut sample = write.prepare_cached(
            "INSERT OR REPLACE INTO samples
             (at_ms, limiter, in_flight, ceiling, waiting, paused, setting, capped_by)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )?;
        let mut counted = write.prepare_cached(&insert("IGNORE"))?;
        let mut granted = write.prepare_cached(INSERT_GRANTED)?;
        for row in &batch.rows {
            let id = id(&write, run, ids, &row.name)?;
            if !row.gone {
                sample.execute(params![
                    row.unix_ms,
                    id,
                    row.in_flight,
                    row.ceiling,
                    row.waiting,
                    row.paused,
                    row.setting,
                    row.capped_by
                ])?;
            }
            if let Some(counts) = &row.counts {
                // Most limiters grant what they are asked for, and that is all there is to write.
                let rest = Counts { acquired: 0, ..(**counts).clone() };
                if rest != Counts::default()
                    || granted.execute(params![row.unix_ms, id, counts.acquired as i64])? == 0
                {
                    insert_counts(&mut counted, &write, row.unix_ms, id, counts)?;
                }
            }
        }
        let mut change = write.prepare_cached(
            "INSERT OR REPLACE INTO changes
             (at_ms, limiter, number, hand, from_ceiling, to_ceiling, ceiling, cause, missed)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?;
        for (name, Dated { change: of, unix_ms, missed }) in &batch.changes {
            let id = id(&write, run, ids, name)?;
            change.execute(params![
                unix_ms,
                id,
                of.number as i64,
                hand(of.hand),
                of.from as i64,
                of.to as i64,
                of.ceiling as i64,
                of.cause,
                *missed as i64
            ])?;
        }
        let mut pause = write.prepare_cached(
            "INSERT OR REPLACE INTO pauses (at_ms, limiter, paused, cause) VALUES (?, ?, ?, ?)",
        )?;
        for (name, of) in &batch.pauses {
            let id = id(&write, run, ids, name)?;
            pause.execute(params![of.unix_ms, id, of.paused, of.cause])?;
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

/// Writes what has been counted until then. What is there already is added to: two samples may fall
/// into one millisecond, and a minute's samples become one.
pub(super) fn write_counts(
    write: &Connection,
    at_ms: i64,
    limiter: i64,
    counts: &Counts,
) -> rusqlite::Result<()> {
    insert_counts(&mut write.prepare_cached(&insert("IGNORE"))?, write, at_ms, limiter, counts)
}

fn insert_counts(
    statement: &mut CachedStatement<'_>,
    write: &Connection,
    at_ms: i64,
    limiter: i64,
    counts: &Counts,
) -> rusqlite::Result<()> {
    if execute_counts(statement, at_ms, limiter, counts)? > 0 {
        return Ok(());
    }
    let query = format!("SELECT {COUNTS} FROM counts WHERE at_ms = ? AND limiter = ?");
    let mut select = write.prepare_cached(&query)?;
    let mut sum = select.query_row(params![at_ms, limiter], |row| read_counts(row, 0))?;
    sum.add(counts);
    let mut replace = write.prepare_cached(&insert("REPLACE"))?;
    execute_counts(&mut replace, at_ms, limiter, &sum).map(|_| ())
}

const INSERT_GRANTED: &str = "INSERT OR IGNORE INTO counts VALUES
    (?, ?, ?, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL)";

fn insert(or: &str) -> String {
    format!(
        "INSERT OR {or} INTO counts (at_ms, limiter, {COUNTS})
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    )
}

fn execute_counts(
    insert: &mut CachedStatement<'_>,
    at_ms: i64,
    limiter: i64,
    counts: &Counts,
) -> rusqlite::Result<usize> {
    let [closed, exceeds_max, no_permits, queue_full] = counts.refused.map(|n| n as i64);
    insert.execute(params![
        at_ms,
        limiter,
        counts.acquired as i64,
        counts.waited as i64,
        counts.cancelled as i64,
        closed,
        exceeds_max,
        no_permits,
        queue_full,
        counts.peak_in_flight as i64,
        counts.peak_waiting as i64,
        counts.waits.sum.as_micros() as i64,
        waits_to_json(&counts.waits)
    ])
}

/// The columns that [`read_counts`] reads.
pub(super) const COUNTS: &str = "acquired, waited, cancelled, refused_closed, refused_exceeds_max, \
    refused_no_permits, refused_queue_full, peak_in_flight, peak_waiting, waited_us, waits";

/// What has been counted, of a row that has [`COUNTS`] from this column on.
pub(super) fn read_counts(row: &Row<'_>, first: usize) -> rusqlite::Result<Counts> {
    let n = |i: usize| row.get::<_, i64>(first + i).map(i64::unsigned_abs);
    Ok(Counts {
        acquired: n(0)?,
        waited: n(1)?,
        cancelled: n(2)?,
        refused: [n(3)?, n(4)?, n(5)?, n(6)?],
        peak_in_flight: n(7)?,
        peak_waiting: n(8)?,
        waits: Waits {
            sum: Duration::from_micros(n(9)?),
            buckets: match row.get_ref(first + 10)?.as_str_or_null() {
                Ok(Some(json)) => waits_from_json(json),
                _ => Vec::new(),
            },
        },
    })
}

/// `{"40":3,"41":2}`; nothing if nothing waited.
fn waits_to_json(waits: &Waits) -> Option<String> {
    let pairs: Vec<_> =
        waits.buckets.iter().map(|(bucket, n)| format!("\"{bucket}\":{n}")).collect();
    (!pairs.is_empty()).then(|| format!("{{{}}}", pairs.join(",")))
}

/// What [`waits_to_json`] writes. Anything else, that somebody has put there, is left out.
fn waits_from_json(json: &str) -> Vec<(u8, u64)> {
    let pairs = json.trim_matches(['{', '}']).split(',');
    let pair = |pair: &str| {
        let (bucket, n) = pair.split_once(':')?;
        Some((bucket.trim_matches('"').parse().ok()?, n.parse().ok()?))
    };
    pairs.filter_map(pair).collect()
}

fn hand(hand: Hand) -> &'static str {
    if hand == Hand::Setting { "setting" } else { "cap" }
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
    let columns = ["limiter", "at_ms", "min", "max", "gone", "refused"].map(String::from);
    let columns: Vec<_> = columns
        .into_iter()
        .chain(schema::count_columns())
        .chain(schema::average_columns())
        .collect();
    // What is counted goes on from where it was, also in another life of the run or the limiter.
    let adds_up = |column: &str| {
        column == "refused" || schema::count_columns().any(|counted| counted == column)
    };
    let update: Vec<_> = columns[1..]
        .iter()
        .map(|column| match adds_up(column) {
            true => format!("{column} = averages.{column} + excluded.{column}"),
            false => format!("{column} = excluded.{column}"),
        })
        .collect();
    format!(
        "INSERT INTO averages ({}) VALUES ({}) ON CONFLICT (limiter) DO UPDATE SET {}",
        columns.join(", "),
        vec!["?"; columns.len()].join(", "),
        update.join(", ")
    )
}

fn bind_averages(
    upsert: &mut CachedStatement<'_>,
    id: i64,
    row: &AverageRow,
) -> rusqlite::Result<()> {
    let counts = &row.counts;
    let [closed, exceeds_max, no_permits, queue_full] = counts.refused.map(|n| n as i64);
    let numbers = [
        id,
        row.unix_ms,
        row.min as i64,
        row.max as i64,
        i64::from(row.gone),
        closed + exceeds_max + no_permits + queue_full,
        counts.acquired as i64,
        counts.waited as i64,
        counts.cancelled as i64,
        closed,
        exceeds_max,
        no_permits,
        queue_full,
    ];
    for (i, number) in numbers.iter().enumerate() {
        upsert.raw_bind_parameter(i + 1, number)?;
    }
    let values = row.averages.iter().flat_map(|average| match average {
        Some(values) => values.map(Some),
        None => [None; 3],
    });
    for (i, value) in values.enumerate() {
        upsert.raw_bind_parameter(numbers.len() + i + 1, value)?;
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
