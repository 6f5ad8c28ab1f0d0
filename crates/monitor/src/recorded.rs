//! What a history says: its runs, and in each the limiters, with means, extremes and a course.
//!
//! ```no_run
//! use std::path::Path;
//!
//! for run in grmgr_monitor::recorded::read(Path::new("stats.db"), None)? {
//!     for limiter in run.limiters {
//!         println!("{}: {:.1} in flight", limiter.name, limiter.in_flight.mean);
//!     }
//! }
//! # Ok::<(), grmgr_monitor::recorded::ReadError>(())
//! ```

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};

use crate::counts::{Counts, REASONS, quantile};
use crate::history::reader::Reader;

pub use crate::history::reader::{ChangePoint, PausePoint, Point};

/// One run of a program: from a monitor's start to its end.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Run {
    /// The name it was recorded under.
    pub run_id: String,
    /// Of the first sample: date and time, UTC.
    pub first: String,
    /// Of the last sample: date and time, UTC.
    pub last: String,
    /// Of the first sample: milliseconds since 1970, UTC.
    pub first_ms: i64,
    /// Of the last sample: milliseconds since 1970, UTC.
    pub last_ms: i64,
    /// From the first sample to the last.
    pub seconds: i64,
    /// Those that have a sample, by name.
    pub limiters: Vec<Line>,
}

/// One limiter in one run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Line {
    /// The limiter's name.
    pub name: String,
    /// How many samples there are.
    pub samples: i64,
    /// Permits in flight.
    pub in_flight: Extent,
    /// The ceiling in force.
    pub ceiling: Extent,
    /// Requests in line.
    pub waiting: Extent,
    /// The ceiling at the last sample.
    pub last_ceiling: i64,
    /// The share of samples at which all permits were out, from 0 to 1.
    pub full: f64,
    /// The share of samples at which it was paused, from 0 to 1.
    pub paused: f64,
    /// Permits granted in the run, in all its lives and those of the limiter.
    pub acquired: i64,
    /// Requests that had to wait.
    pub waited: i64,
    /// Requests given up while they waited.
    pub cancelled: i64,
    /// Requests refused.
    pub refused: i64,
    /// Requests refused by reason, those of which there are any. What schema 1 recorded has none.
    pub reasons: Vec<(&'static str, i64)>,
    /// Of those that waited and were granted, as far as it is kept: half of them waited no longer.
    pub wait_p50: Option<Duration>,
    /// The same of 99 in 100.
    pub wait_p99: Option<Duration>,
    /// How many changes of the ceiling each cause has made, the most frequent first.
    pub changes: Vec<(String, i64)>,
    /// The changes themselves: the last 1,000.
    pub change_points: Vec<ChangePoint>,
    /// When it was paused and resumed: the last 1,000 times.
    pub pauses: Vec<PausePoint>,
    /// Its course: at most 400 points over the time of the run.
    pub points: Vec<Point>,
}

/// How a number went over all samples.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Extent {
    /// The mean.
    pub mean: f64,
    /// The lowest.
    pub min: i64,
    /// The highest.
    pub max: i64,
}

/// Why a history cannot be read. Says what to do.
#[derive(Debug)]
pub struct ReadError(String);

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ReadError {}

/// A history of ten million samples is read within a minute.
const PATIENCE: Duration = Duration::from_secs(600);
/// Points of a line in the chart.
const POINTS: usize = 400;
/// Changes and pauses of one limiter at most.
const MARKS: usize = 1_000;

/// Reads a history: all runs in it, or one of them. The file may be in use.
///
/// # Errors
///
/// If it cannot be read, is no history, or has no such run.
pub fn read(file: &Path, run_id: Option<&str>) -> Result<Vec<Run>, ReadError> {
    if !file.exists() {
        return Err(ReadError(format!("there is no file {}", file.display())));
    }
    let reader = Reader::open(file, PATIENCE).map_err(ReadError)?;
    let runs = runs(&reader, run_id)
        .map_err(|error| ReadError(format!("cannot read {}: {error}", file.display())))?;
    match run_id {
        Some(run_id) if runs.is_empty() => {
            Err(ReadError(format!("there is no run {run_id:?} in {}", file.display())))
        }
        _ => Ok(runs),
    }
}

fn runs(reader: &Reader, wanted: Option<&str>) -> rusqlite::Result<Vec<Run>> {
    let db = reader.db();
    let mut about =
        About { changes: changes(db)?, extents: extents(db)?, counts: reader.counts()? };
    let mut select = db.prepare("SELECT id, run_id FROM runs ORDER BY started_ms, id")?;
    let runs = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let runs: Vec<(i64, String)> = runs.collect::<rusqlite::Result<_>>()?;
    let wanted = |(_, run_id): &(i64, String)| wanted.is_none_or(|wanted| wanted == run_id);
    runs.into_iter()
        .filter(wanted)
        .map(|(id, run_id)| run(reader, id, run_id, &mut about))
        .collect()
}

/// What is known of all limiters, by their ids.
struct About {
    changes: HashMap<i64, Vec<(String, i64)>>,
    extents: HashMap<i64, Extents>,
    counts: BTreeMap<i64, Counts>,
}

fn run(reader: &Reader, id: i64, run_id: String, about: &mut About) -> rusqlite::Result<Run> {
    const TOTALS: [&str; 4] = ["acquired", "waited", "cancelled", "refused"];
    let totals = TOTALS.map(String::from).into_iter();
    let totals = totals.chain(REASONS.iter().map(|reason| format!("refused_{reason}")));
    let mut select = reader.db().prepare(&format!(
        "SELECT limiters.id, name, {} FROM limiters
         LEFT JOIN averages ON averages.limiter = limiters.id WHERE run = ? ORDER BY name",
        totals.collect::<Vec<_>>().join(", ")
    ))?;
    let known = select.query_map([id], |row| {
        let mut totals = [0; TOTALS.len() + REASONS.len()];
        for (i, total) in totals.iter_mut().enumerate() {
            *total = row.get::<_, Option<i64>>(2 + i)?.unwrap_or_default();
        }
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, totals))
    })?;
    let known: Vec<_> = known.collect::<rusqlite::Result<_>>()?;
    let of_run = known.iter().filter_map(|(id, ..)| about.extents.get(id));
    let span = of_run.clone().map(|e| e.first_ms).min().zip(of_run.map(|e| e.last_ms).max());
    let span = span.unwrap_or_default();
    let mut limiters = Vec::new();
    for (id, name, [acquired, waited, cancelled, refused, reasons @ ..]) in known {
        let Some(extent) = about.extents.remove(&id) else { continue };
        let Extents {
            samples,
            mut in_flight,
            ceiling,
            mut waiting,
            last_ceiling,
            full,
            paused,
            ..
        } = extent;
        let counts = about.counts.remove(&id).unwrap_or_default();
        // Between two samples it may have been higher.
        in_flight.max = in_flight.max.max(counts.peak_in_flight as i64);
        waiting.max = waiting.max.max(counts.peak_waiting as i64);
        let buckets = counts.waits.buckets.iter();
        let buckets = buckets.map(|(bucket, n)| (usize::from(*bucket), *n as f64));
        let reasons = REASONS.into_iter().zip(reasons).filter(|(_, n)| *n > 0).collect();
        limiters.push(Line {
            name,
            samples,
            in_flight,
            ceiling,
            waiting,
            last_ceiling,
            full,
            paused,
            acquired,
            waited,
            cancelled,
            refused,
            reasons,
            wait_p50: quantile(buckets.clone(), 0.5),
            wait_p99: quantile(buckets, 0.99),
            changes: about.changes.remove(&id).unwrap_or_default(),
            change_points: reader.changes(id, span, MARKS)?,
            pauses: reader.pauses(id, span, MARKS)?,
            points: reader.series(id, span, POINTS)?,
        });
    }
    let (first_ms, last_ms) = span;
    let seconds = (last_ms - first_ms) / 1_000;
    let date = |ms: i64| date(reader.db(), ms);
    let (first, last) = (date(first_ms)?, date(last_ms)?);
    Ok(Run { run_id, first, last, first_ms, last_ms, seconds, limiters })
}

struct Extents {
    samples: i64,
    first_ms: i64,
    last_ms: i64,
    in_flight: Extent,
    ceiling: Extent,
    waiting: Extent,
    last_ceiling: i64,
    full: f64,
    paused: f64,
}

/// Of all limiters, in one pass over the samples.
fn extents(db: &Connection) -> rusqlite::Result<HashMap<i64, Extents>> {
    // SQLite takes a bare column from the row that has the maximum: the last one.
    let mut select = db.prepare(
        "SELECT limiter, max(at_ms), ceiling, count(*),
             avg(in_flight), total(in_flight >= ceiling) / count(*),
             avg(ceiling), avg(waiting), avg(paused)
         FROM samples GROUP BY limiter",
    )?;
    let rows = select.query_map([], |row| {
        let mean = |i| Ok::<_, rusqlite::Error>(Extent { mean: row.get(i)?, ..Extent::default() });
        let extents = Extents {
            last_ms: row.get(1)?,
            last_ceiling: row.get(2)?,
            first_ms: 0,
            samples: row.get(3)?,
            in_flight: mean(4)?,
            full: row.get(5)?,
            ceiling: mean(6)?,
            waiting: mean(7)?,
            paused: row.get(8)?,
        };
        Ok((row.get(0)?, extents))
    })?;
    let mut extents: HashMap<i64, Extents> = rows.collect::<rusqlite::Result<_>>()?;
    // Apart from the above, in which a second minimum or maximum would make the bare column that
    // of any row.
    let mut select = db.prepare(
        "SELECT limiter, min(in_flight), max(in_flight), min(ceiling), max(ceiling),
             min(waiting), max(waiting), min(at_ms) FROM samples GROUP BY limiter",
    )?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let Some(of) = extents.get_mut(&row.get(0)?) else { continue };
        for (extent, i) in [(&mut of.in_flight, 1), (&mut of.ceiling, 3), (&mut of.waiting, 5)] {
            (extent.min, extent.max) = (row.get(i)?, row.get(i + 1)?);
        }
        of.first_ms = row.get(7)?;
    }
    Ok(extents)
}

fn changes(db: &Connection) -> rusqlite::Result<HashMap<i64, Vec<(String, i64)>>> {
    let mut select = db.prepare(
        "SELECT limiter, cause, count(*) FROM changes GROUP BY limiter, cause ORDER BY 3 DESC, 2",
    )?;
    let mut rows = select.query([])?;
    let mut changes: HashMap<i64, Vec<_>> = HashMap::new();
    while let Some(row) = rows.next()? {
        changes.entry(row.get(0)?).or_default().push((row.get(1)?, row.get(2)?));
    }
    Ok(changes)
}

fn date(db: &Connection, unix_ms: i64) -> rusqlite::Result<String> {
    let query = "SELECT strftime('%Y-%m-%d %H:%M:%S', ? / 1000, 'unixepoch')";
    let date = db.query_row(query, [unix_ms], |row| row.get(0)).optional()?;
    Ok(date.unwrap_or_default())
}
