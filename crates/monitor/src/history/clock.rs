//! The time by which rows grow old.
//!
//! The calendar can be set, by hand or by a service that corrects it, and then everything that was
//! recorded would seem older than it is. So the calendar is believed as long as it goes with the
//! monotonic clock; while it does not, nothing grows old.

use std::time::Duration;

use crate::moment::Moment;

/// By how much the two clocks may have moved apart since the last report.
const SLACK_MS: i64 = 60_000;
/// A program may have been stopped for so long, and its file is still believed to be that old.
const DAY_MS: i64 = 86_400_000;
/// A calendar that was set is believed when it has gone with the monotonic clock for so long.
const IN_STEP: Duration = Duration::from_secs(3_600);

/// What the calendar said when it was last believed.
#[derive(Debug, Default)]
pub(crate) struct RetentionClock {
    believed: Option<Moment>,
    /// Of the last report.
    last: Option<Moment>,
    in_step_since: Duration,
    /// By how much the calendar is off, while it is.
    off_ms: Option<i64>,
}

impl RetentionClock {
    /// The time by which rows may be old enough to go; `None`: none may. `file_ms`: what was
    /// believed when a report was last written to the file.
    pub(crate) fn read(&mut self, now: Moment, file_ms: Option<i64>) -> Option<i64> {
        let last = self.last.replace(now);
        let step_off = |last: Moment| now.unix_ms.saturating_sub(last.ahead(now.elapsed));
        if last.is_none_or(|last| step_off(last).abs() > SLACK_MS) {
            self.in_step_since = now.elapsed;
        }
        let off = match (self.believed, file_ms) {
            (Some(believed), _) => Some(step_off(believed)).filter(|off| off.abs() > SLACK_MS),
            // The file has been written before: how long nobody wrote to it only the calendar knows.
            (None, Some(file)) => Some(now.unix_ms.saturating_sub(file))
                .filter(|off| *off < -SLACK_MS || *off > DAY_MS),
            (None, None) => None,
        };
        let in_step = now.elapsed.saturating_sub(self.in_step_since) >= IN_STEP;
        match off {
            Some(off) if !in_step => {
                if self.off_ms.is_none() {
                    tracing::warn!(
                        seconds = off / 1_000,
                        "history: the calendar has jumped: nothing is deleted for its age until the \
                         calendar has gone on evenly for an hour"
                    );
                }
                if self.believed.is_none() {
                    // From here on it is the jump that counts, not what each report finds.
                    let unix_ms = now.unix_ms.saturating_sub(off);
                    self.believed = Some(Moment { unix_ms, ..now });
                }
                self.off_ms = Some(off);
                None
            }
            _ => {
                if self.off_ms.take().is_some() {
                    tracing::info!("history: the calendar is believed again");
                }
                self.believed = Some(now);
                Some(now.unix_ms)
            }
        }
    }

    /// What is wrong with the calendar, in words.
    pub(crate) fn complaint(&self) -> Option<String> {
        let off = self.off_ms?;
        let hours = off as f64 / 3_600_000.0;
        Some(format!("the calendar has jumped by {hours:+.1} h: nothing is deleted for its age"))
    }
}

impl Moment {
    /// What the calendar would say at another time of the monotonic clock.
    fn ahead(self, elapsed: Duration) -> i64 {
        let passed = elapsed.saturating_sub(self.elapsed).as_millis();
        self.unix_ms.saturating_add(i64::try_from(passed).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: i64 = 1_700_000_000_000;

    fn at(seconds: u64, off_ms: i64) -> Moment {
        let unix_ms = BEGIN + seconds as i64 * 1_000 + off_ms;
        Moment { elapsed: Duration::from_secs(seconds), unix_ms }
    }

    #[test]
    fn a_calendar_that_goes_evenly_is_believed() {
        let mut clock = RetentionClock::default();
        for second in (0..100_000).step_by(10) {
            let now = at(second, 0);
            assert_eq!(clock.read(now, None), Some(now.unix_ms));
        }
        assert_eq!(clock.complaint(), None);
    }

    #[test]
    fn eight_days_forward_for_five_seconds_age_nothing() {
        let mut clock = RetentionClock::default();
        for second in 0..10 {
            clock.read(at(second, 0), None);
        }
        for second in 10..15 {
            assert_eq!(clock.read(at(second, 8 * DAY_MS), None), None);
        }
        assert!(clock.complaint().unwrap().contains("+192.0 h"));
        let back = at(15, 0);
        assert_eq!(clock.read(back, None), Some(back.unix_ms), "back where it should be");
        assert_eq!(clock.complaint(), None);
    }

    #[test]
    fn one_that_was_set_for_good_is_believed_after_an_hour() {
        for off in [8 * DAY_MS, -8 * DAY_MS] {
            let mut clock = RetentionClock::default();
            clock.read(at(0, 0), None);
            for second in (10..3_610).step_by(10) {
                assert_eq!(clock.read(at(second, off), None), None, "{second}");
            }
            assert!(clock.read(at(3_610, off), None).is_some());
        }
    }

    #[test]
    fn a_program_that_was_stopped_overnight_goes_on_and_one_that_wakes_far_off_waits() {
        let begin = |stopped_ms| {
            RetentionClock::default().read(at(0, 0), Some(BEGIN - stopped_ms)).is_some()
        };
        assert!(begin(0) && begin(DAY_MS / 2));
        assert!(!begin(2 * DAY_MS) && !begin(-2 * SLACK_MS));
        let mut clock = RetentionClock::default();
        let mut believed = |second| clock.read(at(second, 0), Some(BEGIN - 8 * DAY_MS)).is_some();
        assert!((0..3_600).step_by(10).all(|second| !believed(second)));
        assert!(believed(3_600));
    }
}
