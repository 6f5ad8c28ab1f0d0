//! Reading a history back, for the dashboard and for [`crate::recorded`].

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags, params};

use super::schema::{self, Unfit};
use super::store::{COUNTS, read_counts};
use super::writer::explain_open;
use crate::counts::{Counts, quantile};

/// A history opened for reading.
#[derive(Debug)]
pub(crate) struct Reader {
    db: Connection,
}

/// What happened in a stretch of time that ends at `unix_ms`.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Point {
    /// Milliseconds since 1970, UTC.
    pub unix_ms: i64,
    /// Permits in flight: the mean.
    pub in_flight: f64,
    /// The ceiling in force: the mean.
    pub ceiling: f64,
    /// The setting: the mean. `None` in what schema 1 recorded.
    pub setting: Option<f64>,
    /// Requests in line: the mean.
    pub waiting: f64,
    /// Whether the limiter was paused at any time in it.
    pub paused: bool,
    /// How long it is since the point before: what is counted was counted in this time. 0: unknown.
    pub seconds: f64,
    /// Permits granted.
    pub granted: u64,
    /// Requests that began to wait.
    pub waited: u64,
    /// Requests given up while they waited.
    pub cancelled: u64,
    /// Requests refused.
    pub refused: u64,
    /// Of those that waited and were granted: half of them waited no longer, in seconds.
    pub wait_p50: Option<f64>,
    /// The same of 99 in 100.
    pub wait_p99: Option<f64>,
    /// The most that were in line, as far as it is known.
    pub peak_waiting: f64,
}

/// A recorded change of a ceiling.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChangePoint {
    /// Milliseconds since 1970, UTC.
    pub unix_ms: i64,
    /// Whether a cap has moved, and not the setting.
    pub cap: bool,
    /// Where it was.
    pub from: i64,
    /// Where it is now.
    pub to: i64,
    /// The ceiling in force afterwards. `None` in what schema 1 recorded.
    pub ceiling: Option<i64>,
    /// Why.
    pub cause: String,
}

/// A recorded pause, or the end of one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PausePoint {
    /// Milliseconds since 1970, UTC.
    pub unix_ms: i64,
    /// Whether it was paused, and not resumed.
    pub paused: bool,
    /// Why; empty where only a sample saw it.
    pub cause: String,
}

impl Point {
    /// Adds what has been counted.
    pub(crate) fn count(&mut self, counts: &Counts) {
        self.granted += counts.acquired;
        self.waited += counts.waited;
        self.cancelled += counts.cancelled;
        self.refused += counts.refused.iter().sum::<u64>();
        self.peak_waiting = self.peak_waiting.max(counts.peak_waiting as f64);
        let buckets = counts.waits.buckets.iter();
        let buckets = buckets.map(|(bucket, n)| (usize::from(*bucket), *n as f64));
        let seconds = |share| quantile(buckets.clone(), share).map(|wait| wait.as_secs_f64());
        (self.wait_p50, self.wait_p99) = (seconds(0.5), seconds(0.99));
    }
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
        let checking = db.unchecked_transaction().map_err(|e| explain(e.into()))?;
        let version = schema::version(&checking);
        drop(checking);
        match version {
            Ok(schema::VERSION) => Ok(Self { db }),
            Ok(0) => Err(format!("{} is empty: no monitor has written to it yet", path.display())),
            Ok(older) => Err(explain(Unfit::Older(older))),
            Err(unfit) => Err(explain(unfit)),
        }
    }

    /// What was recorded of a limiter from `from_ms` to `to_ms`, the oldest first; put together, if
    /// there are more samples than `points`.
    pub(crate) fn series(
        &self,
        limiter: i64,
        (from_ms, to_ms): (i64, i64),
        points: usize,
    ) -> rusqlite::Result<Vec<Point>> {
        let width = ((to_ms - from_ms) / points.max(1) as i64).max(1);
        let mut counted = self.counted(limiter, (from_ms, to_ms), width)?;
        let mut select = self.db.prepare_cached(
            "SELECT max(at_ms), avg(in_flight), avg(ceiling), avg(setting), avg(waiting),
                 max(paused), max(waiting), at_ms / ?4 FROM samples
             WHERE limiter = ?1 AND at_ms >= ?2 AND at_ms <= ?3 GROUP BY at_ms / ?4 ORDER BY 1",
        )?;
        let mut rows = select.query(params![limiter, from_ms, to_ms, width])?;
        let mut series: Vec<Point> = Vec::new();
        while let Some(row) = rows.next()? {
            let unix_ms = row.get(0)?;
            let before = series.last().map_or(unix_ms, |point| point.unix_ms);
            let mut point = Point {
                unix_ms,
                in_flight: row.get(1)?,
                ceiling: row.get(2)?,
                setting: row.get(3)?,
                waiting: row.get(4)?,
                paused: row.get(5)?,
                peak_waiting: row.get(6)?,
                seconds: (unix_ms - before) as f64 / 1e3,
                ..Point::default()
            };
            if let Some(counts) = counted.remove(&row.get(7)?) {
                point.count(&counts);
            }
            series.push(point);
        }
        Ok(series)
    }

    /// What has been counted, by stretches of `width` milliseconds.
    fn counted(
        &self,
        limiter: i64,
        (from_ms, to_ms): (i64, i64),
        width: i64,
    ) -> rusqlite::Result<BTreeMap<i64, Counts>> {
        let mut select = self.db.prepare_cached(&format!(
            "SELECT at_ms / ?4, {COUNTS} FROM counts
             WHERE limiter = ?1 AND at_ms >= ?2 AND at_ms <= ?3"
        ))?;
        let mut rows = select.query(params![limiter, from_ms, to_ms, width])?;
        let mut counted: BTreeMap<i64, Counts> = BTreeMap::new();
        while let Some(row) = rows.next()? {
            counted.entry(row.get(0)?).or_default().add(&read_counts(row, 1)?);
        }
        Ok(counted)
    }

    /// All that has been counted, as far as it is kept, by limiter.
    pub(crate) fn counts(&self) -> rusqlite::Result<BTreeMap<i64, Counts>> {
        let mut select = self.db.prepare(&format!("SELECT limiter, {COUNTS} FROM counts"))?;
        let mut rows = select.query([])?;
        let mut counts: BTreeMap<i64, Counts> = BTreeMap::new();
        while let Some(row) = rows.next()? {
            counts.entry(row.get(0)?).or_default().add(&read_counts(row, 1)?);
        }
        Ok(counts)
    }

    /// The id of a limiter.
    #[cfg(feature = "dashboard")]
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

    /// The changes of a limiter between two times, the oldest first, the newest `most` of them.
    pub(crate) fn changes(
        &self,
        limiter: i64,
        (from_ms, to_ms): (i64, i64),
        most: usize,
    ) -> rusqlite::Result<Vec<ChangePoint>> {
        let mut select = self.db.prepare_cached(
            "SELECT at_ms, hand = 'cap', from_ceiling, to_ceiling, ceiling, cause FROM changes
             WHERE limiter = ? AND at_ms >= ? AND at_ms <= ?
             ORDER BY at_ms DESC, number DESC LIMIT ?",
        )?;
        let rows = select.query_map(params![limiter, from_ms, to_ms, most as i64], |row| {
            Ok(ChangePoint {
                unix_ms: row.get(0)?,
                cap: row.get(1)?,
                from: row.get(2)?,
                to: row.get(3)?,
                ceiling: row.get(4)?,
                cause: row.get(5)?,
            })
        })?;
        let mut changes: Vec<_> = rows.collect::<rusqlite::Result<_>>()?;
        changes.reverse();
        Ok(changes)
    }

    /// The pauses of a limiter between two times, the oldest first, the newest `most` of them.
    pub(crate) fn pauses(
        &self,
        limiter: i64,
        (from_ms, to_ms): (i64, i64),
        most: usize,
    ) -> rusqlite::Result<Vec<PausePoint>> {
        let mut select = self.db.prepare_cached(
            "SELECT at_ms, paused, cause FROM pauses
             WHERE limiter = ? AND at_ms >= ? AND at_ms <= ? ORDER BY at_ms DESC LIMIT ?",
        )?;
        let rows = select.query_map(params![limiter, from_ms, to_ms, most as i64], |row| {
            Ok(PausePoint { unix_ms: row.get(0)?, paused: row.get(1)?, cause: row.get(2)? })
        })?;
        let mut pauses: Vec<_> = rows.collect::<rusqlite::Result<_>>()?;
        pauses.reverse();
        Ok(pauses)
    }

    pub(crate) fn db(&self) -> &Connection {
        &self.db
    }
}
