//! How the monitor itself is.

use std::path::PathBuf;

/// How a monitor is: what it does, and what it could not do.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Health {
    /// Samples taken.
    pub samples: u64,
    /// The history, if there is one.
    pub history: Option<HistoryHealth>,
}

/// How the writing of the history goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HistoryHealth {
    /// The SQLite file.
    pub path: PathBuf,
    /// The run it is written under.
    pub run_id: String,
    /// Reports written.
    pub reports: u64,
    /// Reports that could not be written. What they held is kept and written with a later one.
    pub errors: u64,
    /// Why the last report could not be written; `None` when it was.
    pub error: Option<String>,
    /// A damaged file that was found at the path has been moved here; the history goes on in a new
    /// one.
    pub moved_aside: Option<PathBuf>,
    /// Why nothing is deleted for its age at the moment: the calendar has been set.
    pub complaint: Option<String>,
    /// Rows that wait to be written.
    pub rows_waiting: usize,
    /// Rows given up because more waited than may.
    pub rows_lost: u64,
}

#[cfg(feature = "history")]
impl HistoryHealth {
    pub(crate) fn new(path: PathBuf, run_id: String) -> Self {
        Self { path, run_id, ..Self::default() }
    }
}
