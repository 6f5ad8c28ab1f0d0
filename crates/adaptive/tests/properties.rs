//! What holds for any samples, however hostile.

use std::time::Duration;

use grmgr_adaptive::{Aimd, Controller, Experiment, Outcome, Sample, Vegas};
use proptest::prelude::*;

const MIN: usize = 3;
const MAX: usize = 50;

fn controllers(start: usize, seed: u64) -> Vec<(&'static str, Box<dyn Controller>)> {
    vec![
        ("Experiment", Box::new(Experiment::new(start).min(MIN).max(MAX).seed(seed))),
        ("Aimd", Box::new(Aimd::new(start).min(MIN).max(MAX))),
        ("Vegas", Box::new(Vegas::new(start).min(MIN).max(MAX).seed(seed))),
    ]
}

/// Zero, tiny, usual, huge.
fn times() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        Just(Duration::from_nanos(1)),
        Just(Duration::MAX),
        (0u64..=u64::MAX).prop_map(Duration::from_nanos),
        (0u64..60_000).prop_map(Duration::from_millis),
    ]
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        8 => Just(Outcome::Success),
        1 => Just(Outcome::Overload),
        1 => Just(Outcome::Ignored),
    ]
}

fn in_flight() -> impl Strategy<Value = usize> {
    prop_oneof![Just(0), Just(usize::MAX), 0usize..60]
}

/// Any calls: times jump to and fro.
fn hostile() -> impl Strategy<Value = Vec<(Duration, Sample)>> {
    let call = (times(), times(), times(), in_flight(), outcomes());
    prop::collection::vec(call, 0..600).prop_map(|calls| {
        let one = |(now, started, latency, in_flight, outcome)| {
            (now, Sample { started, latency, in_flight, outcome })
        };
        calls.into_iter().map(one).collect()
    })
}

/// Requests one after another, each filling the ceiling as far as `share` says.
fn drive(controller: &mut dyn Controller, calls: &[(u64, u64, Outcome)], share: f64) -> Vec<usize> {
    let mut now = 0;
    let mut course = Vec::new();
    for &(gap, latency, outcome) in calls {
        now += gap;
        let sample = Sample {
            started: Duration::from_micros(now.saturating_sub(latency)),
            latency: Duration::from_micros(latency),
            in_flight: (controller.ceiling() as f64 * share) as usize,
            outcome,
        };
        let answer = controller.observe(Duration::from_micros(now), sample);
        if let Some(to) = answer {
            assert_eq!(to, controller.ceiling());
        }
        course.push(controller.ceiling());
    }
    course
}

/// Requests that come and go as they do in a program.
fn usual() -> impl Strategy<Value = Vec<(u64, u64, Outcome)>> {
    prop::collection::vec((0u64..20_000, 1u64..500_000, outcomes()), 0..2_000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn stays_within_its_bounds_whatever_it_is_told(calls in hostile(), start in 0usize..2_000, seed: u64) {
        for (name, mut controller) in controllers(start, seed) {
            prop_assert!((MIN..=MAX).contains(&controller.ceiling()), "{name} begins outside");
            for (now, sample) in &calls {
                let before = controller.ceiling();
                let answer = controller.observe(*now, *sample);
                let after = controller.ceiling();
                prop_assert!((MIN..=MAX).contains(&after), "{name}: {after}");
                prop_assert_eq!(answer, (before != after).then_some(after), "{}", name);
            }
        }
    }

    #[test]
    fn stays_within_its_bounds_when_full(calls in usual(), start in 0usize..2_000, seed: u64) {
        for (name, mut controller) in controllers(start, seed) {
            for ceiling in drive(&mut *controller, &calls, 1.0) {
                prop_assert!((MIN..=MAX).contains(&ceiling), "{name}: {ceiling}");
            }
        }
    }

    #[test]
    fn the_same_calls_give_the_same_answers(calls in usual(), start in 1usize..60, seed: u64) {
        let (once, again) = (controllers(start, seed), controllers(start, seed));
        for ((name, mut once), (_, mut again)) in once.into_iter().zip(again) {
            let (once, again) =
                (drive(&mut *once, &calls, 1.0), drive(&mut *again, &calls, 1.0));
            prop_assert_eq!(once, again, "{}", name);
        }
    }

    #[test]
    fn a_time_before_the_last_one_counts_as_that(
        calls in usual(),
        back in prop::collection::vec(0u64..1_000_000, 2_000),
        start in 1usize..60,
        seed: u64,
    ) {
        let (once, again) = (controllers(start, seed), controllers(start, seed));
        for ((name, mut ordered), (_, mut jumping)) in once.into_iter().zip(again) {
            let (mut time, mut latest) = (0, 0);
            for (&(gap, latency, outcome), back) in calls.iter().zip(&back) {
                time += gap;
                let now = time.saturating_sub(*back);
                latest = latest.max(now);
                let started = Duration::from_micros(now.saturating_sub(latency));
                let latency = Duration::from_micros(latency);
                let sample = Sample { started, latency, in_flight: ordered.ceiling(), outcome };
                let one = ordered.observe(Duration::from_micros(latest), sample);
                let other = jumping.observe(Duration::from_micros(now), sample);
                prop_assert_eq!(one, other, "{}", name);
            }
        }
    }

    #[test]
    fn does_not_move_while_the_ceiling_is_not_used(calls in usual(), start in MIN..=MAX, seed: u64) {
        let calm: Vec<_> = calls.iter().map(|call| (call.0, call.1, Outcome::Success)).collect();
        for (name, mut controller) in controllers(start, seed) {
            for ceiling in drive(&mut *controller, &calm, 0.4) {
                prop_assert_eq!(ceiling, start, "{}", name);
            }
        }
    }

    #[test]
    fn does_not_move_for_what_is_ignored(calls in usual(), start in MIN..=MAX, seed: u64) {
        let ignored: Vec<_> = calls.iter().map(|call| (call.0, call.1, Outcome::Ignored)).collect();
        for (name, mut controller) in controllers(start, seed) {
            for ceiling in drive(&mut *controller, &ignored, 1.0) {
                prop_assert_eq!(ceiling, start, "{}", name);
            }
        }
    }
}

/// A server of this many workers, each 10 ms busy with a request, always as full as the ceiling allows.
fn settle_at(controller: &mut dyn Controller, workers: usize, seconds: u64) -> usize {
    let mut ends: std::collections::BinaryHeap<std::cmp::Reverse<(u64, u64, usize)>> =
        std::collections::BinaryHeap::new();
    let mut free = vec![0u64; workers];
    let (mut now, mut in_flight) = (0u64, 0);
    while now < seconds * 1_000_000 {
        while in_flight < controller.ceiling() {
            in_flight += 1;
            let worker = free.iter_mut().min().unwrap();
            // Not all alike, so that they do not go in step.
            *worker =
                (*worker).max(now) + 9_000 + (now * 7_919 + in_flight as u64 * 104_729) % 2_000;
            ends.push(std::cmp::Reverse((*worker, now, in_flight)));
        }
        let std::cmp::Reverse((end, started, at_start)) = ends.pop().unwrap();
        now = end;
        in_flight -= 1;
        let sample = Sample {
            started: Duration::from_micros(started),
            latency: Duration::from_micros(end - started),
            in_flight: at_start,
            outcome: Outcome::Success,
        };
        controller.observe(Duration::from_micros(now), sample);
    }
    controller.ceiling()
}

#[test]
fn an_experiment_finds_the_knee_from_far_below_and_from_far_above() {
    for start in [1, 2, 10, 100, 1_000] {
        let mut experiment = Experiment::new(start);
        let ceiling = settle_at(&mut experiment, 10, 60);
        assert!((8..=14).contains(&ceiling), "from {start} to {ceiling}");
    }
}

#[test]
fn a_hard_refusal_brings_the_ceiling_down_at_once() {
    let mut experiment = Experiment::new(40);
    // Ten are served, the others are turned away.
    let mut answer = None;
    for i in 0..40u64 {
        let outcome = if i % 4 == 0 { Outcome::Success } else { Outcome::Overload };
        let now = Duration::from_millis(100 + i);
        let sample = Sample { started: now, latency: Duration::ZERO, in_flight: 40, outcome };
        answer = answer.or(experiment.observe(now, sample));
    }
    assert_eq!(answer, Some(20), "at most halved at once");
}
