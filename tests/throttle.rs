//! How far and how often the ceiling moves (I7, I8), by a clock that the tests move.

#![cfg(feature = "std")]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex, OnceLock};
use std::time::{Duration, Instant};

use common::waiter;
use grmgr::Adjustment::{Changed, Held, Unchanged};
use grmgr::{Adjust, Builder, Clock, Limiter, ManualClock, Step, SystemClock, Throttle};

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

#[test]
fn clock_of_the_system_goes_on() {
    let (before, began) = (SystemClock.now(), Instant::now());
    while SystemClock.now() == before {
        assert!(began.elapsed() < Duration::from_secs(10), "it stands still");
    }
}

#[test]
fn manual_clock_ends_where_its_nanoseconds_do() {
    let clock = ManualClock::new();
    clock.advance(Duration::MAX);
    assert_eq!(clock.now(), Duration::from_nanos(u64::MAX));
}

#[test]
fn throttle_of_code_has_what_its_setters_were_given() {
    let [both, up, down] = [1, 2, 3].map(Duration::from_secs);
    let throttle = Throttle::new(20).min(5).max(50).up(3).down(Step::Percent(10)).hold(both);
    assert_eq!((throttle.min, throttle.max), (5, 50));
    assert_eq!((throttle.up, throttle.down), (Step::By(3), Step::Percent(10)));
    assert_eq!((throttle.hold_up, throttle.hold_down), (both, both));
    let throttle = throttle.hold_up(up).hold_down(down);
    assert_eq!((throttle.hold_up, throttle.hold_down), (up, down));
}

/// For how long steps up, and steps down, are held back.
fn holds(limiter: &Limiter) -> [Duration; 2] {
    let now = limiter.snapshot();
    [now.hold_up_remaining, now.hold_down_remaining]
}

/// I7: creation starts no hold, wherever the clock stands.
#[test]
fn first_change_is_not_held() {
    for start in [Duration::ZERO, TICK, Duration::from_secs(1_000_000_000)] {
        let (clock, limiter) = limiter();
        clock.advance(start);
        assert_eq!(holds(&limiter), [Duration::ZERO; 2]);
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
    assert_eq!(holds(&limiter), [TICK; 2]);
    assert_eq!(limiter.ceiling(), 8);
    clock.advance(TICK);
    assert_eq!(holds(&limiter), [Duration::ZERO; 2]);
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
    assert_eq!(holds(&limiter), [Duration::ZERO; 2]);
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
    assert_eq!((throttle.min, throttle.max), (1, 20));
    assert_eq!((throttle.up, throttle.down), (Step::By(1), Step::By(2)));
    assert_eq!((throttle.hold_up, throttle.hold_down), (HOLD, HOLD));
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
    assert!(holds(&limiter) <= [remaining; 2]);
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

/// A clock that lets another call in when it is asked next.
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

/// I7: a step that finds nothing to change begins no hold.
#[test]
fn step_that_finds_nothing_to_change_begins_no_hold() {
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
    // It was called at 10, and finds 20 when it comes to change it.
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
            assert_eq!(limiter.up(), Changed { from: 10, to: 11 });
        })
    });
    assert_eq!(limiter.set_ceiling(50), Changed { from: 11, to: 50 });
    clock.time.advance(Duration::from_secs(10));
    assert_eq!(limiter.up(), Held { remaining: HOLD - Duration::from_secs(10) });
}

/// I7: `set_ceiling` begins its hold before it wakes a waiter.
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
    clock.advance(Duration::from_nanos(u64::MAX) - Duration::from_secs(10));
    assert_eq!(limiter.up(), Changed { from: 10, to: 11 });
    assert_eq!(limiter.up(), Held { remaining: Duration::from_secs(10) });
    clock.advance(Duration::from_secs(10));
    assert_eq!(limiter.up(), Changed { from: 11, to: 12 });
}

/// I7: a step that waited for its window while another took it.
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

/// I7: the origin is arbitrary, within the 584 years that are documented.
#[test]
fn clock_with_an_early_origin_holds_as_any_other() {
    for years in [56, 126, 145, 147, 291, 293, 583] {
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
    assert!(holds(&limiter) <= [HOLD; 2]);
    drop(limiter.try_acquire().unwrap());
}

/// I7: the longest hold lasts.
#[test]
fn longest_hold_lasts() {
    let clock = SetClock::new(Duration::from_secs(1));
    let limiter = clock.limiter(Duration::MAX);
    assert_eq!(limiter.throttle().hold_up, Duration::MAX);
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

/// Ceiling 20 out of 1 to 40; up after 30 s, down after 5 s.
fn careful_up_quick_down() -> (ManualClock, Limiter) {
    let (clock, builder) = builder();
    let builder = builder.ceiling(20).max(40).down(Step::Percent(50));
    let builder = builder.hold_up(HOLD).hold_down(Duration::from_secs(5));
    (clock, builder.build().unwrap())
}

/// I7: careful up, quick down. After any change each direction has a hold of its own.
#[test]
fn each_direction_has_its_own_hold() {
    let (clock, limiter) = careful_up_quick_down();
    let five = Duration::from_secs(5);
    assert_eq!(limiter.up(), Changed { from: 20, to: 21 });
    assert_eq!(holds(&limiter), [HOLD, five]);
    assert_eq!(limiter.down(), Held { remaining: five });
    clock.advance(five);
    assert_eq!(limiter.up(), Held { remaining: HOLD - five });
    assert_eq!(limiter.down(), Changed { from: 21, to: 11 });
    assert_eq!(limiter.down(), Held { remaining: five });
    clock.advance(five);
    assert_eq!(limiter.down(), Changed { from: 11, to: 6 });
    clock.advance(HOLD - TICK);
    assert_eq!(limiter.up(), Held { remaining: TICK });
    clock.advance(TICK);
    assert_eq!(limiter.up(), Changed { from: 6, to: 7 });
}

/// I7: an emergency brake is never held back, and holds back the next step up.
#[test]
fn without_a_hold_down_every_step_down_succeeds() {
    let (_clock, builder) = builder();
    let limiter = builder.down(Step::Percent(50)).hold_down(Duration::ZERO).build().unwrap();
    assert_eq!(limiter.up(), Changed { from: 10, to: 11 });
    for (from, to) in [(11, 6), (6, 3), (3, 2), (2, 1)] {
        assert_eq!(limiter.down(), Changed { from, to });
        assert_eq!(limiter.up(), Held { remaining: HOLD });
    }
    assert_eq!(limiter.down(), Unchanged { ceiling: 1 });
}

/// A clock that goes backwards lengthens a hold, but makes none where there is none.
#[test]
fn without_a_hold_a_clock_that_goes_backwards_holds_nothing() {
    let clock = SetClock::new(HOLD);
    let limiter = clock.limiter(Duration::ZERO);
    assert_eq!(limiter.up(), Changed { from: 10, to: 11 });
    clock.set(Duration::ZERO);
    assert_eq!(limiter.up(), Changed { from: 11, to: 12 });
}

#[test]
fn shares_are_rounded_down_and_at_least_one() {
    let (_clock, builder) = builder();
    let builder = builder.max(1_000).min(0).hold(Duration::ZERO);
    let limiter = builder.up(Step::Percent(10)).down(Step::Percent(33)).build().unwrap();
    for (setting, up, down) in [(0, 1, 0), (1, 2, 0), (9, 10, 7), (19, 20, 13), (100, 110, 67)] {
        let _ = limiter.set_ceiling(setting);
        assert_eq!(limiter.up(), Changed { from: setting, to: up });
        let _ = limiter.set_ceiling(setting);
        let _ = limiter.down();
        assert_eq!(limiter.setting(), down, "down from {setting}");
    }
    let whole = limiter.throttle().down(Step::Percent(100)).up(Step::Percent(100));
    limiter.reconfigure(whole).unwrap();
    let _ = limiter.set_ceiling(400);
    assert_eq!(limiter.up(), Changed { from: 400, to: 800 });
    assert_eq!(limiter.down(), Changed { from: 800, to: 0 });
}

/// A share of the largest setting does not overflow.
#[test]
fn share_of_the_largest_setting_is_exact() {
    const MAX: usize = Limiter::MAX_CEILING;
    assert_eq!(Step::Percent(100).of(MAX), MAX);
    assert_eq!(Step::Percent(50).of(MAX), MAX / 2);
    // Nor of what no limiter has.
    assert_eq!(Step::Percent(100).of(usize::MAX), usize::MAX);
    assert_eq!(Step::Percent(u8::MAX).of(usize::MAX), usize::MAX);
    let throttle = Throttle::new(MAX).up(Step::Percent(50)).down(Step::Percent(50));
    assert_eq!(throttle.next(usize::MAX, Adjust::Up), MAX);
    assert_eq!(throttle.next(usize::MAX, Adjust::Down), MAX);
}

/// A clock that panics when it is told to.
#[derive(Clone, Default)]
struct Panics(ManualClock, Arc<AtomicUsize>);

impl Clock for Panics {
    fn now(&self) -> Duration {
        assert!(self.1.load(SeqCst) == 0, "the clock panics");
        self.0.now()
    }
}

/// I18: nothing has changed then, no hold has begun, and the limiter goes on.
#[test]
fn clock_that_panics_leaves_everything_as_it_was() {
    let clock = Panics::default();
    let builder = Limiter::builder("throttle").ceiling(2).max(20).clock(clock.clone());
    let limiter = builder.build().unwrap();
    let held = common::take_all(&limiter);
    let [first, second] = common::waiters(&limiter);
    let changes: [&dyn Fn(); 5] = [
        &|| _ = limiter.up(),
        &|| _ = limiter.down(),
        &|| _ = limiter.set_ceiling(10),
        &|| _ = limiter.adjust(Adjust::To(1), "test"),
        &|| _ = limiter.reconfigure(limiter.throttle().max(30).min(4)),
    ];
    let before = limiter.throttle();
    for change in changes {
        clock.1.store(1, SeqCst);
        assert_eq!(common::panic_of(change), "the clock panics");
        clock.1.store(0, SeqCst);
        assert_eq!((limiter.setting(), limiter.ceiling(), limiter.throttle()), (2, 2, before));
        assert_eq!(holds(&limiter), [Duration::ZERO; 2]);
        assert!(!first.is_woken());
    }
    // It is not asked once something has changed: the waiters have been woken.
    assert_eq!(limiter.set_ceiling(4), Changed { from: 2, to: 4 });
    drop((first.granted(), second.granted(), held));
    common::assert_at_rest(&limiter);
}

#[test]
fn changes_are_read_from_text_and_written_as_it() {
    for (text, adjust) in [("up", Adjust::Up), ("down", Adjust::Down), ("12", Adjust::To(12))] {
        assert_eq!(text.parse(), Ok(adjust));
        assert_eq!(adjust.to_string(), text);
    }
    for text in ["", "Up", "+3", "-1", " 5", "5 ", "1.5", "99999999999999999999999"] {
        let error = text.parse::<Adjust>().unwrap_err().to_string();
        assert!(error.starts_with(&format!("{text:?} is no change of a ceiling")), "{error}");
        assert!(error.contains("`up`, `down`"), "{error}");
    }
}

#[test]
fn outcomes_are_told_in_words() {
    let (clock, limiter) = limiter();
    assert_eq!(limiter.up().to_string(), "raised from 10 to 11");
    assert_eq!(limiter.up().to_string(), "held for another 30s");
    clock.advance(HOLD);
    assert_eq!(limiter.down().to_string(), "lowered from 11 to 9");
    assert_eq!(limiter.set_ceiling(9).to_string(), "unchanged at 9");
    assert_eq!([Step::By(5), Step::Percent(50)].map(|step| step.to_string()), ["5", "50%"]);
}
