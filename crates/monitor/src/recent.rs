//! What has happened in about the last minute.

use std::time::Duration;

use crate::counts::{Counts, quantile};

/// Over how long something is forgotten: after so long it counts 1/e.
const MEMORY: Duration = Duration::from_secs(60);
/// What is left of a single wait after 5 minutes is nothing.
const NOTHING: f32 = 0.007;

/// Counts that fade, so that shares and quantiles are those of the last minute or so, without a
/// list of samples.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    granted: f32,
    waited: f32,
    cancelled: f32,
    /// One a bucket of a histogram, up to the last that has been used.
    waits: Vec<f32>,
}

impl Recent {
    /// Lets time pass, and adds what has been counted in it.
    pub(crate) fn add(&mut self, passed: Duration, counts: Option<&Counts>) {
        let fade = (-passed.as_secs_f32() / MEMORY.as_secs_f32()).exp();
        let counted = [&mut self.granted, &mut self.waited, &mut self.cancelled];
        for faded in counted.into_iter().chain(&mut self.waits) {
            *faded = if *faded < NOTHING { 0.0 } else { *faded * fade };
        }
        let Some(counts) = counts else { return };
        self.granted += counts.acquired as f32;
        self.waited += counts.waited as f32;
        self.cancelled += counts.cancelled as f32;
        for (bucket, count) in &counts.waits.buckets {
            let bucket = usize::from(*bucket);
            if self.waits.len() <= bucket {
                self.waits.reserve_exact(bucket + 1 - self.waits.len());
                self.waits.resize(bucket + 1, 0.0);
            }
            self.waits[bucket] += *count as f32;
        }
    }

    /// The share of requests that had to wait, from 0 to 1. One for several permits counts as
    /// several that did not.
    pub(crate) fn share_waited(&self) -> Option<f64> {
        let all = self.granted + self.cancelled;
        (all > 0.0).then(|| f64::from((self.waited / all).min(1.0)))
    }

    /// Of those that waited and were granted, the time within which this share was.
    pub(crate) fn quantile(&self, share: f64) -> Option<Duration> {
        quantile(self.waits.iter().map(|count| f64::from(*count)).enumerate(), share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::{ENDS, Waits};

    #[test]
    fn a_wait_is_seen_and_then_forgotten() {
        let bucket = ENDS.iter().position(|end| *end > Duration::from_secs(1)).unwrap() as u8;
        let waits = Waits { buckets: vec![(bucket, 1)], sum: Duration::from_secs(1) };
        let counts = Counts { acquired: 4, waited: 1, waits, ..Counts::default() };
        let mut recent = Recent::default();
        assert_eq!((recent.quantile(0.5), recent.share_waited()), (None, None));
        recent.add(Duration::from_secs(2), Some(&counts));
        let wait = recent.quantile(0.99).unwrap();
        assert!((0.8..1.25).contains(&wait.as_secs_f32()), "{wait:?}");
        assert_eq!(recent.share_waited(), Some(0.25));
        for _ in 0..400 {
            recent.add(Duration::from_secs(2), None);
        }
        assert_eq!((recent.quantile(0.5), recent.share_waited()), (None, None));
    }
}
