//! One stage of the work: its limiter, and what it is seen to do.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use grmgr::{AcquireError, Adjust, Adjustment, Limiter, OwnedPermit};

/// A limiter, with a meter for its degree of parallelism and the course of its ceiling.
pub(crate) struct Stage {
    limiter: Arc<Limiter>,
    started: Instant,
    meter: Mutex<Meter>,
    course: Mutex<Vec<String>>,
}

/// A file's place in a stage: given back when dropped.
pub(crate) struct Place {
    stage: Arc<Stage>,
    _permit: OwnedPermit,
}

/// Adds up, at each change, how many ran for how long. The limiter is not asked, so that the
/// figures are evidence of what it does.
struct Meter {
    running: usize,
    peak: usize,
    since: Instant,
    /// Places times seconds, until `since`.
    area: f64,
}

impl Stage {
    pub(crate) fn new(limiter: Limiter) -> Arc<Self> {
        let started = Instant::now();
        let course = vec![limiter.ceiling().to_string()];
        Arc::new(Self {
            limiter: Arc::new(limiter),
            started,
            meter: Mutex::new(Meter { running: 0, peak: 0, since: started, area: 0.0 }),
            course: Mutex::new(course),
        })
    }

    pub(crate) fn limiter(&self) -> &Limiter {
        &self.limiter
    }

    /// Waits for a place in async code.
    pub(crate) async fn enter(self: &Arc<Self>) -> Result<Place, AcquireError> {
        Ok(self.place(self.limiter.acquire_owned().await?))
    }

    /// Waits for a place by blocking the thread, in the same line.
    pub(crate) fn enter_blocking(self: &Arc<Self>) -> Result<Place, AcquireError> {
        Ok(self.place(self.limiter.acquire_owned_blocking()?))
    }

    fn place(self: &Arc<Self>, permit: OwnedPermit) -> Place {
        lock(&self.meter).set(|running| running + 1);
        Place { stage: self.clone(), _permit: permit }
    }

    pub(crate) fn adjust(&self, to: Adjust, cause: &'static str) {
        // Otherwise it is at its bound, or there already, which is no news.
        if let Adjustment::Changed { to, .. } = self.limiter.adjust(to, cause) {
            self.note(to);
        }
    }

    pub(crate) fn pause(&self) {
        self.limiter.pause();
        self.note("paused");
    }

    pub(crate) fn resume(&self) {
        self.limiter.resume();
        self.note("resumed");
    }

    fn note(&self, what: impl ToString) {
        let at = self.started.elapsed().as_secs_f64();
        lock(&self.course).push(format!("{} at {at:.1} s", what.to_string()));
    }

    /// The ceiling to begin with, and what became of it.
    pub(crate) fn course(&self) -> String {
        lock(&self.course).join(", ")
    }

    /// Mean and peak degree of parallelism until now.
    pub(crate) fn parallelism(&self) -> (f64, usize) {
        let mut meter = lock(&self.meter);
        meter.set(|running| running);
        let time = meter.since.duration_since(self.started).max(Duration::from_nanos(1));
        (meter.area / time.as_secs_f64(), meter.peak)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Before the permit, which goes when this has run: else the next file might be counted
        // while this one still is.
        lock(&self.stage.meter).set(|running| running - 1);
    }
}

impl Meter {
    fn set(&mut self, change: impl FnOnce(usize) -> usize) {
        let now = Instant::now();
        self.area += self.running as f64 * now.duration_since(self.since).as_secs_f64();
        self.since = now;
        self.running = change(self.running);
        self.peak = self.peak.max(self.running);
    }
}

/// Nothing panics while it holds one of these locks, so a poisoned one is as good as another.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
