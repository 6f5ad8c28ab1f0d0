//! The thread that writes, and what it does when it cannot.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::ErrorCode;

use super::queue::{Queue, Work};
use super::retention::Keeper;
use super::run_lock::RunLock;
use super::schema::{self, Unfit};
use super::store::{Store, is_busy};
use super::{AverageRow, Options, aside};
use crate::StartError;
use crate::health::HistoryHealth;
use crate::moment::Moment;
use crate::mutex::lock;
use crate::sampler::Sample;

/// The history being written.
#[derive(Debug)]
pub(crate) struct History {
    queue: Arc<Queue>,
    health: Arc<Mutex<HistoryHealth>>,
    options: Options,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// How long a start waits for another process's write before it goes on without.
const PATIENCE_AT_START: Duration = Duration::from_secs(1);
/// Steps of clearing away after one report.
const STEPS_A_REPORT: usize = 20;

impl History {
    pub(crate) fn start(options: Options) -> Result<Self, StartError> {
        let Options { path, run_id, .. } = &options;
        let held = RunLock::take(path, run_id)
            .map_err(|_| StartError::RunIdInUse { run_id: run_id.clone(), path: path.clone() })?;
        let queue = Arc::new(Queue::new(options.buffer));
        let health = HistoryHealth::new(path.clone(), run_id.clone());
        let health = Arc::new(Mutex::new(health));
        let mut writer = Writer {
            options: options.clone(),
            queue: queue.clone(),
            health: health.clone(),
            store: None,
            keeper: Keeper::default(),
            opened: false,
            start: Instant::now(),
            _held: held,
        };
        // Whatever is wrong with the file is told at once, and tried again with each report.
        if let Err(reason) = writer.open(PATIENCE_AT_START) {
            writer.record(&Err(reason));
        }
        let thread = thread::Builder::new().name("grmgr-history".into());
        let thread = thread.spawn(move || writer.run()).map_err(StartError::Thread)?;
        Ok(Self { queue, health, options, thread: Mutex::new(Some(thread)) })
    }

    pub(crate) fn push(&self, sample: Sample, unix_ms: i64) {
        self.queue.push(sample, unix_ms);
    }

    /// Asks for a report; its number.
    pub(crate) fn report(&self, averages: impl Iterator<Item = (Arc<str>, AverageRow)>) -> u64 {
        self.queue.report(averages)
    }

    /// Waits until a report has been written, or could not be.
    pub(crate) fn wait(&self, report: u64) -> io::Result<()> {
        self.queue.wait(report).map_err(io::Error::other)
    }

    /// What is not in the database yet, of one limiter.
    #[cfg(feature = "dashboard")]
    pub(crate) fn waiting_of(&self, name: &str) -> super::queue::Batch {
        self.queue.waiting_of(name)
    }

    #[cfg(feature = "dashboard")]
    pub(crate) fn push_pause(&self, pause: (Arc<str>, crate::sampler::Pause)) {
        self.queue.push_pause(pause);
    }

    pub(crate) fn health(&self) -> HistoryHealth {
        let mut health = lock(&self.health).clone();
        (health.rows_waiting, health.rows_lost) = self.queue.waiting_and_lost();
        health
    }

    #[cfg(feature = "dashboard")]
    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// Writes what is left and ends the thread.
    pub(crate) fn stop(&self) {
        self.queue.stop();
        let Some(thread) = lock(&self.thread).take() else { return };
        let _ = thread.join();
        let health = self.health();
        if health.rows_waiting > 0 {
            tracing::error!(
                path = %self.options.path.display(),
                rows = health.rows_waiting,
                "history: the last rows could not be written"
            );
        }
    }
}

impl Drop for History {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Writer {
    options: Options,
    queue: Arc<Queue>,
    health: Arc<Mutex<HistoryHealth>>,
    store: Option<Store>,
    keeper: Keeper,
    /// It has been opened before: what is at the path is this monitor's.
    opened: bool,
    start: Instant,
    _held: RunLock,
}

impl Writer {
    fn run(mut self) {
        loop {
            let work = self.queue.take();
            let stop = work.stop;
            // Nobody may wait for a thread that has gone.
            let result =
                catch_unwind(AssertUnwindSafe(|| self.write(&work))).unwrap_or_else(|_| {
                    self.store = None;
                    Err("the writing of it panicked".into())
                });
            self.record(&result);
            let written = result.is_ok();
            let rows = work.batch.rows.len();
            self.queue.done(work, result);
            if stop {
                return;
            }
            if written {
                self.keep(rows);
            }
        }
    }

    fn write(&mut self, work: &Work) -> Result<(), String> {
        let Options { path, patience, .. } = self.options.clone();
        if let Some(moved) = self.store.take_if(|store| !store.is_at(&path)) {
            tracing::warn!(path = %path.display(), "history: the file has been moved; on with a new one");
            moved.leave();
        }
        if self.store.is_none() {
            self.open(patience)?;
        }
        let Some(store) = &mut self.store else { return Ok(()) };
        // At the start it was shorter.
        let _ = store.db.busy_timeout(patience);
        let Err(error) = store.write(&work.batch) else { return Ok(()) };
        if !is_busy(&error) {
            // Opened afresh, for whatever is wrong may be with this connection only.
            self.store = None;
        }
        if is_damage(&error) {
            self.move_aside();
        }
        Err(explain_sqlite(&error))
    }

    /// Opens the file. One that is damaged is moved aside, and a new one is made in its place.
    fn open(&mut self, patience: Duration) -> Result<(), String> {
        let Options { path, run_id, .. } = &self.options;
        let opened = match Store::open(path, run_id, patience) {
            Err(Unfit::Sqlite(error)) if is_damage(&error) && self.move_aside() => {
                Store::open(path, run_id, patience)
            }
            opened => opened,
        };
        self.store = Some(opened.map_err(|unfit| explain(&unfit))?);
        self.keeper.begin();
        self.opened = true;
        Ok(())
    }

    /// Renames a damaged file, with its log: nothing of it is lost that can still be read. A file
    /// that no monitor has made stays where it is.
    fn move_aside(&self) -> bool {
        let path = &self.options.path;
        if !(self.opened || aside::is_ours(path)) {
            return false;
        }
        match aside::rename(path) {
            Ok(to) => {
                tracing::error!(
                    path = %path.display(), to = %to.display(),
                    "history: the file is damaged, or no SQLite database: moved aside; on with a new one"
                );
                lock(&self.health).moved_aside = Some(to);
                true
            }
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "history: the damaged file cannot be moved aside");
                false
            }
        }
    }

    fn record(&self, result: &Result<(), String>) {
        let mut health = lock(&self.health);
        match result {
            Ok(()) => {
                if health.error.take().is_some() {
                    tracing::info!(path = %health.path.display(), "history: written again");
                }
                health.reports += 1;
            }
            Err(reason) => {
                // Once, not at each retry.
                if health.error.as_ref() != Some(reason) {
                    tracing::error!(path = %health.path.display(), %reason, "history: not written; retrying");
                }
                health.errors += 1;
                health.error = Some(reason.clone());
            }
        }
    }

    /// Clears away what is too old or too much. If that fails, the next report will tell.
    fn keep(&mut self, added: usize) {
        let Some(store) = &mut self.store else { return };
        let now = Moment::since(self.start);
        let time = self.keeper.report(&store.db, now, added);
        lock(&self.health).complaint = self.keeper.complaint();
        let cleared = time.and_then(|time| {
            for _ in 0..STEPS_A_REPORT {
                if !self.keeper.step(&mut store.db, &self.options.retention, time)? {
                    break;
                }
            }
            Ok(())
        });
        if let Err(error) = cleared {
            tracing::debug!(%error, "history: nothing cleared away this time");
        }
    }
}

/// Whether the file itself is broken, not the disk, the rights or another process's doing.
fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(code(error), Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt))
}

fn code(error: &rusqlite::Error) -> Option<ErrorCode> {
    error.sqlite_error_code()
}

/// What is wrong, and what to do about it.
pub(crate) fn explain(unfit: &Unfit) -> String {
    match unfit {
        Unfit::Newer(version) => format!(
            "it was written by a later release (schema {version}, this one knows {}): use that \
             release, or another file",
            schema::VERSION
        ),
        Unfit::Older(version) => format!(
            "it was written by an earlier release (schema {version}): start a monitor of this one \
             with it, which brings it up to date"
        ),
        Unfit::Foreign => {
            "it is a database of another program: name another file, which is made if missing"
                .into()
        }
        Unfit::Sqlite(error) => explain_sqlite(error),
    }
}

fn explain_sqlite(error: &rusqlite::Error) -> String {
    let advice = match code(error) {
        Some(ErrorCode::CannotOpen) => "does its folder exist, and may this user write there?",
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            "may this user write the file and its folder?"
        }
        Some(ErrorCode::DiskFull) => "the disk is full: make room",
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another program keeps it locked: end that one's transaction"
        }
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            "the file is damaged, or no SQLite database: move it away, or name another file"
        }
        _ => return error.to_string(),
    };
    format!("{error}: {advice}")
}

/// The same of a file that is opened to be read.
pub(crate) fn explain_open(path: &Path, unfit: &Unfit) -> String {
    format!("cannot read {}: {}", path.display(), explain(unfit))
}
