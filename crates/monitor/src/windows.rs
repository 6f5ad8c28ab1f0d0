//! The twelve averages of one limiter, in constant memory.
//!
//! Every window is a multiple of 10 s, so samples are first averaged into buckets of 10 s. The last
//! 720 of them (2 h) are kept in a ring, and each window has a running sum: what closes is added,
//! what has become too old is taken off.

use std::time::Duration;

/// In flight, ceiling, waiting.
pub(crate) type Triple = [f64; 3];

/// The twelve windows: their names, and how many buckets each spans.
pub(crate) const WINDOWS: [(&str, usize); 12] = [
    ("10s", 1),
    ("20s", 2),
    ("40s", 4),
    ("1m", 6),
    ("2m", 12),
    ("3m", 18),
    ("5m", 30),
    ("10m", 60),
    ("20m", 120),
    ("40m", 240),
    ("1h", 360),
    ("2h", 720),
];
/// The averages over all windows; `None` where a window is not full yet.
#[cfg(any(test, feature = "history"))]
pub(crate) type Averages = [Option<Triple>; WINDOWS.len()];

/// How long a bucket is.
pub(crate) const BUCKET: Duration = Duration::from_secs(10);
/// As many buckets as the longest window has.
const BUCKETS: usize = 720;
/// A bucket in which nothing was sampled. It counts for the age of a window, not for its average.
const NOTHING: [f32; 3] = [f32::NAN; 3];

/// Samples of one limiter, averaged.
#[derive(Debug, Default)]
pub(crate) struct Windows {
    /// Closed bucket `i` is at `i % BUCKETS`. Means as `f32`: exact to 7 digits.
    ring: Vec<[f32; 3]>,
    /// Closed buckets since the limiter was first seen; the open one has this number.
    closed: usize,
    sums: [Triple; WINDOWS.len()],
    /// How many buckets of each window were sampled.
    present: [u16; WINDOWS.len()],
    open: Triple,
    open_samples: u32,
}

impl Windows {
    /// Adds a sample, taken when the limiter had been known for `age`.
    pub(crate) fn add(&mut self, age: Duration, sample: Triple) {
        let bucket = (age.as_millis() / BUCKET.as_millis()) as usize;
        // After a pause longer than the ring, the ring is empty whatever its length.
        let gap = bucket.saturating_sub(self.closed);
        for _ in 0..gap.min(BUCKETS + 1) {
            self.close();
        }
        self.closed = self.closed.max(bucket);
        for (sum, value) in self.open.iter_mut().zip(sample) {
            *sum += value;
        }
        self.open_samples += 1;
    }

    /// The averages over the buckets that are closed.
    #[cfg(any(test, feature = "history"))]
    pub(crate) fn averages(&self) -> Averages {
        std::array::from_fn(|w| {
            let full = self.closed >= WINDOWS[w].1 && self.present[w] > 0;
            full.then(|| self.sums[w].map(|sum| sum / f64::from(self.present[w])))
        })
    }

    /// The means of the last `n` closed buckets, the oldest first, each with the age its bucket
    /// ended at.
    #[cfg(feature = "dashboard")]
    pub(crate) fn recent(&self, n: usize) -> impl Iterator<Item = (Duration, [f32; 3])> + '_ {
        (self.closed.saturating_sub(n.min(self.ring.len()))..self.closed)
            .map(|i| (BUCKET * (i as u32 + 1), self.ring[i % BUCKETS]))
            .filter(|(_, mean)| !mean[0].is_nan())
    }

    fn close(&mut self) {
        let mean = match std::mem::take(&mut self.open_samples) {
            0 => NOTHING,
            n => self.open.map(|sum| (sum / f64::from(n)) as f32),
        };
        self.open = [0.0; 3];
        for (w, (_, span)) in WINDOWS.iter().enumerate() {
            if let Some(old) = self.closed.checked_sub(*span) {
                self.count(w, self.ring[old % BUCKETS], -1.0);
            }
            self.count(w, mean, 1.0);
        }
        let place = self.closed % BUCKETS;
        if place == self.ring.len() {
            // Not `push` alone: its doubling would end at 1,024.
            if self.ring.len() == self.ring.capacity() {
                self.ring.reserve_exact(self.ring.len().clamp(6, BUCKETS - self.ring.len()));
            }
            self.ring.push(mean);
        } else {
            self.ring[place] = mean;
        }
        self.closed += 1;
        if self.closed.is_multiple_of(BUCKETS) {
            self.sum_afresh();
        }
    }

    fn count(&mut self, window: usize, mean: [f32; 3], sign: f64) {
        if mean[0].is_nan() {
            return;
        }
        for (sum, value) in self.sums[window].iter_mut().zip(mean) {
            *sum += sign * f64::from(value);
        }
        self.present[window] = self.present[window].wrapping_add_signed(sign as i16);
    }

    /// Once every 2 h, so that rounding never adds up.
    fn sum_afresh(&mut self) {
        self.sums = Default::default();
        self.present = Default::default();
        for (w, (_, span)) in WINDOWS.iter().enumerate() {
            for i in self.closed - span..self.closed {
                self.count(w, self.ring[i % BUCKETS], 1.0);
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn heap_bytes(&self) -> usize {
        self.ring.capacity() * size_of::<[f32; 3]>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The definition itself: mean over the sampled ones of the last `span` closed buckets.
    fn by_hand(samples: &[(u64, Triple)], now: u64) -> Averages {
        let closed = now / 10;
        let mean_of = |bucket: u64| {
            let of: Vec<_> = samples.iter().filter(|(at, _)| at / 10 == bucket).collect();
            (!of.is_empty()).then(|| {
                let n = of.len() as f64;
                [0, 1, 2].map(|i| of.iter().map(|(_, t)| t[i]).sum::<f64>() / n)
            })
        };
        WINDOWS.map(|(_, span)| {
            let first = closed.checked_sub(span as u64)?;
            let means: Vec<_> = (first..closed).filter_map(mean_of).collect();
            (!means.is_empty()).then(|| {
                let n = means.len() as f64;
                [0, 1, 2].map(|i| means.iter().map(|m| m[i]).sum::<f64>() / n)
            })
        })
    }

    #[test]
    fn a_window_is_none_until_it_is_full() {
        let mut windows = Windows::default();
        for second in 0..=7_200u32 {
            windows.add(SECOND * second, [3.0, 8.0, 1.0]);
            for ((name, span), average) in WINDOWS.iter().zip(windows.averages()) {
                let full = second as usize >= span * 10;
                assert_eq!(average, full.then_some([3.0, 8.0, 1.0]), "{name} at {second} s");
            }
        }
    }

    #[test]
    fn running_sums_are_the_averages_by_hand_over_hours_with_gaps() {
        // A fixed sequence without pattern (splitmix64).
        let mut seed = 1u64;
        let mut random = move |below: u64| {
            seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = seed;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (z ^ (z >> 31)) % below
        };
        let mut windows = Windows::default();
        let mut samples = Vec::new();
        let mut now = 0;
        for step in 0..4_000 {
            now += 1 + random(6) + if random(200) == 0 { random(400) } else { 0 };
            let sample = [random(50) as f64, random(1 << 28) as f64, random(1_000) as f64];
            windows.add(SECOND * now as u32, sample);
            samples.push((now, sample));
            if step % 997 == 0 || step == 3_999 {
                let by_hand = by_hand(&samples, now);
                for (w, average) in windows.averages().iter().enumerate() {
                    let (Some(a), Some(b)) = (average, by_hand[w]) else {
                        assert_eq!((*average, WINDOWS[w]), (by_hand[w], WINDOWS[w]));
                        continue;
                    };
                    for i in 0..3 {
                        assert!((a[i] - b[i]).abs() <= 1e-5 * b[i].max(1.0), "{a:?} {b:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_pause_longer_than_the_ring_leaves_nothing_behind() {
        let mut windows = Windows::default();
        windows.add(SECOND, [5.0; 3]);
        windows.add(SECOND * 100_000, [1.0; 3]);
        assert_eq!(windows.averages(), [None; 12]);
        windows.add(SECOND * 100_010, [1.0; 3]);
        assert_eq!(windows.averages()[11], Some([1.0; 3]));
    }

    #[test]
    fn memory_stops_growing_at_two_hours() {
        let mut windows = Windows::default();
        for bucket in 0..3_000u32 {
            windows.add(BUCKET * bucket, [1.0; 3]);
        }
        assert_eq!(windows.heap_bytes(), 720 * 12);
    }
}
