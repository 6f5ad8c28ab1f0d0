//! Bounds, steps and holds are replaced while the limiter is in use (I8).

#![cfg(feature = "std")]

mod common;

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use common::{assert_at_rest, request, waiter};
use grmgr::Adjustment::{Changed, Held, Unchanged};
use grmgr::{AcquireError, ConfigError, Limiter, ManualClock, Step, Throttle};

const MAX: usize = Limiter::MAX_CEILING;

/// Ceiling 10 out of 1 to 20.
fn limiter() -> (ManualClock, Limiter) {
    let clock = ManualClock::new();
    let limiter = Limiter::builder("reconfigure").ceiling(10).max(20).clock(clock.clone());
    (clock, limiter.build().unwrap())
}

#[test]
fn setting_is_clamped_to_the_new_bounds() {
    let (_clock, limiter) = limiter();
    let throttle = limiter.throttle();
    assert_eq!(limiter.reconfigure(throttle.max(15)), Ok(Unchanged { ceiling: 10 }));
    assert_eq!(limiter.reconfigure(throttle.max(8)), Ok(Changed { from: 10, to: 8 }));
    assert_eq!(limiter.reconfigure(throttle.min(12)), Ok(Changed { from: 8, to: 12 }));
    assert_eq!((limiter.setting(), limiter.ceiling()), (12, 12));
    assert_eq!(limiter.throttle(), throttle.min(12));
}

#[test]
fn everything_is_replaced_and_counts_at_once() {
    let (clock, limiter) = limiter();
    let second = Duration::from_secs(1);
    let throttle = Throttle::new(100).min(0).up(Step::Percent(50)).down(7).hold(second);
    let throttle = throttle.hold_down(2 * second);
    limiter.reconfigure(throttle).unwrap();
    assert_eq!(limiter.throttle(), throttle);
    assert_eq!(limiter.up(), Changed { from: 10, to: 15 });
    assert_eq!(limiter.down(), Held { remaining: 2 * second });
    clock.advance(2 * second);
    assert_eq!(limiter.down(), Changed { from: 15, to: 8 });
    // A hold is what is configured now, also after a change that was made before.
    limiter.reconfigure(throttle.hold(10 * second)).unwrap();
    assert_eq!(limiter.up(), Held { remaining: 10 * second });
    limiter.reconfigure(throttle.hold(Duration::ZERO)).unwrap();
    assert_eq!(limiter.up(), Changed { from: 8, to: 12 });
}

/// I7: a setting that was clamped is a change as any; other settings are none.
#[test]
fn only_a_clamped_setting_begins_a_hold() {
    let (_clock, limiter) = limiter();
    limiter.reconfigure(limiter.throttle().max(30)).unwrap();
    assert_eq!(limiter.snapshot().hold_up_remaining, Duration::ZERO);
    limiter.reconfigure(limiter.throttle().max(5)).unwrap();
    assert_eq!(limiter.snapshot().hold_up_remaining, Duration::from_secs(30));
}

#[test]
fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let (_clock, limiter) = limiter();
    let throttle = limiter.throttle();
    for (wrong, error) in [
        (throttle.min(21), ConfigError::MinAboveMax { min: 21, max: 20 }),
        (throttle.min(0).max(0), ConfigError::OutOfRange { option: "max", value: 0 }),
        (throttle.max(MAX + 1), ConfigError::OutOfRange { option: "max", value: MAX + 1 }),
        (throttle.min(MAX + 1), ConfigError::OutOfRange { option: "min", value: MAX + 1 }),
        (throttle.up(0), ConfigError::ZeroStep { option: "up" }),
        (
            throttle.down(Step::Percent(101)),
            ConfigError::PercentOutOfRange { option: "down", percent: 101 },
        ),
    ] {
        assert_eq!(limiter.reconfigure(wrong), Err(error));
        assert_eq!((limiter.throttle(), limiter.setting()), (throttle, 10));
    }
}

#[test]
fn raised_bounds_admit_larger_requests_and_wake_those_that_wait() {
    let (_clock, limiter) = limiter();
    assert!(matches!(request(&limiter, 21).refused(), AcquireError::ExceedsMax { max: 20, .. }));
    let held = limiter.try_acquire_many(10).unwrap();
    let line = common::waiters::<2>(&limiter);
    limiter.reconfigure(limiter.throttle().max(30).min(12)).unwrap();
    assert_eq!(common::woken(&line), [true, true]);
    drop((line, held));
    drop(request(&limiter, 25).granted());
    assert_at_rest(&limiter);
}

/// I1: it is neither refused nor does it hang, but a new one is refused.
#[test]
fn request_in_line_above_the_new_max_runs_alone() {
    for run_alone in [true, false] {
        let limiter = Limiter::builder("reconfigure").ceiling(10).max(20).run_alone(run_alone);
        let limiter = limiter.build().unwrap();
        let held = limiter.try_acquire_many(10).unwrap();
        let [large, larger] = [15, 16].map(|n| waiter(&limiter, n));
        limiter.reconfigure(limiter.throttle().max(5)).unwrap();
        assert!(matches!(request(&limiter, 6).refused(), AcquireError::ExceedsMax { max: 5, .. }));
        drop(held);
        let large = large.granted();
        assert_eq!((limiter.in_flight(), limiter.ceiling()), (15, 5));
        assert!(!larger.is_woken());
        drop(large);
        drop(larger.granted());
        assert_at_rest(&limiter);
    }
}

/// I1: with room for it, in whatever way that comes.
#[test]
fn without_run_alone_a_large_request_waits_for_a_higher_ceiling() {
    type Change<'a> = &'a dyn Fn(&Limiter);
    let changes: [Change<'_>; 3] = [
        &|limiter| _ = limiter.set_ceiling(15),
        &|limiter| _ = limiter.reconfigure(limiter.throttle().min(15)).unwrap(),
        // Above `max` there will never be room.
        &|limiter| _ = limiter.reconfigure(limiter.throttle().max(14)).unwrap(),
    ];
    for change in changes {
        let limiter = Limiter::builder("reconfigure").ceiling(10).max(20).run_alone(false);
        let limiter = limiter.build().unwrap();
        assert!(limiter.try_acquire_many(11).is_err());
        drop(limiter.try_acquire_many(10).unwrap());
        let mut large = waiter(&limiter, 15);
        let held = limiter.try_acquire().unwrap();
        drop(held);
        assert!(!large.run(), "nothing is in flight, and it waits");
        change(&limiter);
        drop(large.granted());
        assert_at_rest(&limiter);
    }
}

/// I8: bounds are replaced together.
#[test]
fn no_reader_sees_bounds_of_two_throttles() {
    let limiter = Limiter::builder("reconfigure").ceiling(10).build().unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..50_000 {
                let low = Throttle::new(10).min(1).up(1);
                let high = Throttle::new(30).min(20).up(Step::Percent(100));
                limiter.reconfigure(if round % 2 == 0 { high } else { low }).unwrap();
            }
            done.store(true, SeqCst);
        });
        while !done.load(SeqCst) {
            let snapshot = limiter.snapshot();
            let bounds = (snapshot.min, snapshot.max);
            assert!([(1, 10), (20, 30)].contains(&bounds), "{bounds:?}");
            assert!((bounds.0..=bounds.1).contains(&snapshot.setting), "{snapshot:?}");
            let throttle = limiter.throttle();
            let all = (throttle.min, throttle.up);
            assert!([(1, Step::By(1)), (20, Step::Percent(100))].contains(&all), "{all:?}");
        }
    });
}
