//! The peers, written anew from their published rules.

use std::collections::VecDeque;
use std::time::Duration;

use grmgr_adaptive::{Controller, Outcome, Sample};

use crate::world::Lots;

const MIN: f64 = 1.0;
const MAX: f64 = 1_000.0;

fn secs(time: Duration) -> f64 {
    time.as_secs_f64()
}

fn moved(before: usize, to: usize) -> Option<usize> {
    (before != to).then_some(to)
}

/// Netflix concurrency-limits 0.5.3, `AIMDLimit`: × 0.9 for a drop or more than 5 s, else + 1.
#[derive(Debug)]
pub(crate) struct Aimd(pub(crate) f64);

impl Controller for Aimd {
    fn observe(&mut self, _: Duration, sample: Sample) -> Option<usize> {
        let before = self.ceiling();
        if sample.outcome == Outcome::Overload || secs(sample.latency) > 5.0 {
            self.0 = (self.0 * 0.9).floor();
        } else if sample.in_flight as f64 * 2.0 >= self.0 {
            self.0 += 1.0;
        }
        self.0 = self.0.clamp(MIN, MAX);
        moved(before, self.ceiling())
    }

    fn ceiling(&self) -> usize {
        self.0 as usize
    }
}

/// Netflix concurrency-limits 0.5.3, `Gradient2Limit` (smoothing 0.2, queue 4, long window 600, tolerance
/// 1.5), on every sample or in windows of 1 s.
#[derive(Debug)]
pub(crate) struct Gradient2 {
    limit: f64,
    long: f64,
    count: f64,
}

impl Gradient2 {
    pub(crate) fn new(start: usize) -> Self {
        Self { limit: start as f64, long: 0.0, count: 0.0 }
    }
}

impl Controller for Gradient2 {
    fn observe(&mut self, _: Duration, sample: Sample) -> Option<usize> {
        if sample.outcome != Outcome::Success {
            return None;
        }
        let before = self.ceiling();
        let short = secs(sample.latency);
        // An exponential average whose first ten values are averaged plainly.
        if self.count < 10.0 {
            self.count += 1.0;
            self.long += (short - self.long) / self.count;
        } else {
            self.long += (short - self.long) * 2.0 / 601.0;
        }
        if self.long / short > 2.0 {
            self.long *= 0.95;
        }
        if (sample.in_flight as f64) < self.limit / 2.0 {
            return None;
        }
        let gradient = (1.5 * self.long / short).clamp(0.5, 1.0);
        let wanted = self.limit * gradient + 4.0;
        self.limit = (self.limit * 0.8 + wanted * 0.2).clamp(MIN, MAX);
        moved(before, self.ceiling())
    }

    fn ceiling(&self) -> usize {
        self.limit as usize
    }
}

/// Netflix concurrency-limits 0.5.3, `WindowedLimit`: the mean of at least 1 s and 10 samples goes to the limit.
#[derive(Debug)]
pub(crate) struct Windowed<C> {
    inner: C,
    ends: f64,
    count: u32,
    sum: f64,
    in_flight: usize,
}

impl<C> Windowed<C> {
    pub(crate) fn new(inner: C) -> Self {
        Self { inner, ends: 1.0, count: 0, sum: 0.0, in_flight: 0 }
    }
}

impl<C: Controller> Controller for Windowed<C> {
    fn observe(&mut self, now: Duration, sample: Sample) -> Option<usize> {
        if sample.outcome != Outcome::Success {
            return None;
        }
        self.count += 1;
        self.sum += secs(sample.latency);
        self.in_flight = self.in_flight.max(sample.in_flight);
        if secs(now) < self.ends || self.count < 10 {
            return None;
        }
        let latency = Duration::from_secs_f64(self.sum / f64::from(self.count));
        let sample = Sample { latency, in_flight: self.in_flight, ..sample };
        (self.count, self.sum, self.in_flight) = (0, 0.0, 0);
        self.ends = secs(now) + 1.0;
        self.inner.observe(now, sample)
    }

    fn ceiling(&self) -> usize {
        self.inner.ceiling()
    }
}

/// Envoy 1.30, the gradient controller of `adaptive_concurrency`: every 60 s (jitter 10 %) a ceiling of 3
/// for 50 requests to measure the least latency, buffer 25 %, median of each 100 ms.
#[derive(Debug)]
pub(crate) struct Envoy {
    limit: f64,
    held: f64,
    /// While the least latency is measured.
    measuring: bool,
    since: f64,
    least: f64,
    next: f64,
    ends: f64,
    latencies: Vec<f64>,
    at_least: u32,
    lots: Lots,
}

impl Envoy {
    pub(crate) fn new(start: usize, seed: u64) -> Self {
        Self {
            limit: 3.0,
            held: start as f64,
            measuring: true,
            since: 0.0,
            least: 0.0,
            next: 0.0,
            ends: 0.0,
            latencies: Vec::new(),
            at_least: 0,
            lots: Lots(seed),
        }
    }

    fn median(&mut self) -> f64 {
        self.latencies.sort_by(f64::total_cmp);
        let median = self.latencies[self.latencies.len() / 2];
        self.latencies.clear();
        median
    }

    fn measure(&mut self, now: f64) {
        self.measuring = true;
        self.since = now;
        self.held = self.limit;
        self.limit = 3.0;
        self.latencies.clear();
        self.at_least = 0;
    }
}

impl Controller for Envoy {
    fn observe(&mut self, now: Duration, sample: Sample) -> Option<usize> {
        let before = self.ceiling();
        let now = secs(now);
        if sample.outcome != Outcome::Success || secs(sample.started) < self.since {
            return None;
        }
        self.latencies.push(secs(sample.latency));
        if self.measuring {
            if self.latencies.len() >= 50 {
                self.least = self.median();
                self.measuring = false;
                self.limit = self.held;
                self.next = now + 60.0 * (1.0 + 0.1 * self.lots.draw());
                self.ends = now + 0.1;
            }
        } else if now >= self.next {
            self.measure(now);
        } else if now >= self.ends {
            let sampled = self.median();
            let gradient = (self.least * 1.25 / sampled).clamp(0.5, 2.0);
            let limit = self.limit * gradient;
            self.limit = (limit + limit.sqrt()).floor().clamp(3.0, MAX);
            self.ends = now + 0.1;
            self.at_least = if self.limit <= 3.0 { self.at_least + 1 } else { 0 };
            if self.at_least >= 5 {
                self.measure(now);
            }
        }
        moved(before, self.ceiling())
    }

    fn ceiling(&self) -> usize {
        self.limit as usize
    }
}

/// Vector 0.40, adaptive request concurrency: alpha 0.4, × 0.9, deviation scale 2.5.
#[derive(Debug)]
pub(crate) struct Arc {
    limit: usize,
    past: Option<(f64, f64)>,
    next: f64,
    sum: f64,
    count: f64,
    pressed: bool,
    reached: bool,
}

impl Arc {
    pub(crate) fn new(start: usize) -> Self {
        Self {
            limit: start,
            past: None,
            next: 0.0,
            sum: 0.0,
            count: 0.0,
            pressed: false,
            reached: false,
        }
    }
}

impl Controller for Arc {
    fn observe(&mut self, now: Duration, sample: Sample) -> Option<usize> {
        let (before, now) = (self.limit, secs(now));
        self.reached |= sample.in_flight >= self.limit;
        self.pressed |= sample.outcome == Outcome::Overload;
        if sample.outcome == Outcome::Success {
            self.sum += secs(sample.latency);
            self.count += 1.0;
        }
        let current = (self.count > 0.0).then(|| self.sum / self.count);
        match self.past {
            None => {
                if let Some(current) = current {
                    self.past = Some((current, 0.0));
                    self.next = now + current;
                }
            }
            Some((mean, variance)) if now >= self.next => {
                let limit_above = mean + 2.5 * variance.sqrt();
                let quick = current.is_some_and(|current| current <= mean);
                if self.limit < MAX as usize && self.reached && !self.pressed && quick {
                    self.limit += 1;
                } else if self.limit > 1 && (self.pressed || current.unwrap_or(0.0) >= limit_above)
                {
                    self.limit = ((self.limit as f64 * 0.9) as usize).max(1);
                }
                let mut mean = mean;
                if let Some(current) = current {
                    let by = 0.4 * (current - mean);
                    self.past = Some((mean + by, 0.6 * (variance + by * (current - mean))));
                    mean += by;
                }
                self.next = now + mean;
                (self.sum, self.count) = (0.0, 0.0);
                (self.pressed, self.reached) = (false, false);
            }
            Some(_) => {}
        }
        moved(before, self.limit)
    }

    fn ceiling(&self) -> usize {
        self.limit
    }
}

/// failsafe-go 0.7, its adaptive limiter: p90 of at least 1 s and 50 samples, median of 5, averages over 5
/// and over 10, correlations over 50.
#[derive(Debug)]
pub(crate) struct Failsafe {
    limit: f64,
    latencies: Vec<f64>,
    in_flight: usize,
    least: f64,
    next: f64,
    medians: VecDeque<f64>,
    recent: Average,
    baseline: Average,
    points: VecDeque<(f64, f64, f64)>,
    full: bool,
}

#[derive(Debug)]
struct Average {
    value: f64,
    count: u32,
    factor: f64,
    warm: u32,
}

impl Average {
    fn new(age: f64) -> Self {
        Self { value: 0.0, count: 0, factor: 2.0 / (age + 1.0), warm: 10 }
    }

    fn add(&mut self, value: f64) -> f64 {
        if self.count < self.warm {
            self.count += 1;
            self.value += (value - self.value) / f64::from(self.count);
        } else {
            self.value += (value - self.value) * self.factor;
        }
        self.value
    }
}

impl Failsafe {
    pub(crate) fn new(start: usize) -> Self {
        Self {
            limit: start as f64,
            latencies: Vec::new(),
            in_flight: 0,
            least: f64::MAX,
            next: 0.0,
            medians: VecDeque::new(),
            recent: Average::new(5.0),
            baseline: Average::new(10.0),
            points: VecDeque::new(),
            full: false,
        }
    }

    fn update(&mut self, recent: f64) {
        let baseline = self.baseline.add(recent);
        let queue = (self.limit * (1.0 - baseline / recent)).ceil();
        let n = self.in_flight as f64;
        self.points.push_back((n, n / recent, recent));
        if self.points.len() > 50 {
            self.points.pop_front();
        }
        let warm = self.points.len() >= 10;
        let throughput = correlation(self.points.iter().map(|p| (p.0, p.1)));
        let latency = correlation(self.points.iter().map(|p| (p.0, p.2)));
        let (throughput, latency) =
            if warm { (throughput, latency) } else { ((0.0, 1.0), (0.0, 1.0)) };
        let unit = self.limit.log10().floor().max(1.0);
        let down = queue > 6.0 * unit
            || (self.full
                && warm
                && (throughput.0 < 0.0
                    || (throughput.0 < 0.3 && latency.0 > 0.5)
                    || (throughput.1 < 0.2 && latency.0 > 0.5)));
        let mut limit = self.limit;
        if down {
            limit -= unit;
        } else if queue < 3.0 * unit {
            limit += unit;
        }
        if limit > n * 5.0 {
            limit = self.limit - unit;
        }
        self.limit = limit.clamp(MIN, MAX);
    }
}

/// The correlation of x and y, and the coefficient of variation of y.
fn correlation(points: impl Iterator<Item = (f64, f64)> + Clone) -> (f64, f64) {
    let n = points.clone().count() as f64;
    let mean_x = points.clone().map(|p| p.0).sum::<f64>() / n;
    let mean_y = points.clone().map(|p| p.1).sum::<f64>() / n;
    let var_x = points.clone().map(|p| (p.0 - mean_x).powi(2)).sum::<f64>() / n;
    let var_y = points.clone().map(|p| (p.1 - mean_y).powi(2)).sum::<f64>() / n;
    let both = points.map(|p| (p.0 - mean_x) * (p.1 - mean_y)).sum::<f64>() / n;
    let cv_y = var_y.sqrt() / mean_y;
    if var_x.sqrt() / mean_x < 0.01 || cv_y < 0.01 {
        return (0.0, cv_y);
    }
    (both / (var_x * var_y).sqrt(), cv_y)
}

impl Controller for Failsafe {
    fn observe(&mut self, now: Duration, sample: Sample) -> Option<usize> {
        let (before, now) = (self.ceiling(), secs(now));
        if sample.outcome == Outcome::Success {
            let latency = secs(sample.latency);
            self.latencies.push(latency);
            self.least = self.least.min(latency);
            self.in_flight = self.in_flight.max(sample.in_flight);
        }
        if now > self.next && self.latencies.len() >= 50 {
            self.full = sample.in_flight >= self.ceiling();
            self.latencies.sort_by(f64::total_cmp);
            let high = self.latencies[self.latencies.len() * 9 / 10];
            self.medians.push_back(high);
            if self.medians.len() > 5 {
                self.medians.pop_front();
            }
            let mut sorted: Vec<f64> = self.medians.iter().copied().collect();
            sorted.sort_by(f64::total_cmp);
            let recent = self.recent.add(sorted[sorted.len() / 2]);
            self.update(recent);
            self.next = now + (self.least * 2.0).clamp(1.0, 30.0);
            self.latencies.clear();
            (self.in_flight, self.least) = (0, f64::MAX);
        }
        moved(before, self.ceiling())
    }

    fn ceiling(&self) -> usize {
        self.limit as usize
    }
}
