//! Gauges, counters and a histogram through the `metrics` facade.
//!
//! Handles are asked for anew at every sample: one that was resolved before the program installed
//! its recorder would stay without effect.

use std::collections::HashMap;
use std::sync::Arc;

use metrics::{SharedString, Unit, counter, describe_counter, describe_gauge, describe_histogram};
use metrics::{gauge, histogram};

use crate::counts::{ENDS, REASONS};
use crate::gauges::GAUGES;
use crate::sampler::{CauseCount, Sample, Tracked};

/// Recordings of one bucket of waiting times that one sample makes at most: the facade takes them
/// one by one.
const RECORDINGS: u64 = 100_000;

/// What has been published, so that counters go on where another limiter of the same name left
/// off: the facade's counters never go down.
#[derive(Debug, Default)]
pub(crate) struct Exporter {
    known: HashMap<Arc<str>, Known>,
}

#[derive(Debug, Default)]
struct Known {
    id: u64,
    /// What earlier limiters of the name had counted.
    base: Counts,
    last: Counts,
}

#[derive(Clone, Debug, Default)]
struct Counts {
    acquired: u64,
    waited: u64,
    cancelled: u64,
    refused: [u64; 4],
    by_cause: Vec<CauseCount>,
}

impl Exporter {
    /// Publishes what a sample has shown.
    pub(crate) fn publish<'a>(
        &mut self,
        limiters: impl Iterator<Item = &'a Tracked>,
        sample: &Sample,
    ) {
        describe();
        for gone in &sample.gone {
            self.counters(gone);
            waits(gone);
            for name in [
                "limiter_in_flight",
                "limiter_ceiling",
                "limiter_setting",
                "limiter_waiting",
                "limiter_paused",
            ] {
                gauge!(name, "limiter" => shared(&gone.name)).set(0.0);
            }
        }
        for tracked in limiters {
            gauges(tracked);
            self.counters(tracked);
            waits(tracked);
        }
    }

    fn counters(&mut self, tracked: &Tracked) {
        let known = self.known.entry(tracked.name.clone()).or_default();
        if known.id != tracked.id {
            known.id = tracked.id;
            known.base.add(&std::mem::take(&mut known.last));
        }
        known.last = Counts::of(tracked);
        let mut total = known.base.clone();
        total.add(&known.last);
        let limiter = || shared(&tracked.name);
        counter!("limiter_acquired_total", "limiter" => limiter()).absolute(total.acquired);
        counter!("limiter_waited_total", "limiter" => limiter()).absolute(total.waited);
        counter!("limiter_cancelled_total", "limiter" => limiter()).absolute(total.cancelled);
        for (reason, count) in REASONS.into_iter().zip(total.refused) {
            counter!("limiter_refused_total", "limiter" => limiter(), "reason" => reason)
                .absolute(count);
        }
        for CauseCount { cause, raised, lowered } in total.by_cause {
            for (direction, count) in [("up", raised), ("down", lowered)] {
                counter!(
                    "limiter_ceiling_changes_total",
                    "limiter" => limiter(),
                    "direction" => direction,
                    "cause" => cause.clone()
                )
                .absolute(count);
            }
        }
    }
}

impl Counts {
    fn of(tracked: &Tracked) -> Self {
        let stats = &tracked.last.stats;
        Self {
            acquired: stats.acquired,
            waited: stats.waited,
            cancelled: stats.cancelled,
            refused: tracked.refused(),
            by_cause: tracked.by_cause.clone(),
        }
    }

    fn add(&mut self, other: &Self) {
        self.acquired += other.acquired;
        self.waited += other.waited;
        self.cancelled += other.cancelled;
        for (sum, count) in self.refused.iter_mut().zip(other.refused) {
            *sum += count;
        }
        for more in &other.by_cause {
            match self.by_cause.iter_mut().find(|count| count.cause == more.cause) {
                Some(count) => {
                    count.raised += more.raised;
                    count.lowered += more.lowered;
                }
                None => self.by_cause.push(more.clone()),
            }
        }
    }
}

fn gauges(tracked: &Tracked) {
    for (name, _, value) in GAUGES {
        gauge!(name, "limiter" => shared(&tracked.name)).set(value(&tracked.last) as f64);
    }
}

/// The waits that have ended since the last sample, each at about the middle of its bucket: that
/// begins at 4/5 to 7/8 of its end, the first at 0.
fn waits(tracked: &Tracked) {
    let Some(counts) = &tracked.counts else { return };
    for (bucket, count) in &counts.waits.buckets {
        let middle = ENDS[usize::from(*bucket)].as_secs_f64() * 0.9;
        let histogram = histogram!("limiter_wait_seconds", "limiter" => shared(&tracked.name));
        histogram.record_many(middle, (*count).min(RECORDINGS) as usize);
    }
}

fn shared(name: &Arc<str>) -> SharedString {
    SharedString::from_shared(name.clone())
}

fn describe() {
    for (name, help, _) in GAUGES {
        describe_gauge!(name, help);
    }
    describe_counter!("limiter_acquired_total", "Permits granted.");
    describe_counter!("limiter_waited_total", "Requests that had to wait.");
    describe_counter!("limiter_cancelled_total", "Requests given up while they waited.");
    describe_counter!("limiter_refused_total", "Requests refused, by reason.");
    describe_counter!("limiter_ceiling_changes_total", "Moves of the ceiling, by cause.");
    describe_histogram!(
        "limiter_wait_seconds",
        Unit::Seconds,
        "How long requests waited that had to."
    );
}
