//! What a history says: a table of each run, and a chart.
//!
//! ```no_run
//! use std::path::Path;
//! use grmgr_monitor::report::Report;
//!
//! let report = Report::read(Path::new("stats.db"), None)?;
//! println!("{report}");
//! std::fs::write("stats.svg", report.svg()?)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod chart;
mod read;
mod table;

use std::fmt;
use std::path::Path;

use crate::history::read::Point;
#[cfg(feature = "top")]
pub(crate) use table::printable;

/// The runs in a history, with their limiters.
#[derive(Debug)]
pub struct Report {
    runs: Vec<Run>,
}

#[derive(Debug)]
struct Run {
    run_id: String,
    /// Of the first and the last sample: date and time, UTC.
    first: String,
    last: String,
    seconds: i64,
    limiters: Vec<Line>,
}

/// One limiter in one run.
#[derive(Debug)]
struct Line {
    name: String,
    samples: i64,
    in_flight: Extent,
    ceiling: Extent,
    waiting: Extent,
    last_ceiling: i64,
    /// The share of samples at which all permits were out.
    full: f64,
    /// The share of samples at which it was paused.
    paused: f64,
    acquired: i64,
    refused: i64,
    /// By cause, the most frequent first.
    changes: Vec<(String, i64)>,
    points: Vec<Point>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Extent {
    mean: f64,
    min: i64,
    max: i64,
}

/// Why there is no report. Says what to do.
#[derive(Debug)]
pub struct ReportError(String);

impl fmt::Display for ReportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ReportError {}

impl Report {
    /// Reads a history: all runs in it, or one of them. The file may be in use.
    ///
    /// # Errors
    ///
    /// If it cannot be read, is no history, or has no such run.
    pub fn read(file: &Path, run_id: Option<&str>) -> Result<Self, ReportError> {
        read::read(file, run_id).map_err(ReportError)
    }

    /// A chart of in-flight against ceiling, a panel for each limiter and run: an SVG document.
    ///
    /// # Errors
    ///
    /// If it cannot be drawn.
    pub fn svg(&self) -> Result<String, ReportError> {
        chart::svg(&self.runs).map_err(ReportError)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        table::write(f, &self.runs)
    }
}
