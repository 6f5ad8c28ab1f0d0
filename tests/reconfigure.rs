//! Bounds, steps and holds are replaced while the limiter is in use (I8); configuration is loaded
//! and reloaded.

#![cfg(feature = "std")]

mod common;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use common::{assert_at_rest, request, waiter};
use grmgr::Adjustment::{Changed, Held, Unchanged};
use grmgr::{
    AcquireError, Applied, ApplyError, Config, ConfigError, Limiter, ManualClock, Outcome,
    Registry, Step, Throttle,
};

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
        (
            throttle.up(Step::Percent(0)),
            ConfigError::PercentOutOfRange { option: "up", percent: 0 },
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

fn outcomes(applied: &[Applied]) -> Vec<(&str, &Outcome)> {
    applied.iter().map(|applied| (&*applied.limiter, &applied.outcome)).collect()
}

fn reconfigured(setting: grmgr::Adjustment) -> Outcome {
    Outcome::Reconfigured { setting, fixed: Vec::new() }
}

#[test]
fn apply_registers_reconfigures_and_names_what_is_missing() {
    let registry = Registry::new();
    let configs = [Config::new("api", 8), Config::new("db", 20).max(40)];
    let applied = registry.apply(configs).unwrap();
    assert_eq!(outcomes(&applied), [("api", &Outcome::Registered), ("db", &Outcome::Registered)]);
    let db = registry.get("db").unwrap();
    let api = registry.get("api").unwrap();
    let _ = db.set_ceiling(5);

    let configs = [Config::new("new", 1), Config::new("db", 30).down(Step::Percent(50))];
    let applied = registry.apply(configs).unwrap();
    assert_eq!(
        outcomes(&applied),
        [
            ("new", &Outcome::Registered),
            ("db", &reconfigured(Changed { from: 5, to: 30 })),
            ("api", &Outcome::Missing),
        ]
    );
    assert_eq!((db.setting(), db.throttle().max), (30, 30), "`max` has its default again");
    assert_eq!(db.throttle().down, Step::Percent(50));
    assert_eq!((api.setting(), api.is_closed()), (8, false));

    let applied = registry.apply([Config::new("db", 30).down(Step::Percent(50))]).unwrap();
    assert_eq!(applied[0].outcome, reconfigured(Unchanged { ceiling: 30 }));
}

#[test]
fn options_that_cannot_be_changed_are_named() {
    let registry = Registry::new();
    let config = Config::new("db", 20).patience(3).max_waiting(10).run_alone(false);
    registry.apply([config.clone()]).unwrap();
    let fixed = |config: Config| {
        let outcome = registry.apply([config]).unwrap().remove(0).outcome;
        let Outcome::Reconfigured { fixed, .. } = outcome else { panic!("{outcome:?}") };
        fixed
    };
    assert!(fixed(config).is_empty(), "the same values");
    assert!(fixed(Config::new("db", 20)).is_empty(), "nothing is said of them");
    let other = Config::new("db", 20).patience(0).max_waiting(11).run_alone(true);
    assert_eq!(fixed(other), ["patience", "max_waiting", "run_alone"]);
}

#[test]
fn caps_stay_when_configuration_is_reloaded() {
    let registry = Registry::new();
    registry.apply([Config::new("db", 20)]).unwrap();
    let db = registry.get("db").unwrap();
    let cap = db.cap("pressure").unwrap();
    cap.set(3);
    registry.apply([Config::new("db", 10)]).unwrap();
    assert_eq!((db.ceiling(), db.setting()), (3, 10));
}

/// Everything is looked at before anything changes.
#[test]
fn apply_with_a_mistake_changes_nothing() {
    let registry = Registry::new();
    registry.apply([Config::new("db", 20)]).unwrap();
    let db = registry.get("db").unwrap();
    let before = (db.throttle(), db.snapshot());
    let good = || [Config::new("new", 5), Config::new("db", 30)];

    let wrong = Config::new("wrong", 7).min(8);
    let error = registry.apply(good().into_iter().chain([wrong])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "nothing has changed: limiter \"wrong\": `ceiling` is 7, below `min`, which is 8: raise it, \
         or lower `min`"
    );
    let cause = error.source().expect("the mistake").downcast_ref();
    assert_eq!(cause, Some(&ConfigError::CeilingOutside { ceiling: 7, min: 8, max: 7 }));
    let twice = Config::new("new", 6);
    let error = registry.apply(good().into_iter().chain([twice])).unwrap_err();
    assert!(error.source().is_none());
    assert_eq!(error, ApplyError::Twice { limiter: "new".into() });
    assert_eq!(
        error.to_string(),
        "nothing has changed: limiter \"new\" has two entries: remove one of them"
    );

    assert_eq!((db.throttle(), db.snapshot()), before);
    assert_eq!(registry.names(), ["db"]);
}

/// Work goes on meanwhile: all requests are served, no permit is lost, and the ceiling is kept.
#[test]
fn reload_under_load_loses_nothing() {
    const WORKERS: usize = 6;
    let registry = Registry::new();
    let entries = |db: usize| {
        [Config::new("db", db).hold(Duration::ZERO), Config::new("api", 3).hold(Duration::ZERO)]
    };
    registry.apply(entries(4)).unwrap();
    let (running, served) = (AtomicBool::new(true), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let limiter = registry.get(if worker % 2 == 0 { "db" } else { "api" }).unwrap();
            let (running, served) = (&running, &served);
            scope.spawn(move || {
                // At least once each, also if the thread begins late.
                loop {
                    drop(limiter.acquire().blocking().expect("nobody closes it"));
                    served.fetch_add(1, SeqCst);
                    if !running.load(SeqCst) {
                        break;
                    }
                }
            });
        }
        for round in 0..2_000 {
            let db = 1 + round % 5;
            registry.apply(entries(db)).unwrap();
            let limiter = registry.get("db").unwrap();
            assert_eq!((limiter.ceiling(), limiter.throttle().max), (db, db));
            assert!(limiter.in_flight() <= 5);
        }
        running.store(false, SeqCst);
    });
    assert!(served.load(SeqCst) >= WORKERS, "all have been served");
    for name in ["db", "api"] {
        assert_at_rest(&registry.get(name).unwrap());
    }
}

/// I1: of two that replace the bounds, the last one's count in every respect, also if it came in
/// between, here in a waker that the first has woken.
#[test]
fn request_above_the_last_max_runs_alone_whatever_came_in_between() {
    let limiter = Limiter::builder("reconfigure").ceiling(1).max(20).run_alone(false);
    let limiter = Arc::new(limiter.build().unwrap());
    let held = limiter.try_acquire().unwrap();
    let small = waiter(&limiter, 1);
    let large = waiter(&limiter, 15);
    let again = limiter.clone();
    small.on_wake(move || {
        again.reconfigure(Throttle::new(5)).unwrap();
    });
    limiter.reconfigure(Throttle::new(30).min(2)).unwrap();
    assert_eq!(limiter.throttle().max, 5);
    drop(held);
    drop(small.granted());
    drop(large.granted());
    assert_at_rest(&limiter);
}
