//! Gauges, counters and a histogram through the `metrics` facade.
//!
//! Handles are asked for anew at every sample: one that was resolved before the program installed
//! its recorder would stay without effect.

use std::collections::HashMap;
use std::sync::Arc;

use metrics::{SharedString, Unit, counter, describe_counter, describe_gauge, describe_histogram};
use metrics::{gauge, histogram};

use crate::sampler::{CauseCount, Sample, Tracked};

/// Recordings of one bucket of waiting times that one sample makes at most: the facade takes them
/// one by one.
const RECORDINGS: u64 = 1_000;

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
    refused: [(&'static str, u64); 4],
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
            for name in ["limiter_in_flight", "limiter_ceiling", "limiter_waiting"] {
                gauge!(name, "limiter" => shared(&gone.name)).set(0.0);
            }
        }
        for tracked in limiters {
            gauges(tracked);
            self.counters(tracked);
        }
        for (name, end, count) in &sample.waits {
            // About the middle: a bucket begins at 4/5 to 7/8 of its end, the first at 0.
            let middle = end.as_secs_f64() * 0.9;
            let histogram = histogram!("limiter_wait_seconds", "limiter" => shared(name));
            histogram.record_many(middle, (*count).min(RECORDINGS) as usize);
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
        for (reason, count) in total.refused {
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
            refused: tracked.refusals(),
            by_cause: tracked.by_cause.clone(),
        }
    }

    fn add(&mut self, other: &Self) {
        self.acquired += other.acquired;
        self.waited += other.waited;
        for (sum, (reason, count)) in self.refused.iter_mut().zip(other.refused) {
            *sum = (reason, sum.1 + count);
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
    let last = &tracked.last;
    for (name, value) in [
        ("limiter_in_flight", last.in_flight),
        ("limiter_ceiling", last.ceiling),
        ("limiter_ceiling_min", last.min),
        ("limiter_ceiling_max", last.max),
        ("limiter_waiting", last.waiting),
    ] {
        gauge!(name, "limiter" => shared(&tracked.name)).set(value as f64);
    }
}

fn shared(name: &Arc<str>) -> SharedString {
    SharedString::from_shared(name.clone())
}

fn describe() {
    describe_gauge!("limiter_in_flight", "Permits in flight.");
    describe_gauge!("limiter_ceiling", "The ceiling now.");
    describe_gauge!("limiter_ceiling_min", "The lowest ceiling.");
    describe_gauge!("limiter_ceiling_max", "The highest ceiling.");
    describe_gauge!("limiter_waiting", "Requests that wait.");
    describe_counter!("limiter_acquired_total", "Permits granted.");
    describe_counter!("limiter_waited_total", "Requests that had to wait.");
    describe_counter!("limiter_refused_total", "Requests refused, by reason.");
    describe_counter!("limiter_ceiling_changes_total", "Moves of the ceiling, by cause.");
    describe_histogram!("limiter_wait_seconds", Unit::Seconds, "How long requests waited.");
}
