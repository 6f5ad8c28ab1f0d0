//! Waiting times of about the last minute.

use std::time::Duration;

use grmgr::WaitHistogram;

/// Over how long a wait is forgotten: after so long it counts 1/e.
const MEMORY: Duration = Duration::from_secs(60);
/// As many as a [`WaitHistogram`] has.
const BUCKETS: usize = 48;

/// A histogram whose counts fade, so that its quantiles are those of the last minute or so, in
/// 200 bytes and without a list of samples.
#[derive(Debug)]
pub(crate) struct Recent {
    counts: [f32; BUCKETS],
}

impl Default for Recent {
    fn default() -> Self {
        Self { counts: [0.0; BUCKETS] }
    }
}

impl Recent {
    /// Adds what has been counted between `before` and `now`, and tells it: the end of each bucket
    /// and by how much it has grown.
    pub(crate) fn add(
        &mut self,
        passed: Duration,
        before: &WaitHistogram,
        now: &WaitHistogram,
        mut tell: impl FnMut(Duration, u64),
    ) {
        let fade = (-passed.as_secs_f32() / MEMORY.as_secs_f32()).exp();
        let grown = now.buckets().zip(before.buckets());
        for (faded, ((end, now), (_, before))) in self.counts.iter_mut().zip(grown) {
            let new = now.saturating_sub(before);
            // What is left of a single wait after 5 minutes is nothing.
            *faded = if *faded < 0.007 { 0.0 } else { *faded * fade } + new as f32;
            if new > 0 {
                tell(end, new);
            }
        }
    }

    /// The time within which the share `quantile` of the waits ended. Within a bucket, which
    /// ends at twice its beginning, they are taken to be spread evenly.
    pub(crate) fn quantile(&self, quantile: f32) -> Option<Duration> {
        let rank = quantile * self.counts.iter().sum::<f32>();
        let mut below = 0.0;
        let mut last = None;
        for (i, count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0.0) {
            let end = Duration::from_nanos(1 << i);
            let share = ((rank - below) / count).clamp(0.0, 1.0);
            last = Some(end.mul_f32(0.5 + 0.5 * share));
            below += count;
            if below >= rank {
                break;
            }
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
        assert!(recent.quantile(0.99) <= Some(Duration::from_secs(2)));
        assert!(recent.quantile(0.99).is_some());
        for _ in 0..400 {
            recent.add(Duration::from_secs(2), &after, &after, |_, _| unreachable!());
        }
        assert_eq!(recent.quantile(0.5), None);
    }
}
