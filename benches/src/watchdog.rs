//! Ends the program when one cell hangs, and names it: a limiter that loses a wake-up otherwise
//! shows as a run that never ends.

use std::process;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// No cell takes nearly as long.
const LIMIT: Duration = Duration::from_secs(120);

type Watched = Arc<Mutex<Option<(String, Instant)>>>;

/// Watches one cell at a time.
#[derive(Debug)]
pub struct Watchdog(Watched);

impl Watchdog {
    /// Starts the watching thread, which ends with the watchdog.
    #[must_use]
    pub fn start() -> Self {
        let watched = Watched::default();
        let weak = Arc::downgrade(&watched);
        thread::spawn(move || {
            while let Some(watched) = weak.upgrade() {
                let cell = watched.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if let Some((name, since)) = cell
                    && since.elapsed() > LIMIT
                {
                    eprintln!("stuck for {} s: {name}", LIMIT.as_secs());
                    process::exit(101);
                }
                drop(watched);
                thread::sleep(Duration::from_secs(1));
            }
        });
        Self(watched)
    }

    /// Runs one cell.
    pub fn watch<T>(&self, row: &str, peer: &str, cell: impl FnOnce() -> T) -> T {
        self.set(Some((format!("{row}, {peer}"), Instant::now())));
        let value = cell();
        self.set(None);
        value
    }

    fn set(&self, cell: Option<(String, Instant)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = cell;
    }
}
