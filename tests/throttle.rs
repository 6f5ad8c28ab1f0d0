//! How far and how often the ceiling moves (I7, I8), by a clock that the tests move.

#![cfg(feature = "std")]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex, OnceLock};
use std::time::Duration;

use common::waiter;
use grmgr::Adjustment::{Changed, Held, Unchanged};
use grmgr::{Adjust, Builder, Clock, Limiter, ManualClock};

const HOLD: Duration = Duration::from_secs(30);
const TICK: Duration = Duration::from_nanos(1);

/// Ceiling 10 out of 1 to 20, two down, one up.
fn builder() -> (ManualClock, Builder) {
    let clock = ManualClock::new();
    (clock.clone(), Limiter::builder("throttle").ceiling(10).max(20).clock(clock))
}

fn limiter() -> (ManualClock, Limiter) {
    let (clock, builder) = builder();
    (clock, builder.build().unwrap())
}

/// I7: creation starts no hold, wherever the clock stands.
#[test]
fn first_change_is_not_held() {
    for start in [Duration::ZERO, TICK, Duration::from_secs(1_000_000_000)] {
        let (clock, limiter) = limiter();
        clock.advance(start);
        assert_eq!(limiter.snapshot().hold_remaining, Duration::ZERO);
        assert_eq!(limiter.up(), Changed { from: 10, to: 11 });
    }
}

/// I7: to the nanosecond.
#[test]
fn step_succeeds_exactly_at_the_end_of_the_hold() {
    let (clock, limiter) = limiter();
    assert_eq!(limiter.down(), Changed { from: 10, to: 8 });
    assert_eq!(limiter.down(), Held { remaining: HOLD });
    clock.advance(HOLD - TICK);
    assert_eq!(limiter.up(), Held { remaining: TICK });
    assert_eq!(limiter.snapshot().hold_remaining, TICK);
    assert_eq!(limiter.ceiling(), 8);
    clock.advance(TICK);
    assert_eq!(limiter.snapshot().hold_remaining, Duration::ZERO);
    assert_eq!(limiter.up(), Changed { from: 8, to: 9 });
    assert_eq!(limiter.up(), Held { remaining: HOLD });
}

/// I7: the Go original never lets a frequent caller through.
#[test]
fn refused_calls_do_not_restart_the_hold() {
    let (clock, limiter) = limiter();
    let _ = limiter.up();
    for second in 1..30 {
        clock.advance(Duration::from_secs(1));
        assert_eq!(limiter.up(), Held { remaining: HOLD - Duration::from_secs(second) });
        assert_eq!(limiter.ceiling(), 11);
    }
    clock.advance(Duration::from_secs(1));
    assert_eq!(limiter.up(), Changed { from: 11, to: 12 });
}

/// I7: and claims nothing.
#[test]
fn call_at_the_bound_neither_starts_nor_restarts_a_hold() {
    let (clock, builder) = builder();
    let limiter = builder.max(10).build().unwrap();
    assert_eq!(limiter.up(), Unchanged { ceiling: 10 });
    assert_eq!(limiter.set_ceiling(99), Unchanged { ceiling: 10 });
    assert_eq!(limiter.down(), Changed { from: 10, to: 8 });
    clock.advance(HOLD);
    let _ = limiter.set_ceiling(10);
    clock.advance(HOLD / 2);
    assert_eq!(limiter.up(), Unchanged { ceiling: 10 }, "told before Held");
    assert_eq!(limiter.set_ceiling(10), Unchanged { ceiling: 10 });
    assert_eq!(limiter.down(), Held { remaining: HOLD / 2 });
    clock.advance(HOLD / 2);
    assert_eq!(limiter.down(), Changed { from: 10, to: 8 });
}

/// I7: an absolute change is let through, and counts.
#[test]
fn set_ceiling_is_not_held_but_starts_a_hold() {
    let (clock, limiter) = limiter();
    assert_eq!(limiter.set_ceiling(5), Changed { from: 10, to: 5 });
    assert_eq!(limiter.up(), Held { remaining: HOLD });
    clock.advance(Duration::from_secs(20));
    assert_eq!(limiter.set_ceiling(6), Changed { from: 5, to: 6 });
    clock.advance(Duration::from_secs(20));
    assert_eq!(limiter.up(), Held { remaining: Duration::from_secs(10) }, "of the new hold");
    clock.advance(Duration::from_secs(10));
    assert_eq!(limiter.up(), Changed { from: 6, to: 7 });
    assert_eq!(limiter.set_ceiling(6), Changed { from: 7, to: 6 }, "right after a step");
}

#[test]
fn pausing_has_nothing_to_do_with_the_hold() {
    let (_clock, limiter) = limiter();
    limiter.pause();
    assert_eq!(limiter.up(), Changed { from: 10, to: 11 }, "also while paused");
    limiter.resume();
    assert_eq!(limiter.up(), Held { remaining: HOLD });
    limiter.pause();
    limiter.resume();
}

#[test]
fn without_a_hold_every_step_succeeds() {
    let (_clock, builder) = builder();
    let limiter = builder.hold(Duration::ZERO).build().unwrap();
    for from in 10..20 {
        assert_eq!(limiter.up(), Changed { from, to: from + 1 });
    }
    assert_eq!(limiter.up(), Unchanged { ceiling: 20 });
    assert_eq!(limiter.snapshot().hold_remaining, Duration::ZERO);
}

/// I8.
#[test]
fn steps_end_at_the_bounds() {
    let (clock, builder) = builder();
    let limiter = builder.min(4).up(7).down(9).build().unwrap();
    let step = |adjust| {
        let result = limiter.adjust(adjust, "test");
        clock.advance(HOLD);
        result
    };
    assert_eq!(step(Adjust::Up), Changed { from: 10, to: 17 });
    assert_eq!(step(Adjust::Up), Changed { from: 17, to: 20 });
    assert_eq!(step(Adjust::Up), Unchanged { ceiling: 20 });
    assert_eq!(step(Adjust::Down), Changed { from: 20, to: 11 });
    assert_eq!(step(Adjust::Down), Changed { from: 11, to: 4 });
    assert_eq!(step(Adjust::Down), Unchanged { ceiling: 4 });
}

/// I8: the largest steps do not overflow.
#[test]
fn largest_steps_saturate() {
    const MAX: usize = Limiter::MAX_CEILING;
    let limiter = Limiter::builder("throttle").ceiling(MAX - 1).max(MAX).min(0).up(MAX).down(MAX);
    let limiter = limiter.hold(Duration::ZERO).build().unwrap();
    assert_eq!(limiter.up(), Changed { from: MAX - 1, to: MAX });
    assert_eq!(limiter.down(), Changed { from: MAX, to: 0 });
    assert_eq!(limiter.up(), Changed { from: 0, to: MAX });
}

/// I8.
#[test]
fn set_ceiling_is_clamped_to_the_bounds() {
    let (_clock, builder) = builder();
    let limiter = builder.min(4).build().unwrap();
    assert_eq!(limiter.set_ceiling(0), Changed { from: 10, to: 4 });
    assert_eq!(limiter.set_ceiling(3), Unchanged { ceiling: 4 });
    assert_eq!(limiter.set_ceiling(usize::MAX), Changed { from: 4, to: 20 });
    assert_eq!(limiter.set_ceiling(21), Unchanged { ceiling: 20 });
    assert_eq!(limiter.adjust(Adjust::To(7), "test"), Changed { from: 20, to: 7 });
}

#[test]
fn steps_are_what_was_configured() {
    let (clock, limiter) = limiter();
    let throttle = limiter.throttle();
    assert_eq!((throttle.min, throttle.max, throttle.up, throttle.down), (1, 20, 1, 2));
    assert_eq!(throttle.hold, HOLD);
    assert_eq!(limiter.adjust(Adjust::Down, "test"), Changed { from: 10, to: 8 });
    clock.advance(HOLD);
    assert_eq!(limiter.adjust(Adjust::Up, "test"), Changed { from: 8, to: 9 });
}

/// I7: the clock of the system needs no setting up, and no time passes in its hold.
#[test]
fn system_clock_is_the_default() {
    let limiter = Limiter::new("throttle", 10);
    assert_eq!(limiter.down(), Changed { from: 10, to: 8 });
    let Held { remaining } = limiter.down() else { panic!("30 seconds are not over") };
    assert!(remaining <= HOLD);
    assert!(limiter.snapshot().hold_remaining <= remaining);
}

/// I7: however many call at once.
#[test]
fn many_threads_get_one_change_per_hold() {
    const ROUNDS: usize = 200;
    const THREADS: usize = 4;
    let (clock, builder) = builder();
    let limiter = builder.max(10 + ROUNDS).build().unwrap();
    let changes = AtomicUsize::new(0);
    let barrier = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (limiter, changes, barrier, clock) = (&limiter, &changes, &barrier, &clock);
            scope.spawn(move || {
                for round in 1..=ROUNDS {
                    barrier.wait();
                    if let Changed { .. } = limiter.up() {
                        changes.fetch_add(1, SeqCst);
                    }
                    barrier.wait();
                    if thread == 0 {
                        assert_eq!(changes.load(SeqCst), round);
                        clock.advance(HOLD);
                    }
                }
            });
        }
    });
    assert_eq!(limiter.ceiling(), 10 + ROUNDS);
}

/// A clock that, when it is asked next, lets somebody else in.
#[derive(Clone, Default)]
struct Interrupted {
    time: ManualClock,
    interrupt: Arc<Mutex<Option<Interrupt>>>,
    /// Whether it then tells the time from before.
    stale: bool,
}

type Interrupt = Box<dyn FnOnce() + Send>;

impl Clock for Interrupted {
    fn now(&self) -> Duration {
        let before = self.time.now();
        let interrupt = self.interrupt.lock().unwrap().take();
        if let Some(interrupt) = interrupt {
            interrupt();
        }
        if self.stale { before } else { self.time.now() }
    }
}

/// I7: the window that was claimed for nothing is given back to the hold before it, which is over.
#[test]
fn claim_that_finds_nothing_to_change_gives_the_window_back() {
    let clock = Interrupted::default();
    let limiter = Limiter::builder("throttle").ceiling(10).max(20).clock(clock.clone());
    let limiter = Arc::new(limiter.build().unwrap());
    clock.time.advance(Duration::from_secs(10));
    *clock.interrupt.lock().unwrap() = Some({
        let (limiter, time) = (limiter.clone(), clock.time.clone());
        Box::new(move || {
            assert_eq!(limiter.set_ceiling(20), Changed { from: 10, to: 20 });
            time.advance(HOLD);
        })
    });
    // It has seen 10, and finds 20 when it comes to change it.
    assert_eq!(limiter.up(), Unchanged { ceiling: 20 });
    assert_eq!(limiter.down(), Changed { from: 20, to: 18 });
}

/// I7: a hold that `set_ceiling` begins does not end before that of a step made meanwhile.
#[test]
fn set_ceiling_does_not_shorten_the_hold_of_a_step() {
    let clock = Interrupted { stale: true, ..Interrupted::default() };
    let limiter = Limiter::builder("throttle").ceiling(10).max(60).clock(clock.clone());
    let limiter = Arc::new(limiter.build().unwrap());
    *clock.interrupt.lock().unwrap() = Some({
        let (limiter, time) = (limiter.clone(), clock.time.clone());
        Box::new(move || {
            time.advance(Duration::from_secs(20));
            assert_eq!(limiter.up(), Changed { from: 50, to: 51 });
        })
    });
    assert_eq!(limiter.set_ceiling(50), Changed { from: 10, to: 50 });
    clock.time.advance(Duration::from_secs(10));
    assert_eq!(limiter.up(), Held { remaining: HOLD - Duration::from_secs(10) });
}

/// I7: `set_ceiling` begins its hold before it wakes anybody.
#[test]
fn step_of_a_waker_woken_by_set_ceiling_is_held() {
    let (_, builder) = builder();
    let limiter = Arc::new(builder.ceiling(1).build().unwrap());
    let held = limiter.try_acquire().unwrap();
    let waiter = waiter(&limiter, 1);
    let step = Arc::new(OnceLock::new());
    waiter.on_wake({
        let (limiter, step) = (limiter.clone(), step.clone());
        move || step.set(limiter.up()).expect("woken once")
    });
    assert_eq!(limiter.set_ceiling(2), Changed { from: 1, to: 2 });
    assert_eq!(step.get(), Some(&Held { remaining: HOLD }));
    drop((waiter.granted(), held));
}

/// I7: a hold that would end after the end of time lasts until then.
#[test]
fn hold_at_the_end_of_time_lasts_until_then() {
    let (clock, limiter) = limiter();
    clock.advance(Duration::from_nanos(u64::MAX >> 1) - Duration::from_secs(10));
    assert_eq!(limiter.up(), Changed { from: 10, to: 11 });
    assert_eq!(limiter.up(), Held { remaining: Duration::from_secs(10) });
    clock.advance(Duration::from_secs(10));
    assert_eq!(limiter.up(), Changed { from: 11, to: 12 });
}

/// I7: a step that waited for its window while somebody else took it.
#[test]
fn step_that_comes_second_in_its_window_is_held() {
    let clock = Interrupted::default();
    let limiter = Limiter::builder("throttle").ceiling(10).max(20).clock(clock.clone());
    let limiter = Arc::new(limiter.build().unwrap());
    *clock.interrupt.lock().unwrap() = Some({
        let limiter = limiter.clone();
        Box::new(move || assert_eq!(limiter.up(), Changed { from: 10, to: 11 }))
    });
    assert_eq!(limiter.up(), Held { remaining: HOLD });
    assert_eq!(limiter.ceiling(), 11);
}

/// A clock set to any time.
#[derive(Clone)]
struct SetClock(Arc<Mutex<Duration>>);

impl SetClock {
    fn new(at: Duration) -> Self {
        Self(Arc::new(Mutex::new(at)))
    }

    fn set(&self, at: Duration) {
        *self.0.lock().unwrap() = at;
    }

    fn limiter(&self, hold: Duration) -> Limiter {
        let builder = Limiter::builder("throttle").ceiling(10).max(20).clock(self.clone());
        builder.hold(hold).build().unwrap()
    }
}

impl Clock for SetClock {
    fn now(&self) -> Duration {
        *self.0.lock().unwrap()
    }
}

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// I7: the origin is arbitrary, within the 292 years that are documented.
#[test]
fn clock_with_an_early_origin_holds_as_any_other() {
    for years in [56, 126, 145, 147, 291] {
        let clock = SetClock::new(YEAR * years);
        let limiter = clock.limiter(HOLD);
        assert_eq!(limiter.up(), Changed { from: 10, to: 11 });
        assert_eq!(limiter.up(), Held { remaining: HOLD }, "{years} years after the origin");
        clock.set(YEAR * years + HOLD);
        assert_eq!(limiter.up(), Changed { from: 11, to: 12 });
    }
}

/// I7: at the end of all clocks nothing overflows, and the limiter goes on working.
#[test]
fn clock_at_its_end_does_no_harm() {
    let clock = SetClock::new(Duration::MAX);
    let limiter = clock.limiter(HOLD);
    assert_eq!(limiter.up(), Changed { from: 10, to: 11 });
    let _ = limiter.up();
    let _ = limiter.set_ceiling(20);
    assert_eq!(limiter.set_ceiling(5), Changed { from: 20, to: 5 });
    assert!(limiter.snapshot().hold_remaining <= HOLD);
    drop(limiter.try_acquire().unwrap());
}

/// I7: the longest hold lasts.
#[test]
fn longest_hold_lasts() {
    let clock = SetClock::new(Duration::from_secs(1));
    let limiter = clock.limiter(Duration::MAX);
    assert_eq!(limiter.throttle().hold, Duration::MAX);
    assert_eq!(limiter.up(), Changed { from: 10, to: 11 });
    for years in [0, 1, 100] {
        clock.set(YEAR * years);
        let Held { remaining } = limiter.up() else { panic!("after {years} years") };
        assert!(remaining >= YEAR, "{remaining:?}");
    }
    assert_eq!(limiter.set_ceiling(5), Changed { from: 11, to: 5 });
}

/// I7: as documented, such a clock makes the hold longer and breaks nothing.
#[test]
fn clock_that_goes_backwards_makes_the_hold_longer() {
    let clock = SetClock::new(HOLD * 4);
    let limiter = clock.limiter(HOLD);
    let _ = limiter.up();
    clock.set(HOLD);
    assert_eq!(limiter.up(), Held { remaining: HOLD * 4 });
    clock.set(HOLD * 5);
    assert_eq!(limiter.up(), Changed { from: 11, to: 12 });
}

#[test]
fn manual_clock_stops_at_its_end_and_is_shared_by_its_clones() {
    let clock = ManualClock::default();
    let clone = clock.clone();
    assert_eq!(clock.now(), Duration::ZERO);
    clone.advance(TICK);
    assert_eq!(clock.now(), TICK);
    clock.advance(Duration::MAX);
    clock.advance(Duration::MAX);
    assert!(clone.now() > YEAR * 500);
    assert_eq!(clone.now(), clock.now());
}
