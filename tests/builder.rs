//! How a limiter is made, and what is wrong with one that cannot be (I14, I8).

#![cfg(feature = "std")]

mod common;

use std::borrow::Cow;
use std::time::Duration;

use common::{assert_at_rest, panic_of, request, waiter};
use grmgr::{AcquireError, Adjustment, Builder, ConfigError, Limiter, Step, TryAcquireError};

const MAX: usize = Limiter::MAX_CEILING;

fn builder() -> Builder {
    Limiter::builder("builder")
}

#[track_caller]
fn refused(builder: Builder, error: ConfigError, message: &str) {
    assert_eq!(builder.build().expect_err("a mistake"), error);
    assert_eq!(error.to_string(), message);
}

#[test]
fn defaults_are_those_of_new() {
    let built = builder().ceiling(10).build().unwrap();
    for limiter in [built, Limiter::new("builder", 10), Limiter::const_new("builder", 10)] {
        assert_eq!((limiter.name(), limiter.ceiling()), ("builder", 10));
        let throttle = limiter.throttle();
        assert_eq!((throttle.min, throttle.max), (1, 10));
        assert_eq!((throttle.up, throttle.down), (Step::By(1), Step::By(2)));
        let hold = Duration::from_secs(30);
        assert_eq!((throttle.hold_up, throttle.hold_down), (hold, hold));
        assert_at_rest(&limiter);
    }
}

#[test]
fn every_option_arrives() {
    let hold = Duration::from_millis(1);
    let limiter = builder().ceiling(10).min(5).max(50).up(6).down(7).hold(hold).build().unwrap();
    assert_eq!(limiter.ceiling(), 10);
    let throttle = limiter.throttle();
    assert_eq!((throttle.min, throttle.max), (5, 50));
    assert_eq!((throttle.up, throttle.down), (Step::By(6), Step::By(7)));
    assert_eq!((throttle.hold_up, throttle.hold_down), (hold, hold));
    let snapshot = limiter.snapshot();
    assert_eq!((snapshot.min, snapshot.max, snapshot.ceiling), (5, 50, 10));
}

#[test]
fn extremes_are_accepted() {
    for builder in [
        builder().ceiling(1),
        builder().ceiling(MAX),
        builder().ceiling(0).min(0).max(1),
        builder().ceiling(MAX).min(MAX),
        builder().ceiling(1).up(MAX).down(MAX),
        builder().ceiling(1).patience(u32::MAX).max_waiting(usize::MAX).hold(Duration::MAX),
    ] {
        assert_at_rest(&builder.build().unwrap());
    }
}

/// More than fits in the 32 bits that are kept of it.
#[cfg(target_pointer_width = "64")]
#[test]
fn huge_queue_is_not_cut_to_a_short_one() {
    let limiter = builder().ceiling(1).max_waiting(1 << 32).build().unwrap();
    let _permit = limiter.try_acquire().unwrap();
    drop(waiter(&limiter, 1));
    assert_eq!(limiter.waiting(), 0);
}

#[test]
fn name_is_any_text() {
    for name in ["", "db", "ü \n\u{1F680}"] {
        assert_eq!(Limiter::new(name, 1).name(), name);
        assert_eq!(Limiter::new(String::from(name), 1).name(), name);
        assert_eq!(Limiter::builder(Cow::from(name)).ceiling(1).build().unwrap().name(), name);
    }
}

#[test]
fn ceiling_has_to_be_given() {
    refused(builder().max(5), ConfigError::NoCeiling, "no ceiling: set one with `ceiling`");
}

#[test]
fn values_have_to_be_in_range() {
    for value in [MAX + 1, usize::MAX] {
        for (option, builder) in [
            ("ceiling", builder().ceiling(value)),
            ("min", builder().ceiling(1).min(value)),
            ("max", builder().ceiling(1).max(value)),
            ("up", builder().ceiling(1).up(value)),
            ("down", builder().ceiling(1).down(value)),
        ] {
            refused(
                builder,
                ConfigError::OutOfRange { option, value },
                &format!("`{option}` is {value}: set it to 268435455 or less"),
            );
        }
    }
}

#[test]
fn ceiling_that_is_never_above_zero_is_refused() {
    let error = ConfigError::OutOfRange { option: "max", value: 0 };
    let message = "`max` is 0: set it to 1 to 268435455";
    refused(builder().ceiling(0).min(0), error, message);
    refused(builder().ceiling(0).min(0).max(0), error, message);
}

#[test]
fn min_must_not_be_above_max() {
    refused(
        builder().ceiling(3).min(4).max(2),
        ConfigError::MinAboveMax { min: 4, max: 2 },
        "`min` is 4 and `max` is 2: lower `min` or raise `max` so that they span the range in \
         which the ceiling may move",
    );
}

#[test]
fn ceiling_has_to_be_within_the_bounds() {
    for (ceiling, message) in [
        (0, "`ceiling` is 0, below `min`, which is 3: raise it, or lower `min`"),
        (2, "`ceiling` is 2, below `min`, which is 3: raise it, or lower `min`"),
        (9, "`ceiling` is 9, above `max`, which is 8: lower it, or raise `max`"),
    ] {
        let builder = builder().ceiling(ceiling).min(3).max(8);
        refused(builder, ConfigError::CeilingOutside { ceiling, min: 3, max: 8 }, message);
    }
}

/// The default of `max` is the ceiling itself, so that `min` is what it collides with.
#[test]
fn ceiling_below_min_is_refused_without_max_too() {
    let above = [(0, builder().ceiling(0)), (3, builder().ceiling(3).min(5))];
    for (ceiling, builder) in above.into_iter().chain([(3, builder().ceiling(3).min(MAX))]) {
        let error = builder.build().unwrap_err();
        assert!(
            matches!(error, ConfigError::CeilingOutside { ceiling: c, .. } if c == ceiling),
            "{error:?}"
        );
        assert!(error.to_string().contains("`min`"), "{error}");
    }
}

#[test]
fn steps_of_zero_are_refused() {
    for (option, builder) in [("up", builder().up(0)), ("down", builder().down(0))] {
        refused(
            builder.ceiling(1),
            ConfigError::ZeroStep { option },
            &format!("`{option}` is 0 and would never change the ceiling: set it to 1 or more"),
        );
    }
}

#[test]
fn shares_have_to_be_in_range() {
    for percent in [0, 101, u8::MAX] {
        let step = Step::Percent(percent);
        for (option, builder) in [("up", builder().up(step)), ("down", builder().down(step))] {
            refused(
                builder.ceiling(1),
                ConfigError::PercentOutOfRange { option, percent },
                &format!("`{option}` is {percent} %: set it to 1 % to 100 %"),
            );
        }
    }
    assert_at_rest(
        &builder().ceiling(1).up(Step::Percent(1)).down(Step::Percent(100)).build().unwrap(),
    );
}

/// Each option of a `static`, in either order of those that depend on each other.
#[test]
fn options_of_a_static_are_those_of_the_builder() {
    const SECOND: Duration = Duration::from_secs(1);
    static ALL: Limiter = Limiter::const_new("all", 10)
        .with_min(5)
        .with_max(50)
        .with_up(Step::By(6))
        .with_down(Step::Percent(50))
        .with_hold(Duration::from_secs(3))
        .with_hold_down(SECOND)
        .with_patience(0)
        .with_max_waiting(1)
        .with_run_alone(false);
    static OTHER_ORDER: Limiter = Limiter::const_new("other order", 10)
        .with_run_alone(false)
        .with_max_waiting(1)
        .with_patience(0)
        .with_hold(Duration::from_secs(3))
        .with_hold_down(SECOND)
        .with_down(Step::Percent(50))
        .with_up(Step::By(6))
        .with_max(50)
        .with_min(5);
    for limiter in [&ALL, &OTHER_ORDER] {
        let hold = Duration::from_secs(3);
        let builder = builder().ceiling(10).min(5).max(50).up(6).down(Step::Percent(50));
        let built = builder.hold(hold).hold_down(SECOND).build().unwrap();
        assert_eq!(limiter.throttle(), built.throttle());

        let held = limiter.try_acquire().unwrap();
        // `patience(0)`: no newcomer goes past it. `run_alone(false)`: it waits for a higher ceiling.
        let mut large = waiter(limiter, 11);
        assert_eq!(limiter.try_acquire().unwrap_err(), TryAcquireError::NoPermits);
        assert_eq!(request(limiter, 1).refused(), AcquireError::QueueFull { max_waiting: 1 });
        drop(held);
        assert!(!large.run());
        assert_eq!(limiter.set_ceiling(11), Adjustment::Changed { from: 10, to: 11 });
        drop(large.granted());
        assert_at_rest(limiter);
    }
}

#[test]
fn options_of_a_static_refuse_what_the_builder_refuses() {
    let limiter = || Limiter::const_new("static", 10);
    for (message, refused) in [
        ("`with_min` is above", panic_of(|| limiter().with_min(11))),
        ("`with_min` is above", panic_of(|| limiter().with_max(20).with_min(20))),
        ("`with_max` has to be", panic_of(|| limiter().with_max(9))),
        ("`with_max` has to be", panic_of(|| limiter().with_max(MAX + 1))),
        ("`with_up` has to be", panic_of(|| limiter().with_up(Step::By(0)))),
        ("`with_up` has to be", panic_of(|| limiter().with_up(Step::Percent(101)))),
        ("`with_down` has to be", panic_of(|| limiter().with_down(Step::By(MAX + 1)))),
        ("`with_down` has to be", panic_of(|| limiter().with_down(Step::Percent(0)))),
    ] {
        assert!(refused.starts_with(message), "{refused}");
    }
}

/// It cannot happen with the system's clock at hand, but the message is there.
#[test]
fn hold_without_a_clock_says_what_to_do() {
    assert_eq!(
        ConfigError::NoClock.to_string(),
        "a hold needs a clock: set one with `clock`, or set `hold` to zero, or enable feature \
         `std`"
    );
}

/// I14.
#[test]
fn new_panics_on_a_ceiling_out_of_range() {
    const MESSAGE: &str = "a limiter's ceiling is 1 to Limiter::MAX_CEILING; for one that may be 0 \
                           use Limiter::builder with `min(0)`";
    for ceiling in [0, MAX + 1, usize::MAX] {
        assert_eq!(panic_of(|| Limiter::new("builder", ceiling)), MESSAGE);
        assert_eq!(panic_of(|| Limiter::const_new("builder", ceiling)), MESSAGE);
    }
}

#[test]
fn mistakes_are_errors_as_others() {
    fn boxed() -> Result<Limiter, Box<dyn std::error::Error + Send + Sync>> {
        Ok(builder().build()?)
    }
    assert_eq!(boxed().unwrap_err().to_string(), ConfigError::NoCeiling.to_string());
}
