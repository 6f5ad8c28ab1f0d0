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

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};

use crate::history::read::Reader;

pub use crate::history::read::Point;

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
    /// Permits granted since the limiter was made, as of the last report.
    pub acquired: i64,
    /// Requests refused since the limiter was made, as of the last report.
    pub refused: i64,
    /// How many changes of the ceiling each cause has made, the most frequent first.
    pub changes: Vec<(String, i64)>,
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
    let mut changes = changes(db)?;
    let mut extents = extents(db)?;
    let mut select = db.prepare("SELECT id, run_id FROM runs ORDER BY started_ms, id")?;
    let runs = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let runs: Vec<(i64, String)> = runs.collect::<rusqlite::Result<_>>()?;
    let wanted = |(_, run_id): &(i64, String)| wanted.is_none_or(|wanted| wanted == run_id);
    let read = |(id, run_id)| run(reader, id, run_id, &mut extents, &mut changes);
    runs.into_iter().filter(wanted).map(read).collect()
}

fn run(
    reader: &Reader,
    id: i64,
    run_id: String,
    extents: &mut HashMap<i64, Extents>,
    changes: &mut HashMap<i64, Vec<(String, i64)>>,
) -> rusqlite::Result<Run> {
    let mut select = reader.db().prepare(
        "SELECT limiters.id, name, acquired, refused FROM limiters
         LEFT JOIN averages ON averages.limiter = limiters.id WHERE run = ? ORDER BY name",
    )?;
    let known = select.query_map([id], |row| {
        let count = |i| row.get::<_, Option<i64>>(i).map(Option::unwrap_or_default);
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, count(2)?, count(3)?))
    })?;
    let known: Vec<_> = known.collect::<rusqlite::Result<_>>()?;
    let of_run = known.iter().filter_map(|(id, ..)| extents.get(id));
    let span = of_run.clone().map(|e| e.first_ms).min().zip(of_run.map(|e| e.last_ms).max());
    let (first_ms, last_ms) = span.unwrap_or_default();
    let mut limiters = Vec::new();
    for (id, name, acquired, refused) in known {
        let Some(extent) = extents.remove(&id) else { continue };
        limiters.push(Line {
            name,
            samples: extent.samples,
            in_flight: extent.in_flight,
            ceiling: extent.ceiling,
            waiting: extent.waiting,
            last_ceiling: extent.last_ceiling,
            full: extent.full,
            paused: extent.paused,
            acquired,
            refused,
            changes: changes.remove(&id).unwrap_or_default(),
            points: reader.series(id, (first_ms, last_ms), POINTS)?,
        });
    }
    let seconds = (last_ms - first_ms) / 1_000;
    let date = |ms: i64| date(reader.db(), ms);
    Ok(Run { run_id, first: date(first_ms)?, last: date(last_ms)?, seconds, limiters })
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
