//! The pure judgement: overloaded, clear, or neither.

use std::time::Duration;

use super::signal::Reading;
use super::{Pressure, Verdict};

/// An average over 10 s below this share of the last one is falling: what was done works already.
const FALLING: f64 = 0.85;

/// What of earlier readings the judgement needs.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    last_avg10: Option<f64>,
    last_periods: Option<(u64, u64)>,
    clear_since: Option<Duration>,
}

impl Judge {
    pub(crate) fn judge(
        &mut self,
        limits: &Pressure,
        reading: Option<&Reading>,
        now: Duration,
    ) -> Verdict {
        let Some(reading) = reading else {
            *self = Self::default();
            return Verdict::Unknown;
        };
        let falling = self.last_avg10.is_some_and(|last| reading.avg10 < FALLING * last);
        self.last_avg10 = Some(reading.avg10);
        let throttled = self.throttled(reading) > limits.throttled;
        let waits = reading.avg10 > limits.avg10 && reading.avg60 > limits.avg60 && !falling;
        if reading.avg10 >= limits.clear_avg10 || throttled {
            self.clear_since = None;
        } else {
            self.clear_since.get_or_insert(now);
        }
        if throttled || waits {
            return Verdict::Overload;
        }
        match self.clear_since {
            Some(since) if now.saturating_sub(since) >= limits.clear_for => Verdict::Clear,
            _ => Verdict::Between,
        }
    }

    /// The share of the scheduler's periods since the last reading that were throttled.
    fn throttled(&mut self, reading: &Reading) -> f64 {
        let last = std::mem::replace(&mut self.last_periods, reading.periods);
        let (Some((periods, throttled)), Some((last_periods, last_throttled))) =
            (reading.periods, last)
        else {
            return 0.0;
        };
        match periods.saturating_sub(last_periods) {
            0 => 0.0,
            passed => throttled.saturating_sub(last_throttled) as f64 / passed as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict::{Between, Clear, Overload, Unknown};
    use super::*;

    fn reading(avg10: f64, avg60: f64) -> Option<Reading> {
        Some(Reading { source: "test", avg10, avg60, periods: None })
    }

    /// One reading every 2 s; the verdicts.
    fn judge(readings: &[Option<Reading>]) -> Vec<Verdict> {
        let (mut judge, limits) = (Judge::default(), Pressure::default());
        let poll = Duration::from_secs(2);
        let times = (0..).map(|i| poll * i);
        let judged = readings.iter().zip(times);
        judged.map(|(reading, now)| judge.judge(&limits, reading.as_ref(), now)).collect()
    }

    #[test]
    fn overload_needs_both_averages() {
        assert_eq!(judge(&[reading(41.0, 26.0)]), [Overload]);
        assert_eq!(judge(&[reading(40.0, 26.0)]), [Between]);
        assert_eq!(judge(&[reading(90.0, 25.0)]), [Between]);
    }

    #[test]
    fn an_average_that_falls_is_left_to_fall() {
        let readings = [reading(90.0, 50.0), reading(76.0, 50.0), reading(75.9, 50.0)];
        assert_eq!(judge(&readings), [Overload, Between, Overload]);
    }

    #[test]
    fn clear_only_after_thirty_seconds_below_twenty() {
        let mut readings = vec![reading(19.9, 50.0); 15];
        readings.push(reading(20.0, 50.0));
        readings.extend(vec![reading(5.0, 5.0); 17]);
        let verdicts = judge(&readings);
        assert_eq!(verdicts[..31], [Between; 31]);
        assert_eq!(verdicts[31..], [Clear; 2]);
    }

    #[test]
    fn a_signal_that_cannot_be_read_never_climbs() {
        let mut readings = vec![reading(1.0, 1.0); 16];
        readings.push(None);
        readings.extend(vec![reading(1.0, 1.0); 15]);
        let verdicts = judge(&readings);
        assert_eq!(verdicts[15..17], [Clear, Unknown]);
        assert_eq!(verdicts[17..], [Between; 15], "the 30 s begin anew");
    }

    #[test]
    fn throttling_in_more_than_half_of_the_periods_is_overload() {
        let throttled = |periods, throttled| {
            Some(Reading {
                source: "test",
                avg10: 1.0,
                avg60: 1.0,
                periods: Some((periods, throttled)),
            })
        };
        let readings = [
            throttled(1_000, 900),
            throttled(1_020, 911),
            throttled(1_040, 921),
            throttled(1_040, 921),
        ];
        assert_eq!(judge(&readings), [Between, Overload, Between, Between]);
    }
}
