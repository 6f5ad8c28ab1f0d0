//! The history: samples, averages and ceiling changes in a SQLite file.
//!
//! The sampler only appends to a bounded [`queue`]; a thread of its own ([`writer`]) takes what is
//! there once a report and writes it in one transaction. Whatever the disk does, that thread is
//! all that ever waits for it.

mod aside;
mod clock;
mod queue;
pub(crate) mod reader;
mod retention;
mod run_lock;
mod schema;
mod store;
#[cfg(test)]
mod tests;
mod writer;

use std::path::PathBuf;
use std::time::Duration;

pub(crate) use queue::AverageRow;
pub(crate) use writer::History;

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    pub(crate) age: Duration,
    pub(crate) rows: u64,
    pub(crate) thin_after: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        Self { age: DAY * 7, rows: 10_000_000, thin_after: DAY }
    }
}

/// What to write, and where.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) path: PathBuf,
    pub(crate) run_id: String,
    pub(crate) retention: Retention,
    /// How many rows may wait while nothing can be written.
    pub(crate) buffer: usize,
    /// How long a write waits for another process's.
    pub(crate) patience: Duration,
}

impl Options {
    pub(crate) fn new(path: PathBuf, run_id: String) -> Self {
        Self {
            path,
            run_id,
            retention: Retention::default(),
            buffer: 500_000,
            patience: Duration::from_secs(5),
        }
    }
}
