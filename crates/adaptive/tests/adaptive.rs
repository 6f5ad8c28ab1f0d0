//! The limiter whose ceiling a controller moves.
#![cfg(feature = "std")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use grmgr::{Handle, Limiter, ManualClock};
use grmgr_adaptive::{Adaptive, Controller, Outcome, Sample};

const TICK: Duration = Duration::from_millis(1);

/// What a test wants a controller to do with a sample.
type Told = Arc<dyn Fn(usize, Sample) -> usize + Send + Sync>;

struct Scripted {
    ceiling: usize,
    told: Told,
}

impl Controller for Scripted {
    fn observe(&mut self, _: Duration, sample: Sample) -> Option<usize> {
        let before = self.ceiling;
        self.ceiling = (self.told)(before, sample);
        (self.ceiling != before).then_some(self.ceiling)
    }

    fn ceiling(&self) -> usize {
        self.ceiling
    }
}

fn scripted(
    ceiling: usize,
    told: impl Fn(usize, Sample) -> usize + Send + Sync + 'static,
) -> Scripted {
    Scripted { ceiling, told: Arc::new(told) }
}

fn limiter(ceiling: usize) -> (Handle, ManualClock) {
    let clock = ManualClock::new();
    clock.advance(TICK);
    let limiter = Limiter::builder("backend").ceiling(ceiling).max(100).clock(clock.clone());
    (limiter.build().unwrap().into(), clock)
}

fn request(adaptive: &Adaptive, clock: &ManualClock, outcome: Outcome) {
    let permit = adaptive.try_acquire().unwrap();
    clock.advance(TICK);
    permit.end(outcome);
}

#[test]
fn the_setting_and_other_caps_stay_as_they_are() {
    let (limiter, clock) = limiter(20);
    let share = limiter.cap("share").unwrap();
    share.set(15);
    let down = scripted(12, |ceiling, _| ceiling - 1);
    let adaptive = Adaptive::builder(limiter.clone()).controller(down).build().unwrap();
    for _ in 0..5 {
        request(&adaptive, &clock, Outcome::Success);
    }
    assert_eq!((limiter.setting(), share.get(), limiter.ceiling()), (20, Some(15), 7));
    share.set(3);
    assert_eq!(limiter.ceiling(), 3, "the lowest rules");
    drop(share);
    assert_eq!(limiter.set_ceiling(5), grmgr::Adjustment::Changed { from: 20, to: 5 });
    assert_eq!(limiter.ceiling(), 5);
}

#[test]
fn a_controller_cannot_raise_the_ceiling_above_the_setting() {
    let (limiter, clock) = limiter(20);
    let up = scripted(12, |_, _| 1_000_000);
    let adaptive = Adaptive::builder(limiter.clone()).controller(up).build().unwrap();
    request(&adaptive, &clock, Outcome::Success);
    assert_eq!((adaptive.snapshot().wanted, limiter.ceiling()), (1_000_000, 20));
}

#[test]
fn the_cap_is_lifted_with_the_last_clone_and_the_last_permit() {
    let (limiter, _) = limiter(20);
    let adaptive =
        Adaptive::builder(limiter.clone()).controller(scripted(4, |c, _| c)).build().unwrap();
    let permit = smol::block_on(adaptive.acquire_owned()).unwrap();
    drop(adaptive);
    assert_eq!(limiter.caps(), [("adaptive".into(), 4)]);
    drop(permit);
    assert_eq!((limiter.ceiling(), limiter.caps().len()), (20, 0));
}

#[test]
fn a_controller_that_panics_is_not_asked_again_and_its_cap_is_lifted() {
    let (limiter, clock) = limiter(20);
    let asked = Arc::new(AtomicUsize::new(0));
    let panics = scripted(4, {
        let asked = asked.clone();
        move |_, _| {
            asked.fetch_add(1, SeqCst);
            panic!("the controller's bug")
        }
    });
    let adaptive = Adaptive::builder(limiter.clone()).controller(panics).build().unwrap();
    for _ in 0..5 {
        request(&adaptive, &clock, Outcome::Success);
    }
    assert_eq!((limiter.ceiling(), limiter.in_flight()), (20, 0));
    assert_eq!(asked.load(SeqCst), 1);
    let snapshot = adaptive.snapshot();
    assert_eq!((snapshot.failed, snapshot.cap), (true, None));
}

#[test]
fn a_dry_run_decides_and_moves_nothing() {
    let (limiter, clock) = limiter(20);
    let down = scripted(20, |ceiling, _| ceiling - 1);
    let adaptive =
        Adaptive::builder(limiter.clone()).controller(down).dry_run(true).build().unwrap();
    for _ in 0..5 {
        request(&adaptive, &clock, Outcome::Success);
    }
    let snapshot = adaptive.snapshot();
    assert_eq!((snapshot.wanted, snapshot.cap, snapshot.dry_run), (15, None, true));
    assert_eq!(limiter.ceiling(), 20);
}

#[test]
fn a_permit_tells_when_it_began_and_how_it_ended() {
    let (limiter, clock) = limiter(20);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = scripted(20, {
        let seen = seen.clone();
        move |ceiling, sample| {
            seen.lock().unwrap().push(sample);
            ceiling
        }
    });
    let adaptive = Adaptive::builder(limiter).controller(notes).build().unwrap();
    let first = adaptive.try_acquire().unwrap();
    clock.advance(3 * TICK);
    let second = adaptive.acquire_blocking().unwrap();
    clock.advance(4 * TICK);
    first.success();
    second.overload();
    clock.advance(TICK);
    drop(adaptive.try_acquire().unwrap());
    adaptive.try_acquire().unwrap().ignore();
    request(&adaptive, &clock, Outcome::Success);

    let sample = |started: u32, latency: u32, in_flight, outcome| Sample {
        started: TICK * started,
        latency: TICK * latency,
        in_flight,
        outcome,
    };
    let wanted = [
        sample(1, 7, 1, Outcome::Success),
        sample(4, 4, 2, Outcome::Overload),
        sample(9, 1, 1, Outcome::Success),
    ];
    assert_eq!(*seen.lock().unwrap(), wanted, "what is dropped or ignored is not told");
}

#[test]
fn what_began_before_a_move_was_in_force_has_begun_before_it_was_decided() {
    let (limiter, clock) = limiter(20);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let this = Arc::new(OnceLock::<Adaptive>::new());
    let between = Arc::new(OnceLock::new());
    let notes = scripted(20, {
        let (seen, clock) = (seen.clone(), clock.clone());
        let (this, between) = (this.clone(), between.clone());
        move |ceiling, sample| {
            seen.lock().unwrap().push((sample.started, sample.latency));
            // Thinking takes time, in which another request begins.
            clock.advance(2 * TICK);
            between.get_or_init(|| this.get().unwrap().started());
            clock.advance(2 * TICK);
            ceiling - 1
        }
    });
    let adaptive = Adaptive::builder(limiter).controller(notes).build().unwrap();
    this.set(adaptive.clone()).unwrap();
    let first = adaptive.started();
    clock.advance(TICK);
    // It ends, and the controller decides, at 2. The other begins at 4. The move is in force at 6.
    adaptive.record(first, Outcome::Success);
    clock.advance(TICK);
    adaptive.record(*between.get().unwrap(), Outcome::Success);
    let just_before = 2 * TICK - Duration::from_nanos(1);
    assert_eq!(*seen.lock().unwrap(), [(TICK, TICK), (just_before, 3 * TICK)]);
}

#[test]
fn the_cap_does_not_go_below_the_floor() {
    let (limiter, clock) = limiter(20);
    let down = scripted(20, |_, _| 1);
    let adaptive = Adaptive::builder(limiter.clone()).controller(down).floor(6).build().unwrap();
    request(&adaptive, &clock, Outcome::Success);
    assert_eq!((adaptive.snapshot().wanted, limiter.ceiling()), (1, 6));
}

#[test]
fn nothing_is_measured_and_nothing_moved_while_it_warms_up() {
    let (limiter, clock) = limiter(20);
    let down = scripted(10, |ceiling, _| ceiling - 1);
    let adaptive =
        Adaptive::builder(limiter.clone()).controller(down).warm_up(10 * TICK).build().unwrap();
    for _ in 0..10 {
        request(&adaptive, &clock, Outcome::Success);
    }
    assert_eq!((limiter.ceiling(), adaptive.snapshot().samples), (20, 0));
    request(&adaptive, &clock, Outcome::Success);
    assert_eq!((limiter.ceiling(), adaptive.snapshot().samples), (9, 1));
}

#[test]
fn a_limiter_with_eight_caps_has_no_room_for_it() {
    let (limiter, _) = limiter(20);
    let caps: Vec<_> = (0..8).map(|_| limiter.cap("share").unwrap()).collect();
    assert_eq!(Adaptive::new(limiter.clone()).unwrap_err().limiter, "backend");
    drop(caps);
    assert!(Adaptive::new(limiter.clone()).is_ok());
}

#[test]
fn one_thread_at_a_time_runs_the_controller_and_every_sample_is_seen_or_counted_as_lost() {
    const THREADS: u64 = 4;
    const EACH: u64 = 20_000;
    let limiter = Handle::from(Limiter::new("backend", 20));
    let inside = Arc::new(AtomicBool::new(false));
    let asked = Arc::new(AtomicUsize::new(0));
    let alone = scripted(20, {
        let (inside, asked) = (inside.clone(), asked.clone());
        move |ceiling, _| {
            assert!(!inside.swap(true, SeqCst), "two at once");
            asked.fetch_add(1, SeqCst);
            inside.store(false, SeqCst);
            ceiling
        }
    });
    let adaptive = Adaptive::builder(limiter.clone()).controller(alone).build().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..EACH {
                    adaptive.acquire_blocking().unwrap().success();
                }
            });
        }
    });
    // Those that still lie in the queue are brought along by later ones.
    let mut total = THREADS * EACH;
    let told = |adaptive: &Adaptive| adaptive.snapshot().samples + adaptive.snapshot().lost;
    for _ in 0..1_000_000 {
        if told(&adaptive) == total {
            break;
        }
        adaptive.try_acquire().unwrap().success();
        total += 1;
    }
    let snapshot = adaptive.snapshot();
    assert_eq!(snapshot.samples + snapshot.lost, total);
    assert_eq!(snapshot.samples, asked.load(SeqCst) as u64);
    assert!(!snapshot.failed);
    assert_eq!(limiter.in_flight(), 0);
}

#[test]
fn a_waker_that_panics_leaves_the_controller_in_order() {
    use std::task::{Context, Wake, Waker};

    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("the executor's bug");
        }
    }

    let (limiter, clock) = limiter(20);
    let steps = Arc::new(AtomicUsize::new(1));
    let up = scripted(1, {
        let steps = steps.clone();
        move |_, _| steps.load(SeqCst)
    });
    let adaptive = Adaptive::builder(limiter.clone()).controller(up).build().unwrap();
    let permit = adaptive.try_acquire().unwrap();
    let mut waiting = std::pin::pin!(limiter.acquire());
    let waker = Waker::from(Arc::new(Panics));
    assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    // Raising the ceiling wakes the waiter, within the controller's turn.
    steps.store(3, SeqCst);
    clock.advance(TICK);
    let started = adaptive.started();
    let bug = std::panic::AssertUnwindSafe(|| adaptive.record(started, Outcome::Success));
    assert!(std::panic::catch_unwind(bug).is_err());
    drop(permit);
    steps.store(4, SeqCst);
    request(&adaptive, &clock, Outcome::Success);
    assert_eq!((limiter.ceiling(), adaptive.snapshot().failed), (4, false));
}
