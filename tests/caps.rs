//! Several hands on one ceiling: the lowest is in force (I15, I5, I6).

#![cfg(feature = "std")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{assert_at_rest, must_end, request, take_all, waiters, woken};
use grmgr::Adjustment::{Changed, Held, Unchanged};
use grmgr::{AcquireError, Limiter, ManualClock, OwnedCap, TryAcquireError};

const MAX: usize = Limiter::MAX_CEILING;

/// Ceiling 10 out of 2 to 20.
fn limiter() -> Limiter {
    Limiter::builder("caps").ceiling(10).min(2).max(20).build().unwrap()
}

/// The ceiling in force and the setting.
fn at(limiter: &Limiter) -> (usize, usize) {
    (limiter.ceiling(), limiter.setting())
}

#[test]
fn new_cap_caps_nothing_until_it_is_set() {
    let limiter = limiter();
    let cap = limiter.cap("load").unwrap();
    assert_eq!((at(&limiter), cap.get(), cap.cause()), ((10, 10), None, "load"));
    assert!(limiter.caps().is_empty());
    assert_eq!(cap.set(4), Changed { from: MAX, to: 4 });
    assert_eq!((at(&limiter), cap.get()), ((4, 10), Some(4)));
    assert_eq!(limiter.caps(), [("load".into(), 4)]);
    assert_eq!(cap.set(4), Unchanged { ceiling: 4 });
}

/// I15.
#[test]
fn lowest_of_the_hands_is_in_force() {
    let limiter = limiter();
    let [a, b] = ["a", "b"].map(|cause| limiter.cap(cause).unwrap());
    a.set(7);
    b.set(5);
    assert_eq!(at(&limiter), (5, 10));
    a.set(3);
    assert_eq!(at(&limiter), (3, 10));
    assert_eq!(limiter.set_ceiling(4), Changed { from: 10, to: 4 }, "speaks of the setting");
    assert_eq!(at(&limiter), (3, 4));
    drop(a);
    assert_eq!(at(&limiter), (4, 4), "now the setting is the lowest");
    let _ = limiter.set_ceiling(20);
    assert_eq!(at(&limiter), (5, 20));
    b.lift();
    assert_eq!((at(&limiter), b.get()), ((20, 20), None));
}

/// I15: neither starts a hold nor meets one, and does not move the setting.
#[test]
fn caps_and_holds_have_nothing_to_do_with_each_other() {
    let clock = ManualClock::new();
    let limiter = Limiter::builder("caps").ceiling(10).max(20).clock(clock.clone());
    let limiter = limiter.build().unwrap();
    let cap = limiter.cap("load").unwrap();
    cap.set(3);
    cap.set(5);
    assert_eq!(limiter.up(), Changed { from: 10, to: 11 });
    assert_eq!(limiter.up(), Held { remaining: Duration::from_secs(30) });
    assert_eq!(cap.set(4), Changed { from: 5, to: 4 });
    assert_eq!(at(&limiter), (4, 11));
    clock.advance(Duration::from_secs(30));
    assert_eq!(limiter.down(), Changed { from: 11, to: 9 }, "under a cap the setting moves on");
    assert_eq!(at(&limiter), (4, 9));
}

/// I15: `min` is a bound of the setting, not of caps.
#[test]
fn caps_go_below_min_and_as_high_as_they_like() {
    let limiter = limiter();
    let cap = limiter.cap("load").unwrap();
    cap.set(0);
    assert_eq!(at(&limiter), (0, 10));
    assert_eq!(limiter.try_acquire().unwrap_err(), TryAcquireError::NoPermits);
    assert_eq!(cap.set(1_000), Changed { from: 0, to: 1_000 });
    assert_eq!((at(&limiter), cap.get()), ((10, 10), Some(1_000)));
    for high in [MAX, MAX + 1, usize::MAX] {
        cap.set(5);
        assert_eq!(cap.set(high), Changed { from: 5, to: MAX });
        assert_eq!((cap.get(), limiter.caps().len()), (None, 0), "as if it were lifted");
    }
    assert_at_rest(&limiter);
}

/// I5, I6.
#[test]
fn lifting_a_cap_wakes_exactly_the_free_permits() {
    let limiter = limiter();
    let cap = limiter.cap("load").unwrap();
    cap.set(1);
    let held = take_all(&limiter);
    let line = waiters::<5>(&limiter);
    cap.set(0);
    drop(held);
    assert_eq!(woken(&line), [false; 5]);
    cap.set(2);
    assert_eq!(woken(&line), [true, true, false, false, false]);
    drop(cap);
    assert_eq!(woken(&line), [true; 5]);
    drop(line.map(|task| task.granted()));
    assert_at_rest(&limiter);
}

#[test]
fn raise_under_a_cap_wakes_nobody() {
    let limiter = limiter();
    let cap = limiter.cap("load").unwrap();
    cap.set(1);
    let held = take_all(&limiter);
    let line = waiters::<1>(&limiter);
    let _ = limiter.set_ceiling(20);
    assert_eq!(woken(&line), [false]);
    drop((held, line, cap));
    assert_at_rest(&limiter);
}

/// I1: a request between the cap and `max` runs alone, but not beside a cap of 0.
#[test]
fn large_request_runs_alone_under_a_cap() {
    let limiter = limiter();
    let cap = limiter.cap("load").unwrap();
    cap.set(0);
    let large = common::waiter(&limiter, 15);
    cap.set(1);
    let permit = large.granted();
    assert_eq!((permit.count(), limiter.ceiling()), (15, 1));
    drop(permit);
    drop(cap);
    assert_at_rest(&limiter);
}

#[test]
fn pause_and_caps_leave_each_other_alone() {
    let limiter = limiter();
    let cap = limiter.cap("load").unwrap();
    limiter.pause();
    cap.set(3);
    assert_eq!((limiter.ceiling(), limiter.is_paused()), (3, true));
    let line = waiters::<4>(&limiter);
    drop(cap);
    assert_eq!(woken(&line), [false; 4]);
    limiter.resume();
    assert_eq!(woken(&line), [true; 4]);
    drop(line);
    assert_at_rest(&limiter);
}

/// It works, and grants nothing.
#[test]
fn cap_on_a_closed_limiter_makes_no_difference() {
    let limiter = limiter();
    let before = limiter.cap("before").unwrap();
    before.set(1);
    limiter.close();
    before.set(5);
    let after = limiter.cap("after").unwrap();
    assert_eq!(after.set(3), Changed { from: MAX, to: 3 });
    assert_eq!(limiter.ceiling(), 3);
    drop((before, after));
    assert_eq!(request(&limiter, 1).refused(), AcquireError::Closed);
    assert_at_rest(&limiter);
}

#[test]
fn ninth_cap_is_refused_with_the_causes_of_those_there() {
    let limiter = limiter();
    let mut caps: Vec<_> = (1..=8).map(|n| limiter.cap(format!("cause {n}")).unwrap()).collect();
    caps[7].set(4);
    let error = limiter.cap("ninth").unwrap_err();
    let message = error.to_string();
    assert!(message.starts_with("limiter \"caps\" has 8 caps already (\"cause 1\", "), "{message}");
    assert!(message.ends_with(
        "\"cause 8\"): drop one of them, or let several causes share one and set it to the lowest"
    ));
    assert_eq!((error.causes.len(), limiter.ceiling()), (8, 4), "nothing has changed");
    drop(caps.remove(3));
    let ninth = limiter.cap("ninth").unwrap();
    assert_eq!(limiter.ceiling(), 4, "a slot used before caps nothing either");
    ninth.set(2);
    assert_eq!(limiter.caps(), [("ninth".into(), 2), ("cause 8".into(), 4)]);
}

#[test]
fn owned_cap_keeps_its_limiter_alive() {
    let limiter = Arc::new(limiter());
    let cap: OwnedCap = limiter.cap_owned("owned").unwrap();
    cap.set(1);
    drop(limiter);
    std::thread::spawn(move || assert_eq!(cap.limiter().ceiling(), 1)).join().unwrap();
}

#[test]
fn snapshot_says_which_hand_binds() {
    let limiter = limiter();
    let [a, b] = ["a", "b"].map(|cause| limiter.cap(cause).unwrap());
    assert_eq!(limiter.snapshot().bound_by(), None);
    a.set(10);
    b.set(15);
    let snapshot = limiter.snapshot();
    assert_eq!((snapshot.bound_by(), snapshot.caps.len()), (None, 2), "the setting is as low");
    a.set(5);
    let snapshot = limiter.snapshot();
    assert_eq!((snapshot.ceiling, snapshot.setting, snapshot.bound_by()), (5, 10, Some("a")));
    b.set(4);
    assert_eq!(limiter.snapshot().bound_by(), Some("b"));
}

/// No deadlock, whatever a waker does with the hands: nothing calls out in a turn.
#[test]
fn waker_may_move_every_hand() {
    must_end(|| {
        let limiter = Arc::new(limiter());
        let cap = Arc::new(limiter.cap_owned("load").unwrap());
        cap.set(0);
        let line = waiters::<3>(&limiter);
        for task in &line {
            let (limiter, cap) = (limiter.clone(), cap.clone());
            task.on_wake(move || {
                let other = limiter.cap("waker").unwrap();
                other.set(7);
                cap.set(2);
                let _ = limiter.set_ceiling(9);
                limiter.reconfigure(limiter.throttle().max(9)).unwrap();
                assert_eq!(limiter.snapshot().setting, 9);
            });
        }
        cap.set(1);
        assert_eq!(at(&limiter), (2, 9));
        drop(line);
        cap.lift();
        assert_at_rest(&limiter);
    });
}

/// I15: whatever many do at once, the lowest is in force in the end, and while a cap is set no
/// reader sees a ceiling above it.
#[test]
fn many_hands_at_once_leave_the_lowest_in_force() {
    let limiter = limiter();
    let (limiter, always) = (&limiter, limiter.cap("always").unwrap());
    always.set(6);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for round in 0..20_000_usize {
                    let cap = limiter.cap("thread").unwrap();
                    let to = (round * 7 + thread) % 12;
                    cap.set(to);
                    assert!(limiter.ceiling() <= to.min(6), "{round}");
                    let _ = limiter.set_ceiling(round % 21);
                    assert!(limiter.ceiling() <= to.min(6), "{round}");
                }
            });
        }
    });
    assert_eq!(limiter.ceiling(), limiter.setting().min(6));
    assert_eq!(limiter.caps(), [("always".into(), 6)]);
    drop(always);
    assert_eq!(limiter.ceiling(), limiter.setting());
    assert_at_rest(limiter);
}
