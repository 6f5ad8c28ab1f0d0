//! What a history says: a table of each run, and a chart.

mod chart;
mod table;

use std::fmt;
use std::path::Path;

use grmgr_monitor::recorded::{self, ReadError, Run};

/// The runs in a history, with their limiters.
#[derive(Debug)]
pub(crate) struct Report {
    runs: Vec<Run>,
}

impl Report {
    /// Reads a history: all runs in it, or one of them.
    pub(crate) fn read(file: &Path, run_id: Option<&str>) -> Result<Self, ReadError> {
        Ok(Self { runs: recorded::read(file, run_id)? })
    }

    /// A chart of in-flight against ceiling, with marks where it was moved or paused, a panel for each
    /// limiter and run: an SVG document.
    pub(crate) fn svg(&self) -> Result<String, String> {
        chart::svg(&self.runs)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        table::write(f, &self.runs)
    }
}
