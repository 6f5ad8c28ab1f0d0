//! A cap that moves by itself when the clock says so (I15, I18).

#![cfg(feature = "std")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use common::{Task, assert_at_rest, panic_of, take_all, waiter, waiters, woken};
use grmgr::Adjustment::{Changed, Unchanged};
use grmgr::{Cap, Clock, Limiter, ManualClock, TryAcquireError};

const MAX: usize = Limiter::MAX_CEILING;

fn nanos(n: u64) -> Duration {
    Duration::from_nanos(n)
}

/// Ceiling 4.
fn limiter() -> (ManualClock, Limiter) {
    let clock = ManualClock::new();
    let limiter = Limiter::builder("terms").ceiling(4).clock(clock.clone()).build().unwrap();
    (clock, limiter)
}

#[test]
fn cap_moves_exactly_at_the_end_of_its_term() {
    let (clock, limiter) = limiter();
    let cap = limiter.cap("share").unwrap();
    assert_eq!(cap.set_until(2, 1, nanos(10)), Changed { from: MAX, to: 2 });
    assert_eq!((limiter.ceiling(), cap.get()), (2, Some(2)));
    clock.advance(nanos(9));
    assert_eq!(take_all(&limiter).len(), 2);
    clock.advance(nanos(1));
    assert_eq!(take_all(&limiter).len(), 1);
    assert_eq!((limiter.ceiling(), cap.get()), (1, Some(1)));
    // That was all.
    clock.advance(nanos(1_000));
    assert_eq!(limiter.ceiling(), 1);
    drop(cap);
    assert_eq!(limiter.ceiling(), 4);
    assert_at_rest(&limiter);
}

/// By every way to a permit, none of them asked beforehand what the ceiling is.
#[test]
fn nothing_is_granted_after_the_end_of_a_term() {
    let ways: [fn(&Limiter) -> bool; 4] = [
        |limiter| limiter.try_acquire().is_ok(),
        |limiter| limiter.try_acquire_many(2).is_ok(),
        |limiter| Task::start(limiter.acquire()).is_done(),
        |limiter| limiter.acquire().blocking_timeout(Duration::ZERO).is_ok(),
    ];
    for (at, way) in ways.into_iter().enumerate() {
        let (clock, limiter) = limiter();
        let cap = limiter.cap("share").unwrap();
        cap.set_until(4, 0, nanos(10));
        assert!(way(&limiter), "way {at}");
        clock.advance(nanos(10));
        assert!(!way(&limiter), "way {at}");
    }
}

#[test]
fn waiter_is_not_served_after_the_end_of_a_term() {
    let (clock, limiter) = limiter();
    let cap = limiter.cap("share").unwrap();
    cap.set_until(3, 1, nanos(10));
    let mut held = take_all(&limiter);
    let mut line = [(); 3].map(|()| waiter(&limiter, 1));
    clock.advance(nanos(10));
    // Not handed over.
    held.pop();
    held.pop();
    assert_eq!((limiter.in_flight(), woken(&line)), (1, vec![false; 3]));
    held.pop();
    assert_eq!(woken(&line), [true, false, false]);
    assert!(line[0].run());
    cap.lift();
    assert_eq!(woken(&line), [false, true, true]);
    drop(line);
    drop(cap);
    assert_at_rest(&limiter);
}

/// A head that was called in time and runs too late.
#[test]
fn called_head_is_not_served_after_the_end_of_a_term() {
    let (clock, limiter) = limiter();
    let cap = limiter.cap("share").unwrap();
    cap.set_until(1, 0, nanos(10));
    let held = limiter.try_acquire().unwrap();
    let mut head = waiter(&limiter, 1);
    drop(held);
    assert!(head.is_woken());
    clock.advance(nanos(10));
    assert!(!head.run());
    cap.set(1);
    drop(head.granted());
}

#[test]
fn next_change_of_the_cap_replaces_its_term() {
    let (clock, limiter) = limiter();
    let cap = limiter.cap("share").unwrap();
    let changes: [fn(&Cap<'_>); 4] = [
        |cap| _ = cap.set(3),
        |cap| _ = cap.set_until(3, 2, nanos(MAX as u64)),
        |cap| cap.lift(),
        |cap| _ = cap.set(2),
    ];
    for change in changes {
        cap.set_until(2, 0, clock.now() + nanos(10));
        change(&cap);
        let ceiling = limiter.ceiling();
        clock.advance(nanos(10));
        assert_eq!(limiter.ceiling(), ceiling);
        assert!(limiter.try_acquire().is_ok());
    }
    cap.set_until(2, 0, clock.now() + nanos(10));
    drop(cap);
    clock.advance(nanos(10));
    assert_eq!(limiter.ceiling(), 4);
}

#[test]
fn each_cap_has_a_term_of_its_own() {
    let (clock, limiter) = limiter();
    let [first, second, third] = ["a", "b", "c"].map(|cause| limiter.cap(cause).unwrap());
    first.set_until(3, MAX, nanos(30));
    second.set_until(2, 3, nanos(10));
    third.set_until(1, 2, nanos(20));
    let ceilings = [0, 10, 10, 10].map(|by| {
        clock.advance(nanos(by));
        take_all(&limiter).len()
    });
    assert_eq!(ceilings, [1, 1, 2, 2]);
    assert_eq!(limiter.caps(), [("b".into(), 3), ("c".into(), 2)]);
}

/// There is no time to wait for.
#[test]
fn term_that_is_over_already_is_none() {
    let (clock, limiter) = limiter();
    clock.advance(nanos(10));
    let cap = limiter.cap("share").unwrap();
    assert_eq!(cap.set_until(3, 1, nanos(10)), Changed { from: MAX, to: 1 });
    assert_eq!(cap.set_until(3, 1, nanos(9)), Unchanged { ceiling: 1 });
    assert_eq!(limiter.ceiling(), 1);
}

/// Nothing watches the clock; whatever looks at it next wakes the waiters for which there is room.
#[test]
fn end_of_a_term_that_makes_room_wakes_waiters_when_it_is_seen() {
    let (clock, limiter) = limiter();
    let cap = limiter.cap("share").unwrap();
    cap.set_until(0, 2, nanos(10));
    let line = [(); 3].map(|()| waiter(&limiter, 1));
    clock.advance(nanos(10));
    assert_eq!(woken(&line), [false; 3]);
    assert_eq!(limiter.try_acquire().map(drop), Ok(()), "newcomers may overtake");
    assert_eq!(woken(&line), [true, true, false]);
}

#[test]
fn pause_and_terms_leave_each_other_alone() {
    let (clock, limiter) = limiter();
    let cap = limiter.cap("share").unwrap();
    cap.set_until(2, 1, nanos(10));
    limiter.pause();
    assert_eq!(limiter.try_acquire().map(drop), Err(TryAcquireError::NoPermits));
    clock.advance(nanos(10));
    assert_eq!((limiter.ceiling(), limiter.is_paused()), (1, true));
    limiter.resume();
    assert_eq!(take_all(&limiter).len(), 1);
}

#[cfg(feature = "stats")]
#[test]
fn end_of_a_term_is_in_the_log_of_changes() {
    let (clock, limiter) = limiter();
    let cap = limiter.cap("share").unwrap();
    cap.set_until(2, 1, nanos(10));
    clock.advance(nanos(15));
    assert_eq!(limiter.snapshot().ceiling, 1);
    let changes = limiter.changes();
    let [set, ended] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!((set.from, set.to, set.ceiling, &*set.cause), (MAX, 2, 2, "share"));
    assert_eq!((ended.from, ended.to, ended.ceiling, &*ended.cause), (2, 1, 1, "share"));
    assert_eq!(ended.at, nanos(15), "when it was seen");
}

/// A clock that panics when told to.
#[derive(Clone, Default)]
struct Bomb(Arc<AtomicBool>);

impl Clock for Bomb {
    fn now(&self) -> Duration {
        assert!(!self.0.load(SeqCst), "the clock panics");
        Duration::ZERO
    }
}

/// I18: by every way on which it is asked for the end of a term.
#[test]
fn clock_that_panics_costs_no_permit_and_no_wake_up() {
    let bomb = Bomb::default();
    let armed = |armed| bomb.0.store(armed, SeqCst);
    let limiter = Limiter::builder("terms").ceiling(2).clock(bomb.clone()).build().unwrap();
    let cap = limiter.cap("share").unwrap();
    cap.set_until(2, 0, nanos(10));
    let mut held = take_all(&limiter);
    let mut line = Vec::from([(); 3].map(|()| waiter(&limiter, 1)));

    armed(true);
    panic_of(|| limiter.try_acquire());
    panic_of(|| Task::start(limiter.acquire()));
    panic_of(|| cap.set_until(1, 0, nanos(10)));
    let permit = held.pop();
    panic_of(|| drop(permit));
    assert_eq!((limiter.in_flight(), limiter.waiting()), (1, 3));
    assert!(line[0].is_woken(), "the release has woken the head");
    // The head gives up, and the next is called in its place.
    let head = line.remove(0);
    panic_of(|| drop(head));
    assert_eq!((limiter.waiting(), woken(&line)), (2, vec![true, false]));
    panic_of(|| line[0].poll());
    armed(false);
    assert!(line[0].poll());
    drop((line, held, cap));
    assert_at_rest(&limiter);
}

/// A hand that moves makes room by what the others allow now, not by a cap whose term is over.
#[test]
fn no_other_hand_makes_room_under_a_term_that_has_ended() {
    let changes: [fn(&Limiter, Cap<'_>); 6] = [
        |_, other| other.lift(),
        |_, other| drop(other),
        |_, other| _ = other.set(3),
        |_, other| _ = other.set_until(3, 1, nanos(100)),
        |limiter, other| {
            limiter.pause();
            other.lift();
            limiter.resume();
        },
        |limiter, other| {
            let _ = limiter.set_ceiling(1);
            other.lift();
            limiter.reconfigure(limiter.throttle().min(3)).unwrap();
        },
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let (clock, limiter) = limiter();
        let [share, other] = ["share", "other"].map(|cause| limiter.cap(cause).unwrap());
        share.set_until(3, 1, nanos(10));
        other.set(1);
        let held = limiter.try_acquire().unwrap();
        let line = waiters::<2>(&limiter);
        clock.advance(nanos(10));
        change(&limiter, other);
        assert_eq!((limiter.in_flight(), woken(&line)), (1, vec![false; 2]), "change {at}");
        assert_eq!(limiter.caps()[0], ("share".into(), 1));
        drop((held, line, share));
        assert_at_rest(&limiter);
    }
}

/// I18: the clock is asked before a cap is lifted, and the cap is lifted whatever it does.
#[test]
fn clock_that_panics_does_not_keep_a_cap_where_it_was() {
    let bomb = Bomb::default();
    let limiter = Limiter::builder("terms").ceiling(2).clock(bomb.clone()).build().unwrap();
    let [share, other] = ["share", "other"].map(|cause| limiter.cap(cause).unwrap());
    share.set_until(2, 0, nanos(10));
    other.set(0);
    let line = waiters::<3>(&limiter);
    bomb.0.store(true, SeqCst);
    panic_of(|| drop(other));
    assert_eq!(woken(&line), [true, true, false]);
    panic_of(|| limiter.pause());
    bomb.0.store(false, SeqCst);
    assert!(!limiter.is_paused(), "nothing has changed");
    drop((line, share));
    assert_at_rest(&limiter);
}

/// There is no such time: it is as good as no term.
#[test]
fn term_without_an_end_is_replaced_like_any() {
    let (clock, limiter) = limiter();
    let [first, second] = ["first", "second"].map(|cause| limiter.cap(cause).unwrap());
    first.set_until(2, 0, Duration::MAX);
    first.set(3);
    second.set_until(2, MAX, nanos(10));
    clock.advance(Duration::MAX);
    assert_eq!((limiter.ceiling(), first.get(), second.get()), (3, Some(3), None));
}
