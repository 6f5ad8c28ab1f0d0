//! What a limiter has counted between two moments. Such differences add up over samples, restarts
//! and limiters of the same name; totals since a limiter was made do not.

use std::time::Duration;

use grmgr::{Histogram, Stats};

/// Why requests are refused, in the order of [`Counts::refused`].
#[cfg(any(feature = "dashboard", feature = "history", feature = "metrics"))]
pub(crate) const REASONS: [&str; 4] = ["closed", "exceeds_max", "no_permits", "queue_full"];

/// Where each bucket of a [`Histogram`] ends.
#[cfg(any(feature = "dashboard", feature = "history", feature = "metrics"))]
pub(crate) static ENDS: std::sync::LazyLock<Vec<Duration>> =
    std::sync::LazyLock::new(|| Histogram::default().buckets().map(|(end, _)| end).collect());

/// What has happened between two moments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Permits granted.
    pub(crate) acquired: u64,
    /// Requests that began to wait.
    pub(crate) waited: u64,
    /// Requests given up while they waited.
    pub(crate) cancelled: u64,
    /// Requests refused, by [reason](REASONS).
    pub(crate) refused: [u64; 4],
    /// The most in flight and waiting; 0 unless more than ever before.
    pub(crate) peak_in_flight: u64,
    pub(crate) peak_waiting: u64,
    pub(crate) waits: Waits,
}

/// How long requests waited: of those buckets that have any, the place in [`ENDS`] and the number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waits {
    pub(crate) buckets: Vec<(u8, u64)>,
    pub(crate) sum: Duration,
}

impl Counts {
    /// What has been counted between `before` and `now`; `None` if nothing has.
    pub(crate) fn between(before: &Stats, now: &Stats) -> Option<Self> {
        let since = |now: u64, before: u64| now.saturating_sub(before);
        let peak = |now: usize, before: usize| if now > before { now as u64 } else { 0 };
        let before_refused = refused(before);
        let now_refused = refused(now);
        let counts = Self {
            acquired: since(now.acquired, before.acquired),
            waited: since(now.waited, before.waited),
            cancelled: since(now.cancelled, before.cancelled),
            refused: std::array::from_fn(|i| since(now_refused[i], before_refused[i])),
            peak_in_flight: peak(now.peak_in_flight, before.peak_in_flight),
            peak_waiting: peak(now.peak_waiting, before.peak_waiting),
            waits: Waits::between(&before.wait, &now.wait),
        };
        (counts != Self::default()).then_some(counts)
    }

    /// Adds what was counted at another time.
    pub(crate) fn add(&mut self, other: &Self) {
        self.acquired += other.acquired;
        self.waited += other.waited;
        self.cancelled += other.cancelled;
        for (sum, more) in self.refused.iter_mut().zip(other.refused) {
            *sum += more;
        }
        self.peak_in_flight = self.peak_in_flight.max(other.peak_in_flight);
        self.peak_waiting = self.peak_waiting.max(other.peak_waiting);
        self.waits.add(&other.waits);
    }
}

impl Waits {
    fn between(before: &Histogram, now: &Histogram) -> Self {
        // Most limiters have no new wait, and comparing is quicker than going through all buckets.
        if before == now {
            return Self::default();
        }
        let grown = now.buckets().zip(before.buckets()).enumerate();
        let grown = grown.map(|(i, ((_, now), (_, before)))| (i as u8, now.saturating_sub(before)));
        Self {
            buckets: grown.filter(|(_, n)| *n > 0).collect(),
            sum: now.sum().saturating_sub(before.sum()),
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (bucket, n) in &other.buckets {
            match self.buckets.binary_search_by_key(bucket, |(bucket, _)| *bucket) {
                Ok(at) => self.buckets[at].1 += n,
                Err(at) => self.buckets.insert(at, (*bucket, *n)),
            }
        }
        self.sum += other.sum;
    }
}

/// Requests refused, by [reason](REASONS).
pub(crate) fn refused(stats: &Stats) -> [u64; 4] {
    [
        stats.refused_closed,
        stats.refused_exceeds_max,
        stats.refused_no_permits,
        stats.refused_queue_full,
    ]
}

/// The time within which the share `quantile` of the waits ended, of how many each bucket has, in
/// order. Within a bucket they are taken to be spread evenly.
#[cfg(any(feature = "dashboard", feature = "history"))]
pub(crate) fn quantile(
    buckets: impl Iterator<Item = (usize, f64)> + Clone,
    quantile: f64,
) -> Option<Duration> {
    let rank = quantile * buckets.clone().map(|(_, count)| count).sum::<f64>();
    let mut below = 0.0;
    let mut last = None;
    for (bucket, count) in buckets.filter(|(_, count)| *count > 0.0) {
        let begin = bucket.checked_sub(1).map_or(Duration::ZERO, |before| ENDS[before]);
        let end = ENDS.get(bucket).or(ENDS.last()).copied().unwrap_or_default();
        let share = ((rank - below) / count).clamp(0.0, 1.0);
        last = Some(begin + (end - begin).mul_f64(share));
        below += count;
        if below >= rank {
            break;
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_lies_in_its_bucket() {
        let second = ENDS.iter().position(|end| *end > Duration::from_secs(1)).unwrap();
        let of = [(3, 90.0), (second, 10.0)];
        let p99 = quantile(of.into_iter(), 0.99).unwrap();
        assert!((0.8..1.25).contains(&p99.as_secs_f64()), "{p99:?}");
        let p50 = quantile(of.into_iter(), 0.5).unwrap();
        assert!(p50 > ENDS[2] && p50 <= ENDS[3], "{p50:?}");
        assert_eq!(quantile(std::iter::empty(), 0.5), None);
    }

    #[test]
    fn differences_add_up_to_the_whole() {
        let counts = |acquired, buckets: &[(u8, u64)], peak| Counts {
            acquired,
            peak_waiting: peak,
            waits: Waits { buckets: buckets.to_vec(), sum: Duration::from_secs(1) },
            ..Counts::default()
        };
        let mut sum = counts(2, &[(4, 1), (7, 1)], 9);
        sum.add(&counts(3, &[(1, 5), (7, 2)], 0));
        let mut expected = counts(5, &[(1, 5), (4, 1), (7, 3)], 9);
        expected.waits.sum = Duration::from_secs(2);
        assert_eq!(sum, expected);
    }
}
