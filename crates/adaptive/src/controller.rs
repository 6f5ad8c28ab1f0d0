//! The controller: what it sees, and what it answers.

use core::time::Duration;

/// Decides where a ceiling should be, from the requests that end under it.
///
/// A controller is a pure function of what it is told: it asks no clock, draws no lots and starts
/// nothing. The same calls give the same answers.
///
/// ```
/// use std::time::Duration;
/// use grmgr_adaptive::{Controller, Sample};
///
/// /// Lowers the ceiling by one at each overload.
/// struct Down(usize);
///
/// impl Controller for Down {
///     fn observe(&mut self, _now: Duration, sample: Sample) -> Option<usize> {
///         sample.outcome.is_overload().then(|| self.0 = (self.0 - 1).max(1))?;
///         Some(self.0)
///     }
///
///     fn ceiling(&self) -> usize {
///         self.0
///     }
/// }
/// ```
pub trait Controller {
    /// Takes note of a request that has ended at `now`, and answers with a new ceiling if it has one.
    ///
    /// Times are since any origin, the same for all calls. They need not be in order: a time before the
    /// one of the last call counts as that one.
    fn observe(&mut self, now: Duration, sample: Sample) -> Option<usize>;

    /// Returns the ceiling that it wants now.
    ///
    /// Before the first answer, the one to start from.
    fn ceiling(&self) -> usize;
}

impl<C: Controller + ?Sized> Controller for alloc::boxed::Box<C> {
    fn observe(&mut self, now: Duration, sample: Sample) -> Option<usize> {
        (**self).observe(now, sample)
    }

    fn ceiling(&self) -> usize {
        (**self).ceiling()
    }
}

/// A request that has ended.
///
/// ```
/// use std::time::Duration;
/// use grmgr_adaptive::{Outcome, Sample};
///
/// let sample = Sample {
///     started: Duration::from_millis(500),
///     latency: Duration::from_millis(20),
///     in_flight: 7,
///     outcome: Outcome::Success,
/// };
/// # let _ = sample;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When it got its permit.
    pub started: Duration,
    /// How long it held it.
    pub latency: Duration,
    /// How many were in flight when it got its permit, itself included.
    pub in_flight: usize,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a request ended.
///
/// ```
/// use grmgr_adaptive::Outcome;
///
/// fn judge(status: u16) -> Outcome {
///     match status {
///         429 | 503 | 504 => Outcome::Overload,
///         400..=499 => Outcome::Ignored,
///         _ => Outcome::Success,
///     }
/// }
/// assert!(judge(503).is_overload());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did its work: its latency counts, and so does its throughput.
    Success,
    /// It was turned away, or took too long, because the server has too much to do.
    Overload,
    /// It says nothing about the server: cancelled, refused for another reason, answered from a cache.
    Ignored,
}

impl Outcome {
    /// Returns whether it is [`Overload`](Self::Overload).
    ///
    /// ```
    /// # use grmgr_adaptive::Outcome;
    /// assert!(!Outcome::Ignored.is_overload());
    /// ```
    pub const fn is_overload(self) -> bool {
        matches!(self, Self::Overload)
    }
}

/// The lowest and the highest ceiling: at least 1, and `min` if `max` is lower.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) min: usize,
    pub(crate) max: usize,
}

impl Bounds {
    pub(crate) const DEFAULT: Self = Self { min: 1, max: 1_000 };

    pub(crate) fn clamp(self, ceiling: usize) -> usize {
        ceiling.min(self.max).max(self.min).max(1)
    }

    /// The nearest whole number within the bounds; of what is no number, the lowest.
    pub(crate) fn round(self, ceiling: f64) -> usize {
        // A cast saturates.
        self.clamp(libm::round(ceiling) as usize)
    }
}

/// In seconds: no duration is too long for that.
pub(crate) fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}
