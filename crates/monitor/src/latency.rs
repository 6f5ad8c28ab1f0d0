//! Waiting times of about the last minute.

use std::time::Duration;

use grmgr::Histogram;

/// Over how long a wait is forgotten: after so long it counts 1/e.
const MEMORY: Duration = Duration::from_secs(60);

/// A histogram whose counts fade, so that its quantiles are those of the last minute or so,
/// without a list of samples.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    /// One a bucket of a [`Histogram`], up to the last that has been used.
    counts: Vec<f32>,
}

impl Recent {
    /// Adds what has been counted between `before` and `now`, and tells it: the end of each bucket
    /// and by how much it has grown.
    pub(crate) fn add(
        &mut self,
        passed: Duration,
        before: &Histogram,
        now: &Histogram,
        mut tell: impl FnMut(Duration, u64),
    ) {
        let fade = (-passed.as_secs_f32() / MEMORY.as_secs_f32()).exp();
        for faded in &mut self.counts {
            // What is left of a single wait after 5 minutes is nothing.
            *faded = if *faded < 0.007 { 0.0 } else { *faded * fade };
        }
        let grown = now.buckets().zip(before.buckets());
        for (i, ((end, now), (_, before))) in grown.enumerate() {
            let new = now.saturating_sub(before);
            if new > 0 {
                if self.counts.len() <= i {
                    self.counts.resize(i + 1, 0.0);
                }
                self.counts[i] += new as f32;
                tell(end, new);
            }
        }
    }

    /// The time within which the share `quantile` of the waits ended. Within a bucket they are
    /// taken to be spread evenly.
    pub(crate) fn quantile(&self, quantile: f32) -> Option<Duration> {
        let rank = quantile * self.counts.iter().sum::<f32>();
        let mut below = 0.0;
        let mut begin = Duration::ZERO;
        let mut last = None;
        for ((end, _), count) in Histogram::default().buckets().zip(&self.counts) {
            if *count > 0.0 {
                let share = ((rank - below) / count).clamp(0.0, 1.0);
                last = Some(begin + (end - begin).mul_f32(share));
                below += count;
                if below >= rank {
                    break;
                }
            }
            begin = end;
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use grmgr::{Limiter, ManualClock};

    #[test]
    fn a_wait_is_seen_and_then_forgotten() {
        let clock = ManualClock::new();
        let limiter = Limiter::builder("a").ceiling(1).clock(clock.clone()).build().unwrap();
        let before = limiter.snapshot().stats.wait;
        let permit = limiter.try_acquire().unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| drop(limiter.acquire_blocking().unwrap()));
            while limiter.waiting() == 0 {
                std::thread::yield_now();
            }
            // The request reads the clock once it is in line.
            while limiter.snapshot().stats.waited == 0 {
                std::thread::yield_now();
            }
            clock.advance(Duration::from_secs(1));
            drop(permit);
            waiter.join().unwrap();
        });
        let after = limiter.snapshot().stats.wait;
        let mut recent = Recent::default();
        assert_eq!(recent.quantile(0.5), None);
        let mut told = Vec::new();
        recent.add(Duration::from_secs(2), &before, &after, |_, count| told.push(count));
        assert_eq!(told, [1]);
        assert!(after.count() == 1);
        let wait = recent.quantile(0.99).unwrap();
        assert!((0.8..1.25).contains(&wait.as_secs_f32()), "{wait:?}");
        for _ in 0..400 {
            recent.add(Duration::from_secs(2), &after, &after, |_, _| unreachable!());
        }
        assert_eq!(recent.quantile(0.5), None);
    }
}
