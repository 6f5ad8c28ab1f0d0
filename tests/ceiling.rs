//! The ceiling moves while work is in flight and waiters stand in line (I5, I6); pausing.

#![cfg(feature = "std")]

mod common;

use common::{assert_at_rest, request, take_all, waiter, waiters, woken};
use grmgr::{Adjustment, Limiter, TryAcquireError};

/// One that may be moved from 0 to 8.
fn limiter(ceiling: usize) -> Limiter {
    Limiter::builder("ceiling").ceiling(ceiling).min(0).max(8).build().unwrap()
}

fn set(limiter: &Limiter, to: usize) {
    let from = limiter.ceiling();
    assert_eq!(limiter.set_ceiling(to), Adjustment::Changed { from, to });
    assert_eq!(limiter.ceiling(), to);
}

/// I5.
#[test]
fn shrink_cancels_nobody_and_grants_nothing_until_enough_is_back() {
    let limiter = limiter(4);
    let mut held = take_all(&limiter);
    let [next, last] = waiters(&limiter);
    set(&limiter, 2);
    assert_eq!((limiter.in_flight(), limiter.available()), (4, 0));
    for in_flight in [3, 2] {
        held.pop();
        assert_eq!(limiter.in_flight(), in_flight);
        assert!(!next.is_woken());
        assert_eq!(limiter.try_acquire().unwrap_err(), TryAcquireError::NoPermits);
        assert!(!request(&limiter, 1).is_done());
    }
    held.pop();
    let permit = next.granted();
    assert_eq!(limiter.in_flight(), 2);
    assert!(!last.is_woken());
    drop(permit);
    drop((held, last.granted()));
    assert_at_rest(&limiter);
}

/// I5: each goes on in its own time.
#[test]
fn permits_above_the_ceiling_stay_valid() {
    let limiter = limiter(3);
    let mut held = limiter.try_acquire_many(3).unwrap();
    set(&limiter, 1);
    let part = held.split(2).unwrap();
    assert_eq!((held.count(), part.count(), limiter.in_flight()), (1, 2, 3));
    held.merge(part);
    drop(held);
    assert_at_rest(&limiter);
}

/// I5: AnyIO#1223, pond: no sum of differences.
#[test]
fn lower_then_raise_while_over_subscribed_grants_no_more_than_the_new_ceiling() {
    let limiter = limiter(5);
    let mut held = take_all(&limiter);
    let line = waiters::<6>(&limiter);
    set(&limiter, 1);
    set(&limiter, 3);
    assert_eq!(woken(&line), [false; 6]);
    held.truncate(3);
    assert_eq!(woken(&line), [false; 6]);
    held.truncate(2);
    assert_eq!(woken(&line), [true, false, false, false, false, false]);
    set(&limiter, 4);
    assert_eq!(woken(&line), [true, true, false, false, false, false]);
    let permits: Vec<_> = line.into_iter().take(2).map(|task| task.granted()).collect();
    assert_eq!(limiter.in_flight(), 4);
    drop((permits, held));
    assert_at_rest(&limiter);
}

/// I5: a head that had been called is not owed anything.
#[test]
fn shrink_overtakes_a_head_on_its_way() {
    let limiter = limiter(2);
    let mut held = take_all(&limiter);
    let [mut head] = waiters(&limiter);
    held.pop();
    assert!(head.is_woken());
    set(&limiter, 1);
    assert!(!head.run());
    set(&limiter, 2);
    drop((head.granted(), held));
    assert_at_rest(&limiter);
}

/// I6: and no more than those.
#[test]
fn raise_wakes_exactly_the_free_permits() {
    for patience in [0, 16] {
        let limiter = Limiter::builder("ceiling").ceiling(1).max(8).patience(patience);
        let limiter = limiter.build().unwrap();
        let held = take_all(&limiter);
        let line = waiters::<5>(&limiter);
        set(&limiter, 4);
        assert_eq!(woken(&line), [true, true, true, false, false]);
        let mut permits = Vec::new();
        for task in line.into_iter().take(3).rev() {
            permits.push(task.granted());
        }
        assert_eq!(limiter.in_flight(), 4);
        drop((held, permits));
        assert_at_rest(&limiter);
    }
}

/// I6: what the waiters do not need is for newcomers.
#[test]
fn raise_above_the_demand_wakes_all_and_leaves_the_rest() {
    let limiter = limiter(1);
    let held = take_all(&limiter);
    let line = waiters::<3>(&limiter);
    set(&limiter, 8);
    assert_eq!(woken(&line), [true; 3]);
    let permits = line.map(|task| task.granted());
    let rest = take_all(&limiter);
    assert_eq!(rest.len(), 4);
    drop((held, permits, rest));
    assert_at_rest(&limiter);
}

/// I6: one step is one permit more, for one waiter.
#[test]
fn step_up_admits_as_many_as_it_adds() {
    let limiter = Limiter::builder("ceiling").ceiling(1).max(8).up(2);
    let limiter = limiter.hold(std::time::Duration::ZERO).build().unwrap();
    let held = take_all(&limiter);
    let line = waiters::<6>(&limiter);
    let _ = limiter.up();
    assert_eq!(woken(&line), [true, true, false, false, false, false]);
    let _ = limiter.up();
    assert_eq!(woken(&line), [true, true, true, true, false, false]);
    drop((held, line));
    assert_at_rest(&limiter);
}

/// I6: waking many does not stop at the first that is gone.
#[test]
fn raise_reaches_waiters_behind_cancelled_ones() {
    let limiter = limiter(1);
    let held = take_all(&limiter);
    let [first, second, third, fourth, fifth] = waiters(&limiter);
    drop((first, third));
    set(&limiter, 3);
    assert_eq!(woken(&[second, fourth, fifth]), [true, true, false]);
    drop(held);
    assert_at_rest(&limiter);
}

/// I6: in one step, each with all its permits. Those of the first, which sits at the front, are kept.
#[test]
fn raise_grants_large_requests_at_once() {
    let limiter = limiter(1);
    let held = take_all(&limiter);
    let mut line = [3, 2, 1, 2].map(|n| waiter(&limiter, n));
    set(&limiter, 7);
    assert_eq!(woken(&line), [true, true, true, false]);
    assert!(line[2].run() && line[1].run() && line[0].run());
    assert_eq!(limiter.in_flight(), 7);
    assert_eq!(woken(&line), [false; 4]);
    drop(held);
    assert!(!line[3].run());
    drop(line);
    assert_at_rest(&limiter);
}

/// I5.
#[test]
fn ceiling_of_zero_grants_nothing() {
    let limiter = limiter(1);
    let held = limiter.try_acquire().unwrap();
    let [mut first, second] = waiters(&limiter);
    set(&limiter, 0);
    drop(held);
    assert!(!first.is_woken() && !first.poll());
    assert_eq!(limiter.try_acquire().unwrap_err(), TryAcquireError::NoPermits);
    assert_eq!(limiter.available(), 0);
    set(&limiter, 2);
    drop([second.granted(), first.granted()]);
    assert_at_rest(&limiter);
}

#[test]
fn limiter_may_begin_at_zero() {
    let limiter = limiter(0);
    let line = waiters::<2>(&limiter);
    set(&limiter, 8);
    drop(line.map(|task| task.granted()));
    assert_at_rest(&limiter);
}

/// I5: whatever the ceiling.
#[test]
fn pause_grants_nothing_until_resume() {
    let limiter = limiter(3);
    let held = take_all(&limiter);
    let line = waiters::<5>(&limiter);
    limiter.pause();
    assert!(limiter.is_paused());
    drop(held);
    assert_eq!((limiter.in_flight(), limiter.ceiling(), limiter.available()), (0, 3, 3));
    assert_eq!(limiter.try_acquire().unwrap_err(), TryAcquireError::NoPermits);
    assert_eq!(limiter.try_acquire_many(8).unwrap_err(), TryAcquireError::NoPermits);
    assert!(!request(&limiter, 1).is_done());
    set(&limiter, 4);
    assert_eq!(woken(&line), [false; 5]);
    limiter.resume();
    assert!(!limiter.is_paused());
    assert_eq!(woken(&line), [true, true, true, true, false], "I6: what is free then");
    for task in line.into_iter().take(4) {
        drop(task.granted());
    }
    assert_at_rest(&limiter);
}

/// I5: neither is owed anything. What was handed over before is another matter: it is in flight.
#[test]
fn pause_overtakes_a_head_on_its_way_but_takes_nothing_away() {
    let limiter = limiter(2);
    let held = take_all(&limiter);
    let [mut head, handed] = waiters(&limiter);
    drop(held);
    limiter.pause();
    assert!(!head.run());
    assert_eq!(limiter.in_flight(), 1);
    let permit = handed.granted();
    assert!(!head.is_woken());
    limiter.resume();
    drop((permit, head.granted()));
    assert_at_rest(&limiter);
}

/// A pause is a state, not a count.
#[test]
fn one_resume_ends_any_number_of_pauses() {
    let limiter = limiter(1);
    limiter.pause();
    limiter.pause();
    limiter.resume();
    drop(limiter.try_acquire().unwrap());
    limiter.resume();
    assert!(!limiter.is_paused());
    assert_at_rest(&limiter);
}

/// I6: as with a raise.
#[test]
fn resume_grants_large_requests_behind_the_first() {
    let limiter = limiter(4);
    limiter.pause();
    let [first, second, third] = [2, 2, 1].map(|n| waiter(&limiter, n));
    limiter.resume();
    assert!(first.is_woken() && second.is_woken() && !third.is_woken());
    let (second, first) = (second.granted(), first.granted());
    assert!(!third.is_woken());
    drop((first, second));
    drop(third.granted());
    assert_at_rest(&limiter);
}
