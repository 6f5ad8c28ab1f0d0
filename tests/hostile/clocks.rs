//! Clocks that go backwards, stand still, jump to the end of time, or come back to the limiter.

use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use grmgr::{Adjustment, Clock, Limiter};

use crate::common::{assert_at_rest, must_end};

const SECOND: Duration = Duration::from_secs(1);

/// Shows whatever it is set to.
#[derive(Clone, Default)]
struct Dial(Arc<Mutex<Duration>>);

impl Dial {
    fn set(&self, now: Duration) {
        *self.0.lock().unwrap() = now;
    }
}

impl Clock for Dial {
    fn now(&self) -> Duration {
        *self.0.lock().unwrap()
    }
}

fn limiter(hold: Duration) -> (Limiter, Dial) {
    let dial = Dial::default();
    let limiter = Limiter::builder("clock")
        .ceiling(4)
        .max(8)
        .down(1)
        .hold(hold)
        .clock(dial.clone())
        .build()
        .unwrap();
    (limiter, dial)
}

#[test]
fn clock_that_stands_still_holds_for_ever_and_nothing_more() {
    let (limiter, _dial) = limiter(SECOND);
    assert_eq!(limiter.up(), Adjustment::Changed { from: 4, to: 5 });
    for _ in 0..1_000 {
        assert_eq!(limiter.up(), Adjustment::Held { remaining: SECOND });
        assert_eq!(limiter.down(), Adjustment::Held { remaining: SECOND });
    }
    // An absolute value is not subject to the hold.
    assert_eq!(limiter.set_ceiling(2), Adjustment::Changed { from: 5, to: 2 });
    assert_eq!(limiter.snapshot().hold_up_remaining, SECOND);
    assert_at_rest(&limiter);
}

#[test]
fn clock_that_goes_backwards_lengthens_the_hold_by_as_much() {
    let (limiter, dial) = limiter(SECOND);
    dial.set(10 * SECOND);
    assert_eq!(limiter.down(), Adjustment::Changed { from: 4, to: 3 });
    dial.set(4 * SECOND);
    assert_eq!(limiter.up(), Adjustment::Held { remaining: 7 * SECOND });
    assert_eq!(limiter.snapshot().hold_up_remaining, 7 * SECOND);
    dial.set(Duration::ZERO);
    assert_eq!(limiter.up(), Adjustment::Held { remaining: 11 * SECOND });
    // An absolute value goes past the hold, and ends it no sooner: the change before may have been
    // made at a later time.
    assert_eq!(limiter.set_ceiling(5), Adjustment::Changed { from: 3, to: 5 });
    assert_eq!(limiter.up(), Adjustment::Held { remaining: 11 * SECOND });
    dial.set(11 * SECOND);
    assert_eq!(limiter.up(), Adjustment::Changed { from: 5, to: 6 });
    assert_at_rest(&limiter);
}

#[test]
fn clock_that_jumps_to_the_end_of_time_ends_the_hold() {
    let (limiter, dial) = limiter(SECOND);
    assert_eq!(limiter.up(), Adjustment::Changed { from: 4, to: 5 });
    dial.set(Duration::MAX);
    assert_eq!(limiter.snapshot().hold_up_remaining, Duration::ZERO);
    // No hold can end after the end of time: there is none any more.
    assert_eq!(limiter.up(), Adjustment::Changed { from: 5, to: 6 });
    assert_eq!(limiter.up(), Adjustment::Changed { from: 6, to: 7 });
    assert_at_rest(&limiter);

    // Back from there, the hold that was begun there lasts for as long as can be told. Setting the
    // ceiling goes past it, and without holds it is gone.
    dial.set(Duration::ZERO);
    let Adjustment::Held { remaining } = limiter.up() else {
        panic!("the last change is held");
    };
    assert!(remaining > 100 * 365 * 24 * 3_600 * SECOND, "{remaining:?}");
    assert_eq!(limiter.set_ceiling(2), Adjustment::Changed { from: 7, to: 2 });
    assert!(matches!(limiter.up(), Adjustment::Held { .. }));
    limiter.reconfigure(limiter.throttle().hold(Duration::ZERO)).unwrap();
    assert_eq!(limiter.up(), Adjustment::Changed { from: 2, to: 3 });
    assert_at_rest(&limiter);
}

#[test]
fn hold_for_ever_is_a_hold_and_no_overflow() {
    for now in [Duration::ZERO, SECOND, Duration::from_nanos(u64::MAX >> 2)] {
        let (limiter, dial) = limiter(Duration::MAX);
        dial.set(now);
        assert_eq!(limiter.up(), Adjustment::Changed { from: 4, to: 5 });
        dial.set(Duration::ZERO);
        assert!(matches!(limiter.down(), Adjustment::Held { .. }));
        assert_eq!(limiter.ceiling(), 5);
        assert_at_rest(&limiter);
    }
}

/// I7 under the worst of clocks: the bounds hold, refusals change nothing, and permits do not
/// care.
#[test]
fn clock_that_jumps_about_never_breaks_the_bounds() {
    let (limiter, dial) = limiter(SECOND);
    let times = [Duration::MAX, Duration::ZERO, SECOND, Duration::from_nanos(u64::MAX), SECOND / 2];
    let mut ceiling = 4;
    for round in 0..1_000_usize {
        dial.set(times[round * 7 % times.len()]);
        let permit = limiter.try_acquire().unwrap();
        let step = match round % 3 {
            0 => limiter.up(),
            1 => limiter.down(),
            _ => limiter.set_ceiling(round % 11),
        };
        if let Adjustment::Changed { from, to } = step {
            assert_eq!(from, ceiling);
            ceiling = to;
        }
        assert_eq!(limiter.ceiling(), ceiling);
        assert!((1..=8).contains(&ceiling));
        drop(permit);
    }
    assert_at_rest(&limiter);
}

/// Uses the limiter from inside `now`.
#[derive(Clone, Default)]
struct Meddler(Arc<OnceLock<Weak<Limiter>>>);

impl Clock for Meddler {
    fn now(&self) -> Duration {
        if let Some(limiter) = self.0.get().and_then(Weak::upgrade) {
            // Everything that does not ask for the time again.
            drop(limiter.try_acquire());
            limiter.pause();
            limiter.resume();
            assert!(limiter.available() > 0);
        }
        SECOND
    }
}

#[test]
fn clock_may_use_its_limiter() {
    must_end(|| {
        let clock = Meddler::default();
        let limiter =
            Limiter::builder("meddler").ceiling(4).max(8).clock(clock.clone()).build().unwrap();
        let limiter = Arc::new(limiter);
        clock.0.set(Arc::downgrade(&limiter)).unwrap();
        assert_eq!(limiter.up(), Adjustment::Changed { from: 4, to: 5 });
        assert!(matches!(limiter.up(), Adjustment::Held { .. }));
        assert!(!limiter.snapshot().paused);
        assert_at_rest(&limiter);
    });
}
