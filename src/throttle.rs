//! How far and how often a ceiling may move: bounds, steps, and the hold between two changes.

use core::time::Duration;

use crate::clock::nanos;
use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};
use crate::sync::const_unless_loom;

/// The rule by which a limiter's ceiling moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Throttle {
    /// The lowest ceiling.
    pub min: usize,
    /// The highest ceiling.
    pub max: usize,
    /// By how much [`Limiter::up`](crate::Limiter::up) raises it.
    pub up: usize,
    /// By how much [`Limiter::down`](crate::Limiter::down) lowers it.
    pub down: usize,
    /// For how long after a change further steps are refused.
    pub hold: Duration,
}

/// A change to be made to a ceiling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Adjust {
    /// One step up, unless the last change is held.
    Up,
    /// One step down, unless the last change is held.
    Down,
    /// To this value, clamped to the bounds. Not subject to the hold, but starts a new one.
    To(usize),
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "a change may have been refused"]
pub enum Adjustment {
    /// The ceiling has moved.
    Changed {
        /// The ceiling before.
        from: usize,
        /// The ceiling now.
        to: usize,
    },
    /// Refused: the last change is held for a while yet. The hold is not restarted.
    Held {
        /// How long it will be held.
        remaining: Duration,
    },
    /// The ceiling is there already, or at its bound.
    Unchanged {
        /// The ceiling.
        ceiling: usize,
    },
}

impl Throttle {
    pub(crate) const fn new(ceiling: usize) -> Self {
        Self { min: 1, max: ceiling, up: 1, down: 2, hold: Duration::from_secs(30) }
    }

    /// I8: the ceiling that follows on `ceiling`, within the bounds.
    pub(crate) fn next(&self, ceiling: usize, adjust: Adjust) -> usize {
        let wanted = match adjust {
            Adjust::Up => ceiling.saturating_add(self.up),
            Adjust::Down => ceiling.saturating_sub(self.down),
            Adjust::To(wanted) => wanted,
        };
        wanted.clamp(self.min, self.max)
    }
}

/// I7: when the last change's hold ends, in nanoseconds of the limiter's clock (584 years of them).
///
/// Whoever wants to change the ceiling claims the next window first, by a compare-and-swap, so that
/// of many callers one succeeds. A claim is made only for a change that is wanted. If there is
/// nothing left to change after all, somebody else has changed the ceiling since, and the window
/// is that change's: there is nothing to give back.
#[derive(Debug)]
pub(crate) struct Hold {
    /// 0: no hold yet.
    until: AtomicU64,
}

impl Hold {
    const_unless_loom! {
        pub(crate) fn new() -> Self {
            Self { until: AtomicU64::new(0) }
        }
    }

    /// Claims the window that begins `now` and lasts for `hold`, or tells how long the present
    /// one lasts. `regardless` of the present one, if so.
    pub(crate) fn claim(
        &self,
        now: Duration,
        hold: Duration,
        regardless: bool,
    ) -> Result<(), Duration> {
        let claimed = |until| {
            let free = regardless || left(until, now).is_zero();
            free.then(|| nanos(now).saturating_add(nanos(hold)))
        };
        // Relaxed: the hold guards the rate of changes and no memory; the ceiling itself is in the
        // word.
        match self.until.fetch_update(Relaxed, Relaxed, claimed) {
            Ok(_) => Ok(()),
            Err(until) => Err(left(until, now)),
        }
    }

    /// How long the present hold lasts.
    pub(crate) fn remaining(&self, now: Duration) -> Duration {
        left(self.until.load(Relaxed), now)
    }
}

fn left(until: u64, now: Duration) -> Duration {
    Duration::from_nanos(until.saturating_sub(nanos(now)))
}
