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

/// I7: when the last change's hold ends. Whoever wants to make a step claims the next window
/// first, by a compare-and-swap, so that of many callers one succeeds.
///
/// The end is kept in nanoseconds of the limiter's clock, of which 63 bits are 292 years. The
/// lowest bit tells a step's claim from a hold that began with [`Adjust::To`]: if the two were of
/// the same instant, giving the claim back would end the hold. 0: no hold yet.
#[derive(Debug)]
pub(crate) struct Hold {
    until: AtomicU64,
}

/// A window that a step has claimed, to be given back if nothing changed after all.
#[derive(Debug)]
pub(crate) struct Claim {
    before: u64,
    mine: u64,
}

/// Marks the claim of a step.
const STEP: u64 = 1;

impl Hold {
    const_unless_loom! {
        pub(crate) fn new() -> Self {
            Self { until: AtomicU64::new(0) }
        }
    }

    /// Claims the window that begins `now` and lasts for `hold`, or tells how long the present
    /// one lasts.
    pub(crate) fn claim(&self, now: Duration, hold: Duration) -> Result<Claim, Duration> {
        let mine = end(now, hold) | STEP;
        // Relaxed throughout: the hold guards the rate of changes and no memory; the ceiling
        // itself is in the word.
        let claimed = self
            .until
            .fetch_update(Relaxed, Relaxed, |until| left(until, now).is_zero().then_some(mine));
        match claimed {
            Ok(before) => Ok(Claim { before, mine }),
            Err(until) => Err(left(until, now)),
        }
    }

    /// Gives the window back, unless somebody has begun another since.
    pub(crate) fn give_back(&self, claim: Claim) {
        let _ = self.until.compare_exchange(claim.mine, claim.before, Relaxed, Relaxed);
    }

    /// Begins a new window, whatever the present one.
    pub(crate) fn begin(&self, now: impl Fn() -> Duration, hold: Duration) {
        // The clock is asked again if a step comes in between, whose hold must not be shortened.
        let _ = self.until.fetch_update(Relaxed, Relaxed, |_| Some(end(now(), hold)));
    }

    /// How long the present hold lasts.
    pub(crate) fn remaining(&self, now: Duration) -> Duration {
        left(self.until.load(Relaxed), now)
    }
}

fn end(now: Duration, hold: Duration) -> u64 {
    nanos(now).saturating_add(nanos(hold)).min(u64::MAX >> 1) << 1
}

fn left(until: u64, now: Duration) -> Duration {
    Duration::from_nanos((until >> 1).saturating_sub(nanos(now)))
}
