//! Durations in buckets, four to an octave.

use core::fmt;
use core::time::Duration;

use alloc::boxed::Box;
#[cfg(feature = "serde")]
use alloc::vec::Vec;

use crate::clock::nanos;
use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The first bucket ends at 2^10 ns.
const FIRST: u32 = 10;
/// The last bucket ends at 2^46 ns.
const LAST: u32 = 46;
/// Buckets to an octave: 2^2.
const SUB: u32 = 2;
const BUCKETS: usize = 1 + ((LAST - FIRST) << SUB) as usize;

/// Durations in 145 buckets, four to each doubling, from 1 µs to 19.5 hours.
///
/// ```
/// use std::time::Duration;
/// use grmgr::{Limiter, ManualClock};
///
/// let clock = ManualClock::new();
/// let limiter =
///     Limiter::builder("db").ceiling(1).track_holders().clock(clock.clone()).build()?;
/// let permit = limiter.try_acquire().unwrap();
/// clock.advance(Duration::from_millis(100));
/// drop(permit);
/// let held = limiter.snapshot().stats.held;
/// assert_eq!(held.sum(), Duration::from_millis(100));
/// let p99 = held.quantile(0.99).unwrap();
/// assert!(p99 > Duration::from_millis(100) && p99 <= Duration::from_millis(125));
/// # Ok::<(), grmgr::ConfigError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Without the empty ones at the end: most limiters have seen no long wait, if any.
    counts: Box<[u64]>,
    sum: Duration,
}

impl Histogram {
    /// Returns how many durations have been counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns the sum of all durations.
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// Returns the buckets in ascending order: the end of each, and how many durations it holds.
    ///
    /// A bucket holds the durations that are shorter than its end and in no bucket before. The first ends
    /// at 1.024 µs, each further one at most a quarter later than the one before. The last holds all
    /// longer durations, too.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        (0..BUCKETS).map(|i| (end(i), self.counts.get(i).copied().unwrap_or(0)))
    }

    /// Returns the duration that the share `quantile` (0 to 1) of all do not exceed.
    ///
    /// It is the end of the bucket, so longer than the true one and at most 1.25 times as long. But
    /// durations below a microsecond read as 1.024 µs, and those above 19.5 hours as 19.5 hours. `None` if
    /// nothing has been counted.
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        let rank = (quantile.clamp(0.0, 1.0) * self.count() as f64).max(1.0);
        let mut seen = 0;
        self.buckets().find_map(|(end, count)| {
            seen += count;
            (seen as f64 >= rank).then_some(end)
        })
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Histogram");
        out.field("count", &self.count()).field("sum", &self.sum);
        for (name, quantile) in [("p50", 0.5), ("p99", 0.99)] {
            if let Some(duration) = self.quantile(quantile) {
                out.field(name, &duration);
            }
        }
        out.finish_non_exhaustive()
    }
}

/// Writes the number of durations, their sum, and each bucket that is not empty.
///
/// A bucket is its end and its count; times are in seconds.
#[cfg(feature = "serde")]
impl serde::Serialize for Histogram {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let buckets = self.buckets().filter(|(_, count)| *count > 0);
        let buckets: Vec<_> = buckets.map(|(end, count)| (end.as_secs_f64(), count)).collect();
        let mut histogram = serializer.serialize_struct("Histogram", 3)?;
        histogram.serialize_field("count", &self.count())?;
        histogram.serialize_field("sum", &self.sum.as_secs_f64())?;
        histogram.serialize_field("buckets", &buckets)?;
        histogram.end()
    }
}

/// Where durations are counted.
#[derive(Debug)]
pub(crate) struct Recorder {
    counts: [AtomicU64; BUCKETS],
    /// In nanoseconds, of which 64 bits are used up after 584 years: three weeks if there are ten
    /// thousand at a time.
    sum_low: AtomicU64,
    sum_high: AtomicU64,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self {
            counts: core::array::from_fn(|_| AtomicU64::new(0)),
            sum_low: AtomicU64::new(0),
            sum_high: AtomicU64::new(0),
        }
    }

    /// Counts `duration`, `n` times. Relaxed: each number stands for itself.
    pub(crate) fn record(&self, duration: Duration, n: usize) {
        let nanos = nanos(duration);
        self.counts[bucket(nanos)].fetch_add(n as u64, Relaxed);
        let sum = u128::from(nanos) * n as u128;
        let low = sum as u64;
        let overflow = self.sum_low.fetch_add(low, Relaxed).checked_add(low).is_none();
        let high = (sum >> u64::BITS) as u64 + u64::from(overflow);
        if high > 0 {
            self.sum_high.fetch_add(high, Relaxed);
        }
    }

    pub(crate) fn read(&self) -> Histogram {
        const SECOND: u128 = 1_000_000_000;
        let counts: [u64; BUCKETS] = core::array::from_fn(|i| self.counts[i].load(Relaxed));
        let used = counts.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
        let high = u128::from(self.sum_high.load(Relaxed));
        let sum = high << u64::BITS | u128::from(self.sum_low.load(Relaxed));
        let secs = u64::try_from(sum / SECOND).unwrap_or(u64::MAX);
        Histogram { counts: counts[..used].into(), sum: Duration::new(secs, (sum % SECOND) as u32) }
    }
}

/// The bucket in which this number of nanoseconds lies.
fn bucket(nanos: u64) -> usize {
    let Some(octave) = nanos.checked_ilog2().filter(|octave| *octave >= FIRST) else {
        return 0;
    };
    if octave >= LAST {
        return BUCKETS - 1;
    }
    // The bits that follow the highest.
    let sub = (nanos >> (octave - SUB)) as usize & ((1 << SUB) - 1);
    1 + (((octave - FIRST) as usize) << SUB) + sub
}

/// The end of bucket `i`.
fn end(i: usize) -> Duration {
    let octave = FIRST + (i >> SUB) as u32;
    let parts = (1 << SUB) + (i as u64 & ((1 << SUB) - 1));
    Duration::from_nanos(parts << (octave - SUB))
}
