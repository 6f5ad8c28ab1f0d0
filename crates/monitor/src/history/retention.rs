//! What is kept: thinning, and an end by age and by number. In steps, each its own short
//! transaction, so that other writers of the file never wait long.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::Retention;
use super::clock::RetentionClock;
use super::store::{COUNTS, read_counts, write_counts};
use crate::counts::Counts;
use crate::moment::Moment;

const MINUTE_MS: i64 = 60_000;
/// Minutes thinned in one call: at one call a report, six times as fast as they come.
const MINUTES_A_STEP: usize = 12;
/// Rows deleted in one statement.
const ROWS_A_STEP: i64 = 50_000;
/// How often all rows are counted anew; in between, only what this process did is.
const COUNT_EVERY: std::time::Duration = std::time::Duration::from_secs(3_600);

/// Remembers how many rows there are, and what time it is.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    rows: u64,
    counted: Option<Moment>,
    clock: RetentionClock,
    /// The file has been asked.
    begun: bool,
}

impl Keeper {
    /// Begins with another file.
    pub(crate) fn begin(&mut self) {
        (self.begun, self.counted) = (false, None);
    }

    /// Why nothing grows old at the moment, if so.
    pub(crate) fn complaint(&self) -> Option<String> {
        self.clock.complaint()
    }

    /// `added` rows have been written. To be called once a report; the time by which rows may be
    /// old enough to go, if any may.
    pub(crate) fn report(
        &mut self,
        db: &Connection,
        now: Moment,
        added: usize,
    ) -> rusqlite::Result<Option<i64>> {
        self.rows += added as u64;
        let file = match std::mem::replace(&mut self.begun, true) {
            true => None,
            false => progress(db, "clock")?,
        };
        let time = self.clock.read(now, file);
        if let Some(time) = time {
            // Several processes may share the file.
            db.prepare_cached(
                "INSERT INTO progress VALUES ('clock', ?1) ON CONFLICT (what) DO UPDATE
                 SET until_ms = max(until_ms, ?1)",
            )?
            .execute([time])?;
        }
        let due = |counted: Moment| now.elapsed.saturating_sub(counted.elapsed) >= COUNT_EVERY;
        if self.counted.is_none_or(due) {
            let count = "SELECT (SELECT count(*) FROM samples) + (SELECT count(*) FROM counts)";
            let rows = db.query_row(count, [], |row| row.get::<_, i64>(0))?;
            self.rows = rows.unsigned_abs();
            self.counted = Some(now);
        }
        Ok(time)
    }

    /// Clears away what is too much, a step at a time. Whether there is more to do.
    pub(crate) fn step(
        &mut self,
        db: &mut Connection,
        keep: &Retention,
        time: Option<i64>,
    ) -> rusqlite::Result<bool> {
        let mut more = false;
        let mut before = i64::MIN;
        if let Some(time) = time {
            more |= thin(db, time.saturating_sub(ms(keep.thin_after)), &mut self.rows)?;
            before = time.saturating_sub(ms(keep.age));
        }
        if let Some(surplus) = self.rows.checked_sub(keep.rows).filter(|surplus| *surplus > 0) {
            before = before.max(end_of_oldest(db, surplus)?);
        }
        more |= expire(db, before, &mut self.rows)?;
        if let Some(time) = time {
            forget(db, time.saturating_sub(ms(keep.age)))?;
        }
        db.execute_batch("PRAGMA incremental_vacuum(1000)")?;
        Ok(more)
    }
}

fn progress(db: &Connection, what: &str) -> rusqlite::Result<Option<i64>> {
    let query = "SELECT until_ms FROM progress WHERE what = ?";
    db.query_row(query, [what], |row| row.get(0)).optional()
}

/// Leaves of each limiter and minute before `end_ms` the first sample, and one row of what was
/// counted in all of it.
fn thin(db: &mut Connection, end_ms: i64, rows: &mut u64) -> rusqlite::Result<bool> {
    for _ in 0..MINUTES_A_STEP {
        let write = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // All before this has been thinned, by whichever process.
        let done = progress(&write, "thin")?.unwrap_or(0);
        let next = write
            .query_row(
                "SELECT at_ms FROM samples WHERE at_ms >= ? ORDER BY at_ms LIMIT 1",
                [done],
                |row| row.get::<_, i64>(0),
            )
            .optional()?;
        let Some(from) = next.map(|at| at - at.rem_euclid(MINUTE_MS)) else { return Ok(false) };
        let to = from + MINUTE_MS;
        if to > end_ms {
            return Ok(false);
        }
        let thinned = thin_counts(&write, (from, to))?;
        *rows = rows.saturating_sub(thinned as u64);
        *rows = rows.saturating_sub(write.execute(
            "DELETE FROM samples WHERE at_ms >= ?1 AND at_ms < ?2 AND (limiter, at_ms) NOT IN
             (SELECT limiter, min(at_ms) FROM samples WHERE at_ms >= ?1 AND at_ms < ?2
              GROUP BY limiter)",
            params![from, to],
        )? as u64);
        write.execute("INSERT OR REPLACE INTO progress VALUES ('thin', ?)", [to])?;
        write.commit()?;
    }
    Ok(true)
}

/// Makes one row of those of each limiter between two times; by how many there are fewer.
fn thin_counts(write: &Transaction<'_>, (from, to): (i64, i64)) -> rusqlite::Result<usize> {
    let mut minute: BTreeMap<i64, Counts> = BTreeMap::new();
    // The samples that go now are not to take with them how high it has been.
    let mut select = write.prepare_cached(
        "SELECT limiter, max(in_flight), max(waiting) FROM samples
         WHERE at_ms >= ? AND at_ms < ? GROUP BY limiter HAVING count(*) > 1",
    )?;
    let mut of = select.query([from, to])?;
    while let Some(row) = of.next()? {
        let [in_flight, waiting] = [row.get::<_, i64>(1)?, row.get(2)?].map(i64::unsigned_abs);
        if in_flight + waiting > 0 {
            let counts = minute.entry(row.get(0)?).or_default();
            (counts.peak_in_flight, counts.peak_waiting) = (in_flight, waiting);
        }
    }
    let query = format!("SELECT limiter, {COUNTS} FROM counts WHERE at_ms >= ? AND at_ms < ?");
    let mut select = write.prepare_cached(&query)?;
    let mut of = select.query([from, to])?;
    while let Some(row) = of.next()? {
        minute.entry(row.get(0)?).or_default().add(&read_counts(row, 1)?);
    }
    let deleted = write.execute("DELETE FROM counts WHERE at_ms >= ? AND at_ms < ?", [from, to])?;
    for (limiter, counts) in &minute {
        write_counts(write, from, *limiter, counts)?;
    }
    Ok(deleted.saturating_sub(minute.len()))
}

/// The time of the last of the `n` oldest samples, plus 1.
fn end_of_oldest(db: &Connection, n: u64) -> rusqlite::Result<i64> {
    let last = db
        .query_row(
            "SELECT at_ms FROM samples ORDER BY at_ms LIMIT 1 OFFSET ?",
            [n.saturating_sub(1) as i64],
            |row| row.get::<_, i64>(0),
        )
        .optional()?;
    Ok(last.map_or(i64::MIN, |at| at + 1))
}

/// Deletes samples and changes older than `before_ms`.
fn expire(db: &mut Connection, before_ms: i64, rows: &mut u64) -> rusqlite::Result<bool> {
    // Deleting by the primary key's range needs no list of rows; a step ends where the surplus of
    // one step ends, or at `before_ms`.
    let end = before_ms.min(match end_of_oldest(db, ROWS_A_STEP as u64)? {
        i64::MIN => i64::MAX,
        end => end,
    });
    let deleted = db.execute("DELETE FROM samples WHERE at_ms < ?", [end])?;
    *rows = rows.saturating_sub(deleted as u64);
    let counts = db.execute("DELETE FROM counts WHERE at_ms < ?", [end])?;
    *rows = rows.saturating_sub(counts as u64);
    db.execute("DELETE FROM changes WHERE at_ms < ?", [end])?;
    db.execute("DELETE FROM pauses WHERE at_ms < ?", [end])?;
    Ok(end < before_ms && deleted > 0)
}

/// Deletes limiters and runs that have not been heard of since `before_ms` and have left nothing.
fn forget(db: &mut Connection, before_ms: i64) -> rusqlite::Result<()> {
    let stale: bool = db.query_row(
        "SELECT EXISTS (SELECT 1 FROM averages WHERE at_ms < ?1)
             OR EXISTS (SELECT 1 FROM runs WHERE seen_ms < ?1)",
        [before_ms],
        |row| row.get(0),
    )?;
    if stale {
        let write = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        write.execute(
            "DELETE FROM limiters WHERE id IN (SELECT limiter FROM averages WHERE at_ms < ?1)",
            [before_ms],
        )?;
        write.execute(
            "DELETE FROM runs WHERE seen_ms < ?1 AND id NOT IN (SELECT run FROM limiters)",
            [before_ms],
        )?;
        write.commit()?;
    }
    Ok(())
}

fn ms(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
