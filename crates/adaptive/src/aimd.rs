//! Additive increase, multiplicative decrease.

use core::time::Duration;

use crate::controller::{Bounds, Controller, Sample, seconds};

/// Raises the ceiling by one a window, and lowers it by a tenth for a window with overload.
///
/// Simple, and right where a server says by itself that it has too much to do. It does not look at
/// latencies: a server that only gets slower makes it rise to its upper bound. At most one change a
/// second, and none if less than half of the ceiling was used.
///
/// ```
/// use grmgr_adaptive::{Aimd, Controller};
///
/// let aimd = Aimd::new(20).min(5).max(100);
/// assert_eq!(aimd.ceiling(), 20);
/// ```
#[derive(Clone, Debug)]
pub struct Aimd {
    bounds: Bounds,
    ceiling: usize,
    now: f64,
    ends: Option<f64>,
    seen: usize,
    overloads: usize,
    in_flight: usize,
}

impl Aimd {
    /// Makes one that starts from `ceiling`, and stays between 1 and 1,000.
    ///
    /// ```
    /// # use grmgr_adaptive::{Controller, Aimd};
    /// assert_eq!(Aimd::new(0).ceiling(), 1);
    /// ```
    pub fn new(ceiling: usize) -> Self {
        let bounds = Bounds::DEFAULT;
        let ceiling = bounds.clamp(ceiling);
        Self { bounds, ceiling, now: 0.0, ends: None, seen: 0, overloads: 0, in_flight: 0 }
    }

    /// Sets the lowest ceiling, at least 1.
    ///
    /// ```
    /// # use grmgr_adaptive::{Controller, Aimd};
    /// assert_eq!(Aimd::new(2).min(5).ceiling(), 5);
    /// ```
    pub fn min(mut self, min: usize) -> Self {
        self.bounds.min = min;
        self.ceiling = self.bounds.clamp(self.ceiling);
        self
    }

    /// Sets the highest ceiling; if it is below the lowest, the lowest counts.
    ///
    /// ```
    /// # use grmgr_adaptive::{Controller, Aimd};
    /// assert_eq!(Aimd::new(20).max(10).ceiling(), 10);
    /// ```
    pub fn max(mut self, max: usize) -> Self {
        self.bounds.max = max;
        self.ceiling = self.bounds.clamp(self.ceiling);
        self
    }
}

impl Controller for Aimd {
    fn observe(&mut self, now: Duration, sample: Sample) -> Option<usize> {
        self.now = seconds(now).max(self.now);
        if sample.outcome == crate::Outcome::Ignored {
            return None;
        }
        self.seen += 1;
        self.overloads += usize::from(sample.outcome.is_overload());
        self.in_flight = self.in_flight.max(sample.in_flight);
        let now = self.now;
        let ends = *self.ends.get_or_insert(now + 1.0);
        if now < ends || self.seen < 10 {
            return None;
        }
        let to = if self.overloads > 0 {
            self.bounds.round(libm::floor(self.ceiling as f64 * 0.9))
        } else if self.in_flight.saturating_mul(2) >= self.ceiling {
            self.bounds.clamp(self.ceiling.saturating_add(1))
        } else {
            self.ceiling
        };
        let moved = to != self.ceiling;
        *self = Self { bounds: self.bounds, now, ..Self::new(1) };
        self.ceiling = to;
        self.ends = Some(now + 1.0);
        moved.then_some(to)
    }

    fn ceiling(&self) -> usize {
        self.ceiling
    }
}
