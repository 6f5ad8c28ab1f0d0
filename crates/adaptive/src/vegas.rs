//! The rule of TCP Vegas, applied to requests.

use core::time::Duration;

use crate::controller::{Bounds, Controller, Sample, seconds};

/// Keeps a small queue at the server, told from the lowest latency that it has seen.
///
/// The rule of Netflix's concurrency-limits 0.5 (`VegasLimit` in a window of 1 s): the queue is the
/// ceiling × (1 − lowest latency ÷ mean latency of the window). A short queue raises the ceiling, a long
/// one lowers it. The lowest latency is measured anew every 15 to 30 windows for each unit of the ceiling,
/// under the load that there is then: if that has a queue, the queue counts as normal from then on.
///
/// ```
/// use grmgr_adaptive::{Controller, Vegas};
///
/// let vegas = Vegas::new(20).max(100).seed(7);
/// assert_eq!(vegas.ceiling(), 20);
/// ```
#[derive(Clone, Debug)]
pub struct Vegas {
    bounds: Bounds,
    ceiling: f64,
    lots: Lots,
    no_load: f64,
    probes: f64,
    jitter: f64,
    now: f64,
    ends: Option<f64>,
    seen: usize,
    sum: f64,
    in_flight: usize,
    overloaded: bool,
}

impl Vegas {
    /// Makes one that starts from `ceiling`, and stays between 1 and 1,000.
    ///
    /// ```
    /// # use grmgr_adaptive::{Controller, Vegas};
    /// assert_eq!(Vegas::new(0).ceiling(), 1);
    /// ```
    pub fn new(ceiling: usize) -> Self {
        let bounds = Bounds::DEFAULT;
        Self {
            bounds,
            ceiling: bounds.clamp(ceiling) as f64,
            lots: Lots(0),
            no_load: 0.0,
            probes: 0.0,
            jitter: 0.75,
            now: 0.0,
            ends: None,
            seen: 0,
            sum: 0.0,
            in_flight: 0,
            overloaded: false,
        }
    }

    /// Sets the lowest ceiling, at least 1.
    ///
    /// ```
    /// # use grmgr_adaptive::{Controller, Vegas};
    /// assert_eq!(Vegas::new(2).min(5).ceiling(), 5);
    /// ```
    pub fn min(mut self, min: usize) -> Self {
        self.bounds.min = min;
        self.ceiling = self.bounds.round(self.ceiling) as f64;
        self
    }

    /// Sets the highest ceiling; if it is below the lowest, the lowest counts.
    ///
    /// ```
    /// # use grmgr_adaptive::{Controller, Vegas};
    /// assert_eq!(Vegas::new(20).max(10).ceiling(), 10);
    /// ```
    pub fn max(mut self, max: usize) -> Self {
        self.bounds.max = max;
        self.ceiling = self.bounds.round(self.ceiling) as f64;
        self
    }

    /// Sets where the jitter of its probes starts from: different in each process.
    ///
    /// ```
    /// # use grmgr_adaptive::{Controller, Vegas};
    /// let one = Vegas::new(20).seed(std::process::id().into());
    /// # let _ = one.ceiling();
    /// ```
    pub fn seed(mut self, seed: u64) -> Self {
        self.lots = Lots(seed);
        self
    }

    fn update(&mut self, latency: f64) {
        self.probes += 1.0;
        if self.jitter * 30.0 * self.ceiling <= self.probes {
            self.jitter = 0.5 + self.lots.draw() / 2.0;
            self.probes = 0.0;
            self.no_load = latency;
            return;
        }
        if self.no_load == 0.0 || latency < self.no_load {
            self.no_load = latency;
            return;
        }
        let unit = libm::floor(libm::log10(self.ceiling)).max(1.0);
        let queue = libm::ceil(self.ceiling * (1.0 - self.no_load / latency));
        let by = if self.overloaded {
            -unit
        } else if (self.in_flight as f64) * 2.0 < self.ceiling {
            0.0
        } else if queue <= unit {
            6.0 * unit
        } else if queue < 3.0 * unit {
            unit
        } else if queue > 6.0 * unit {
            -unit
        } else {
            0.0
        };
        self.ceiling = self.bounds.round(self.ceiling + by) as f64;
    }
}

impl Controller for Vegas {
    fn observe(&mut self, now: Duration, sample: Sample) -> Option<usize> {
        self.now = seconds(now).max(self.now);
        if sample.outcome == crate::Outcome::Ignored {
            return None;
        }
        let now = self.now;
        let latency = seconds(sample.latency).max(1e-9);
        self.overloaded |= sample.outcome.is_overload();
        self.seen += 1;
        self.sum += latency;
        self.in_flight = self.in_flight.max(sample.in_flight);
        let ends = *self.ends.get_or_insert(now + 1.0);
        if now < ends || self.seen < 10 {
            return None;
        }
        let before = self.ceiling();
        self.update(self.sum / self.seen as f64);
        self.ends = Some(now + 1.0);
        (self.seen, self.sum) = (0, 0.0);
        (self.in_flight, self.overloaded) = (0, false);
        let to = self.ceiling();
        (to != before).then_some(to)
    }

    fn ceiling(&self) -> usize {
        self.bounds.round(self.ceiling)
    }
}

/// Numbers that look random and are not (splitmix64).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lots(pub(crate) u64);

impl Lots {
    /// From 0 to 1.
    pub(crate) fn draw(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}
