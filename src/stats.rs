//! Counters of what a limiter has done. Exporters read them; nothing here calls out.

mod granted;
mod histogram;
mod holders;

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Mutex, OnceLock, PoisonError};

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::vec::Vec;

use self::granted::Granted;
pub use self::histogram::Histogram;
use self::histogram::Recorder;
pub use self::holders::Holder;
pub(crate) use self::holders::{Holders, cut};
use crate::caps::Hand;
use crate::error::{AcquireError, TryAcquireError};
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use crate::sync::const_unless_loom;

/// How many ceiling changes are kept.
const CHANGES: usize = 64;

/// Tells what a limiter has counted since it was made (feature `stats`).
///
/// ```
/// # use grmgr::Limiter;
/// let db = Limiter::new("db", 1);
/// let permit = db.try_acquire()?;
/// assert!(db.try_acquire().is_err());
/// let stats = db.snapshot().stats;
/// assert_eq!((stats.acquired, stats.refused_no_permits, stats.peak_in_flight), (1, 1, 1));
/// # drop(permit);
/// # Ok::<(), grmgr::TryAcquireError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Stats {
    /// Permits granted.
    ///
    /// The number given back is `acquired` less the snapshot's `in_flight`. Subtract with saturation: a
    /// grant is counted a moment after it shows in flight.
    pub acquired: u64,
    /// Requests that had to wait.
    pub waited: u64,
    /// Requests that were dropped while they waited.
    pub cancelled: u64,
    /// Requests refused because the limiter was closed.
    pub refused_closed: u64,
    /// Requests refused because they were for more than `max`.
    pub refused_exceeds_max: u64,
    /// Requests refused because the queue was full.
    pub refused_queue_full: u64,
    /// Requests by `try_acquire` that found too few permits.
    pub refused_no_permits: u64,
    /// Times the setting or a cap was raised, or a cap was lifted.
    pub raised: u64,
    /// Times the setting or a cap was lowered.
    pub lowered: u64,
    /// The most permits that were seen in flight just after one was granted.
    pub peak_in_flight: usize,
    /// The most requests that waited at the same time.
    pub peak_waiting: usize,
    /// The waiting times of the requests that had to wait and were granted.
    pub wait: Histogram,
    /// For how long permits were held, each counted when it is given back.
    ///
    /// Empty unless the limiter [tracks its holders](crate::Builder::track_holders).
    pub held: Histogram,
}

/// One change of the setting or of a cap, from [`Limiter::changes`](crate::Limiter::changes).
///
/// It says what moved, from where to where, the ceiling in force afterwards, and why.
///
/// ```
/// # use grmgr::{Change, Limiter};
/// let db = Limiter::new("db", 20);
/// db.cap("pressure")?.set(5);
/// let [set, lifted]: [Change; 2] = db.changes().try_into().unwrap();
/// assert_eq!((set.to, set.ceiling, &*set.cause), (5, 5, "pressure"));
/// assert_eq!((lifted.to, lifted.ceiling), (Limiter::MAX_CEILING, 20));
/// # Ok::<(), grmgr::TooManyCaps>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Change {
    /// Its number, from 1. A gap to the last one seen tells how many have been missed.
    pub number: u64,
    /// Which hand has moved.
    pub hand: Hand,
    /// Where it was. A cap that was not set: [`MAX_CEILING`](crate::Limiter::MAX_CEILING).
    pub from: usize,
    /// Where it is now. A cap that was lifted: [`MAX_CEILING`](crate::Limiter::MAX_CEILING).
    pub to: usize,
    /// The ceiling that was in force afterwards.
    pub ceiling: usize,
    /// Why: the `cause` given to `adjust` or `cap`.
    pub cause: Cow<'static, str>,
    /// When, by the limiter's clock.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::config::seconds"))]
    pub at: Duration,
}

/// The counters themselves. All are Relaxed: each stands for itself.
#[derive(Debug)]
pub(crate) struct Counters {
    granted: Granted,
    waited: AtomicU64,
    cancelled: AtomicU64,
    refused_closed: AtomicU64,
    refused_exceeds_max: AtomicU64,
    refused_queue_full: AtomicU64,
    refused_no_permits: AtomicU64,
    peak_waiting: AtomicUsize,
    /// Made when the first request has waited: of thousands of limiters most never have a line.
    wait: OnceLock<Box<Recorder>>,
    log: Mutex<Log>,
}

#[derive(Debug)]
struct Log {
    raised: u64,
    lowered: u64,
    changes: VecDeque<Change>,
}

impl Counters {
    const_unless_loom! {
        pub(crate) fn new() -> Self {
            Self {
                granted: Granted::new(),
                waited: AtomicU64::new(0),
                cancelled: AtomicU64::new(0),
                refused_closed: AtomicU64::new(0),
                refused_exceeds_max: AtomicU64::new(0),
                refused_queue_full: AtomicU64::new(0),
                refused_no_permits: AtomicU64::new(0),
                peak_waiting: AtomicUsize::new(0),
                wait: OnceLock::new(),
                log: Mutex::new(Log { raised: 0, lowered: 0, changes: VecDeque::new() }),
            }
        }
    }

    #[inline]
    pub(crate) fn granted(&self, n: usize, in_flight: usize) {
        self.granted.count(n, in_flight);
    }

    pub(crate) fn waiting(&self, waiting: usize) {
        self.waited.fetch_add(1, Relaxed);
        raise(&self.peak_waiting, waiting);
    }

    pub(crate) fn waited(&self, wait: Duration) {
        self.wait.get_or_init(|| Box::new(Recorder::new())).record(wait, 1);
    }

    pub(crate) fn cancelled(&self) {
        self.cancelled.fetch_add(1, Relaxed);
    }

    pub(crate) fn refused(&self, error: AcquireError) {
        match error {
            AcquireError::Closed => &self.refused_closed,
            AcquireError::ExceedsMax { .. } => &self.refused_exceeds_max,
            AcquireError::QueueFull { .. } => &self.refused_queue_full,
            // No limiter refuses with these: a request that is out of time is counted as cancelled, and
            // if a limiter is named twice, none is asked.
            AcquireError::TimedOut | AcquireError::Repeated { .. } => return,
        }
        .fetch_add(1, Relaxed);
    }

    pub(crate) fn try_refused(&self, error: TryAcquireError) {
        match error {
            TryAcquireError::Closed => &self.refused_closed,
            TryAcquireError::ExceedsMax { .. } => &self.refused_exceeds_max,
            TryAcquireError::NoPermits => &self.refused_no_permits,
        }
        .fetch_add(1, Relaxed);
    }

    /// Logs a change, and gives it its number.
    pub(crate) fn changed(&self, change: Change) {
        self.with_log(|log| {
            *(if change.to > change.from { &mut log.raised } else { &mut log.lowered }) += 1;
            let number = log.raised + log.lowered;
            if log.changes.len() == CHANGES {
                log.changes.pop_front();
            }
            log.changes.push_back(Change { number, ..change });
        });
    }

    pub(crate) fn changes(&self) -> Vec<Change> {
        self.with_log(|log| log.changes.iter().cloned().collect())
    }

    /// `handed` permits are granted and not counted yet: their waiters count them when they see them.
    pub(crate) fn read(&self, handed: usize, holders: Option<&Holders>) -> Stats {
        let (raised, lowered) = self.with_log(|log| (log.raised, log.lowered));
        Stats {
            acquired: self.granted.permits() + handed as u64,
            waited: self.waited.load(Relaxed),
            cancelled: self.cancelled.load(Relaxed),
            refused_closed: self.refused_closed.load(Relaxed),
            refused_exceeds_max: self.refused_exceeds_max.load(Relaxed),
            refused_queue_full: self.refused_queue_full.load(Relaxed),
            refused_no_permits: self.refused_no_permits.load(Relaxed),
            raised,
            lowered,
            peak_in_flight: self.granted.peak(),
            peak_waiting: self.peak_waiting.load(Relaxed),
            wait: self.wait.get().map(|wait| wait.read()).unwrap_or_default(),
            held: holders.map(Holders::histogram).unwrap_or_default(),
        }
    }

    fn with_log<R>(&self, f: impl FnOnce(&mut Log) -> R) -> R {
        f(&mut self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Raises a peak; most of the time that is a load and no more.
fn raise(peak: &AtomicUsize, to: usize) {
    if peak.load(Relaxed) < to {
        peak.fetch_max(to, Relaxed);
    }
}
