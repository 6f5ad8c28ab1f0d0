//! What is kept: thinning, and an end by age and by number. In steps, each its own short
//! transaction, so that other writers of the file never wait long.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::Retention;

const MINUTE_MS: i64 = 60_000;
/// Minutes thinned in one call: at one call a report, six times as fast as they come.
const MINUTES_A_STEP: usize = 12;
/// Rows deleted in one statement.
const ROWS_A_STEP: i64 = 50_000;
/// How often all rows are counted anew; in between, only what this process did is.
const COUNT_EVERY_MS: i64 = 3_600_000;

/// Remembers how many rows there are.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    rows: u64,
    counted_ms: i64,
}

impl Keeper {
    /// `added` rows have been written; clears away what is too much, a step at a time. Whether
    /// there is more to do.
    pub(crate) fn step(
        &mut self,
        db: &mut Connection,
        keep: &Retention,
        now_ms: i64,
        added: usize,
    ) -> rusqlite::Result<bool> {
        self.rows += added as u64;
        if now_ms - self.counted_ms >= COUNT_EVERY_MS {
            let rows =
                db.query_row("SELECT count(*) FROM samples", [], |row| row.get::<_, i64>(0))?;
            self.rows = rows.unsigned_abs();
            self.counted_ms = now_ms;
        }
        let mut more = thin(db, now_ms.saturating_sub(ms(keep.thin_after)), &mut self.rows)?;
        let mut before = now_ms.saturating_sub(ms(keep.age));
        if let Some(surplus) = self.rows.checked_sub(keep.rows).filter(|surplus| *surplus > 0) {
            before = before.max(end_of_oldest(db, surplus)?);
        }
        more |= expire(db, before, &mut self.rows)?;
        forget(db, now_ms.saturating_sub(ms(keep.age)))?;
        db.execute_batch("PRAGMA incremental_vacuum(1000)")?;
        Ok(more)
    }
}

/// Leaves of each limiter and minute before `end_ms` the first sample.
fn thin(db: &mut Connection, end_ms: i64, rows: &mut u64) -> rusqlite::Result<bool> {
    for _ in 0..MINUTES_A_STEP {
        let write = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // All before this has been thinned, by whichever process.
        let done: i64 = write
            .query_row("SELECT until_ms FROM progress WHERE what = 'thin'", [], |row| row.get(0))
            .optional()?
            .unwrap_or(0);
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
    db.execute("DELETE FROM changes WHERE at_ms < ?", [end])?;
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
