//! What is measured under one ceiling, and what two of them say together.

use alloc::vec::Vec;

use libm::{log, sqrt};

/// How many latencies are kept; further ones are counted.
const KEPT: usize = 512;
/// How long an arm lasts at least, in seconds: longer than a thread is usually kept from running.
const LEAST: f64 = 0.005;

/// The requests that ended while a ceiling was held.
#[derive(Clone, Debug)]
pub(crate) struct Arm {
    pub(crate) ceiling: usize,
    /// Since when the ceiling has been held.
    opened: f64,
    /// For how long what is seen belongs to the ceiling before.
    settle: f64,
    /// Since when it counts.
    begun: Option<f64>,
    /// Requests that began under this ceiling and filled it, and those that did not.
    full: u32,
    short: u32,
    pub(crate) count: f64,
    pub(crate) time: f64,
    /// How many were in flight when those began that began under this ceiling, in sum.
    flight: f64,
    own: f64,
    /// The sum of how long measured stretches are that lie together, for their edges.
    stretches: f64,
    sum: f64,
    squares: f64,
    latencies: Vec<f64>,
}

/// The mean of the lower three quarters of latencies, and its standard error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Low {
    pub(crate) mean: f64,
    pub(crate) error: f64,
}

impl Arm {
    pub(crate) fn new() -> Self {
        Self { latencies: Vec::with_capacity(KEPT), ..Self::empty() }
    }

    /// Begins anew, with a ceiling that is held from `now` on.
    pub(crate) fn open(&mut self, ceiling: usize, now: f64, settle: f64) {
        let mut latencies = core::mem::take(&mut self.latencies);
        latencies.clear();
        *self = Self { ceiling, opened: now, settle, latencies, ..Self::empty() };
    }

    /// Without room for latencies, so that nothing is allocated.
    const fn empty() -> Self {
        Self {
            ceiling: 1,
            opened: 0.0,
            settle: 0.0,
            begun: None,
            full: 0,
            short: 0,
            count: 0.0,
            time: 0.0,
            flight: 0.0,
            own: 0.0,
            stretches: 0.0,
            sum: 0.0,
            squares: 0.0,
            latencies: Vec::new(),
        }
    }

    /// Counts a request that has succeeded.
    pub(crate) fn add(&mut self, now: f64, started: f64, latency: f64, in_flight: usize) {
        let own = started >= self.opened && in_flight <= self.ceiling;
        let fills = in_flight as f64 >= 0.85 * self.ceiling as f64;
        if own {
            let which = if fills { &mut self.full } else { &mut self.short };
            *which = which.saturating_add(1);
        }
        let Some(begun) = self.begun else {
            if own && fills && now - self.opened >= self.settle {
                self.begun = Some(now);
            }
            return;
        };
        self.time = now - begun;
        self.count += 1.0;
        if own {
            self.flight += in_flight as f64;
            self.own += 1.0;
        }
        self.sum += latency;
        self.squares += latency * latency;
        if self.latencies.len() < KEPT {
            self.latencies.push(latency);
        }
    }

    /// Takes in what another arm under the same ceiling has measured.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.time += other.time;
        self.flight += other.flight;
        self.own += other.own;
        self.stretches += 1.0;
        self.sum += other.sum;
        self.squares += other.squares;
        let room = KEPT - self.latencies.len().min(KEPT);
        self.latencies.extend(other.latencies.iter().take(room));
    }

    /// Whether so many did not fill the ceiling that the arm says nothing.
    pub(crate) fn starved(&self) -> bool {
        let seen = self.full.saturating_add(self.short);
        // The first of them meet the ceiling while it is still filling up.
        seen as usize >= self.ceiling.saturating_mul(2).max(20) && self.short > self.full
    }

    /// Whether the ceiling has been in use at all, for as much as has been seen.
    pub(crate) fn filled(&self) -> bool {
        self.full > self.short
    }

    /// Whether this many have been counted, over at least one latency.
    pub(crate) fn has(&self, count: f64) -> bool {
        self.count >= count && self.time >= self.mean().max(self.settle).max(LEAST)
    }

    pub(crate) fn mean(&self) -> f64 {
        self.sum / self.count.max(1.0)
    }

    /// The mean, weighted with itself: how long what is in flight has been and will be, on average.
    pub(crate) fn settled_after(&self) -> f64 {
        let mean = self.mean();
        if mean > 0.0 { (self.squares / self.count.max(1.0) / mean).min(10.0 * mean) } else { 0.0 }
    }

    /// The square of the coefficient of variation.
    pub(crate) fn cv2(&self) -> f64 {
        let mean = self.mean();
        if mean > 0.0 {
            (self.squares / self.count.max(1.0) / (mean * mean) - 1.0).clamp(0.0, 1e6)
        } else {
            0.0
        }
    }

    /// How many were in flight, on average.
    pub(crate) fn in_flight(&self) -> f64 {
        (self.flight / self.own.max(1.0)).max(1.0)
    }

    /// Completions a second.
    pub(crate) fn throughput(&self) -> f64 {
        self.count / self.time.max(1e-9)
    }

    /// The variance of the logarithm of the throughput: of the count, and of the edges of the time.
    fn variance(&self) -> f64 {
        let edge = self.in_flight() / self.count.max(1.0);
        self.spread() + edge * edge * self.stretches.max(1.0) / 12.0
    }

    /// The variance of the logarithm of the mean latency.
    pub(crate) fn spread(&self) -> f64 {
        self.cv2() / self.count.max(1.0)
    }

    pub(crate) fn low(&mut self) -> Low {
        self.latencies.sort_unstable_by(f64::total_cmp);
        let n = self.latencies.len();
        let kept = n - n / 4;
        if kept == 0 {
            return Low { mean: 1e-9, error: 0.0 };
        }
        let lower = &self.latencies[..kept];
        let mean = lower.iter().sum::<f64>() / kept as f64;
        // The variance of a trimmed mean: that of the values, those above the cut pulled down to it.
        let cut = lower[kept - 1];
        let above = (n - kept) as f64;
        let pulled = (mean * kept as f64 + cut * above) / n as f64;
        let squares = lower.iter().map(|x| (x - pulled) * (x - pulled)).sum::<f64>()
            + above * (cut - pulled) * (cut - pulled);
        let error = sqrt(squares / n as f64 / n as f64) / 0.75;
        Low { mean: mean.max(1e-9), error }
    }
}

/// What the extra concurrency bought.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Finding {
    /// Δ ln throughput ÷ Δ ln in flight: 1 below the knee, 0 above it.
    pub(crate) elasticity: f64,
    /// Its standard error.
    pub(crate) error: f64,
}

/// Compares two arms; `None` if there is too little between them.
///
/// The throughputs alone give an answer that is right, and noisy where few slow requests decide. What the quick
/// ones take, the lower three quarters of the latencies, is hardly noisy. In a queue they wait as long as the others
/// do; so the change of their mean is the change of the wait. On a processor that is shared all get
/// slower in proportion; so the relative change of their mean is that of all. Which of the two it is cannot be
/// told, but the answer lies between them, and there the throughputs decide.
pub(crate) fn compare(low: &mut Arm, high: &mut Arm) -> Option<Finding> {
    let planned = log(high.ceiling as f64 / low.ceiling as f64);
    let between = log(high.in_flight() / low.in_flight());
    if !(planned > 0.0 && between >= 0.5 * planned) {
        return None;
    }
    // Twice the same, by Little's law: from the completions, and from the mean latency of those that completed.
    // The first suffers from the edges of the time, the second does not; what has not settled yet
    // pulls them in opposite directions.
    let by_count = log(high.throughput() / low.throughput()) / between;
    let count_variance = (low.variance() + high.variance()) / (between * between);
    let by_mean = 1.0 - log(high.mean() / low.mean()) / between;
    let mean_variance = (low.spread() + high.spread()) / (between * between);
    let share = mean_variance / (count_variance + mean_variance).max(1e-12);
    let flow = share * by_count + (1.0 - share) * by_mean;
    let error = sqrt(count_variance.min(mean_variance));

    let (l, h) = (low.low(), high.low());
    let alike = log(h.mean / l.mean) / between;
    let (el, eh) = (l.error / l.mean, h.error / h.mean);
    let alike_error = sqrt(el * el + eh * eh) / between;
    let mean = (low.mean() + high.mean()) / 2.0;
    let queue = (h.mean - l.mean) / mean.max(1e-9) / between;
    let queue_error = sqrt(l.error * l.error + h.error * h.error) / mean.max(1e-9) / between;

    let least = (1.0 - alike - 2.0 * alike_error).min(1.0 - queue - 2.0 * queue_error);
    let most = (1.0 - alike + 2.0 * alike_error).max(1.0 - queue + 2.0 * queue_error);
    let bounded = flow.clamp(least, most);
    // Where the bounds contradict the throughputs, not all requests wait alike: they do not hold.
    let (elasticity, error) = if (bounded - flow).abs() > 2.0 * error + 0.02 {
        (flow, error)
    } else {
        let (least, most) = (least.clamp(0.0, 1.0), most.clamp(0.0, 1.0));
        (bounded, error.min((most - least) / 2.0))
    };
    let elasticity = elasticity.clamp(0.0, 1.0);
    (elasticity.is_finite() && error.is_finite()).then_some(Finding { elasticity, error })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An arm that was full all the time, with these latencies in turn.
    fn full(ceiling: usize, count: u32, latency: impl Fn(u32) -> f64) -> Arm {
        let mut arm = Arm::new();
        arm.open(ceiling, 0.0, 0.0);
        let mut now = 1.0;
        for i in 0..=count {
            let latency = latency(i);
            arm.add(now, now, latency, ceiling);
            now += latency / ceiling as f64;
        }
        arm
    }

    fn elasticity(mut low: Arm, mut high: Arm) -> f64 {
        compare(&mut low, &mut high).unwrap().elasticity
    }

    #[test]
    fn it_is_one_below_the_knee_and_none_above_it() {
        let below = |ceiling| full(ceiling, 200, |_| 0.1);
        assert!(elasticity(below(17), below(23)) > 0.99);
        let above = |ceiling: usize| full(ceiling, 200, move |_| 0.005 * ceiling as f64);
        assert!(elasticity(above(25), above(33)) < 0.01);
        // The knee is at 20, in the middle between the two.
        assert!((elasticity(below(17), above(23)) - 0.54).abs() < 0.02);
    }

    #[test]
    fn a_queue_is_seen_although_a_few_slow_requests_hide_it() {
        // Every tenth is slow, and they do not come evenly. All wait for 20 ms under the higher ceiling.
        let slow = |i: u32| if i % 10 == 3 { 0.5 } else { 0.02 };
        let slower = |i: u32| if i % 12 == 3 { 0.5 } else { 0.02 } + 0.02;
        let mut low = full(17, 96, slow);
        let mut high = full(23, 96, slower);
        let found = compare(&mut low, &mut high).unwrap();
        assert!(found.error < 0.3 && found.elasticity < 0.2, "{found:?}");
    }

    #[test]
    fn where_only_some_requests_wait_the_throughputs_decide() {
        // A fifth goes to a server that is full, and takes up what is more in flight.
        let low = full(20, 400, |_| 0.1);
        let high = full(26, 400, |i| if i % 5 == 0 { 0.25 } else { 0.1 });
        assert!(elasticity(low, high) < 0.3);
    }

    #[test]
    fn too_little_between_the_arms_says_nothing() {
        let mut low = full(17, 100, |_| 0.1);
        let mut high = full(23, 100, |_| 0.1);
        high.flight *= 18.0 / 23.0;
        assert!(compare(&mut low, &mut high).is_none());
    }
}
