//! Futures dropped in every state they can be in (I10, I2): each loses its place, gives back what
//! it held, and the next in line is considered at once.

#![cfg(feature = "std")]

mod common;

use common::{Task, assert_at_rest, request, take_all, waiter, waiters, woken};
use grmgr::Limiter;

#[test]
fn future_that_was_never_polled_leaves_no_trace() {
    let limiter = Limiter::new("cancel", 1);
    let unpolled = limiter.acquire();
    let held = limiter.try_acquire().unwrap();
    let unpolled_when_full = limiter.acquire();
    assert_eq!(limiter.waiting(), 0);
    drop((unpolled, unpolled_when_full));
    assert_eq!(limiter.in_flight(), 1);
    drop(held);
    assert_at_rest(&limiter);
}

#[test]
fn cancelled_head_passes_the_place_on() {
    let limiter = Limiter::new("cancel", 1);
    let held = limiter.try_acquire().unwrap();
    let [head, next] = waiters(&limiter);
    drop(head);
    assert_eq!(limiter.waiting(), 1);
    drop(held);
    drop(next.granted());
    assert_at_rest(&limiter);
}

#[test]
fn cancelled_head_that_was_called_passes_the_call_on() {
    let limiter = Limiter::new("cancel", 1);
    let held = limiter.try_acquire().unwrap();
    let [head, next] = waiters(&limiter);
    drop(held);
    assert!(head.is_woken() && !next.is_woken());
    drop(head);
    assert!(next.is_woken());
    drop(next.granted());
    assert_at_rest(&limiter);
}

#[test]
fn cancelled_waiter_behind_the_head_is_skipped() {
    let limiter = Limiter::new("cancel", 1);
    let held = limiter.try_acquire().unwrap();
    let [head, middle, last] = waiters(&limiter);
    drop(middle);
    assert_eq!(limiter.waiting(), 2);
    drop(held);
    drop(head.granted());
    drop(last.granted());
    assert_at_rest(&limiter);
}

/// I2, I3: a permit that was handed over and not seen.
#[test]
fn cancelled_waiter_that_was_handed_a_permit_passes_it_on() {
    let limiter = Limiter::new("cancel", 2);
    let held = take_all(&limiter);
    let [head, handed, next] = waiters(&limiter);
    drop(held);
    assert_eq!(limiter.in_flight(), 1, "handed to the second");
    assert!(handed.is_woken() && !next.is_woken());
    drop(handed);
    assert!(next.is_woken());
    let permits = (head.granted(), next.granted());
    drop(permits);
    assert_at_rest(&limiter);
}

/// I2: the same with no waiter behind it.
#[test]
fn cancelled_waiter_gives_the_permit_back_that_it_was_handed() {
    let limiter = Limiter::new("cancel", 2);
    let held = take_all(&limiter);
    let [head, handed] = waiters(&limiter);
    drop(held);
    drop(handed);
    assert_eq!(limiter.in_flight(), 0);
    drop(head);
    assert_at_rest(&limiter);
}

#[test]
fn cancelled_waiter_on_the_way_to_the_front_passes_the_call_on() {
    let limiter = Limiter::new("cancel", 1);
    let held = limiter.try_acquire().unwrap();
    let [head, called, next] = waiters(&limiter);
    drop(head);
    drop(held);
    assert_eq!(limiter.in_flight(), 0, "called to the front, without a permit");
    assert!(called.is_woken() && !next.is_woken());
    drop(called);
    assert!(next.is_woken());
    drop(next.granted());
    assert_at_rest(&limiter);
}

/// I4: what was kept for it is free again.
#[test]
fn cancelled_head_that_had_lost_its_patience_lifts_the_barrier() {
    let limiter = Limiter::builder("cancel").ceiling(1).patience(1).build().unwrap();
    let held = limiter.try_acquire().unwrap();
    let [mut head] = waiters(&limiter);
    drop(held);
    let barger = limiter.try_acquire().unwrap();
    assert!(!head.run());
    drop(barger);
    assert!(limiter.try_acquire().is_err());
    drop(head);
    drop(limiter.try_acquire().unwrap());
    assert_at_rest(&limiter);
}

/// golang/go#37852: the small ones behind it fitted all the time.
#[test]
fn cancelled_large_head_lets_those_in_that_fit() {
    let limiter = Limiter::new("cancel", 4);
    let mut held = take_all(&limiter);
    let large = waiter(&limiter, 4);
    let line = waiters::<4>(&limiter);
    held.truncate(1);
    assert_eq!(woken(&line), [false; 4]);
    drop(large);
    assert_eq!(woken(&line), [true, true, true, false]);
    let [first, second, third, last] = line;
    let permits = [first.granted(), second.granted(), third.granted()];
    drop(held);
    drop(last.granted());
    drop(permits);
    assert_at_rest(&limiter);
}

#[test]
fn cancelled_large_waiter_does_not_hold_back_the_units_around_it() {
    let limiter = Limiter::new("cancel", 3);
    let held = take_all(&limiter);
    let first = waiter(&limiter, 1);
    let large = waiter(&limiter, 3);
    let second = waiter(&limiter, 1);
    let third = waiter(&limiter, 1);
    drop(held);
    assert!(first.is_woken() && !large.is_woken() && !second.is_woken());
    drop(large);
    assert!(second.is_woken() && third.is_woken());
    drop([third.granted(), second.granted(), first.granted()]);
    assert_at_rest(&limiter);
}

/// The state of a large request that was called with a single permit.
#[test]
fn cancelled_large_waiter_in_front_of_the_line_passes_the_place_on() {
    for cancel_when_called in [false, true] {
        let limiter = Limiter::new("cancel", 4);
        let mut held = take_all(&limiter);
        let [first, second] = waiters(&limiter);
        held.truncate(2);
        let permit = first.granted();
        let mut large = waiter(&limiter, 3);
        let last = waiter(&limiter, 1);
        drop(permit);
        let permit = second.granted();
        let barger = if cancel_when_called { None } else { limiter.try_acquire().ok() };
        // Gives the permit back, and is called again at once if one is free.
        assert!(!large.run());
        assert!(!last.is_woken());
        drop(large);
        assert_eq!(last.is_woken(), limiter.available() > 0);
        drop((barger, permit));
        drop(last.granted());
        drop(held);
        assert_at_rest(&limiter);
    }
}

/// The answer is in the output, the future has nothing more to give back.
#[test]
fn dropping_a_future_that_is_done_gives_nothing_back_twice() {
    let limiter = Limiter::new("cancel", 1);
    let mut future = Box::pin(limiter.acquire());
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(permit) = future.as_mut().poll(&mut cx) else {
        panic!("it is free")
    };
    drop(future);
    assert_eq!(limiter.in_flight(), 1);
    drop(permit);
    assert_at_rest(&limiter);
}

/// A future that ended with its permit unseen, in the task that never looked.
#[test]
fn output_dropped_unseen_gives_its_permit_back() {
    let limiter = Limiter::new("cancel", 1);
    let held = limiter.try_acquire().unwrap();
    let [mut first, second] = waiters(&limiter);
    drop(held);
    assert!(first.run());
    assert_eq!(limiter.in_flight(), 1);
    drop(first);
    drop(second.granted());
    assert_at_rest(&limiter);
}

#[test]
fn cancelling_while_paused_wakes_nobody() {
    let limiter = Limiter::new("cancel", 2);
    limiter.pause();
    let [head, queued, last] = waiters(&limiter);
    drop((head, queued));
    assert!(!last.is_woken());
    assert_eq!(limiter.waiting(), 1);
    limiter.resume();
    drop(last.granted());
    assert_at_rest(&limiter);
}

#[test]
fn owned_future_cancelled_gives_up_its_hold_on_the_limiter() {
    let limiter = std::sync::Arc::new(Limiter::new("cancel", 1));
    let held = limiter.clone().try_acquire_owned().unwrap();
    let waiting = Task::start(limiter.acquire_owned());
    drop(waiting);
    drop(held);
    assert_eq!(std::sync::Arc::strong_count(&limiter), 1);
    assert_at_rest(&limiter);
}

/// Every set of waiters out of five, cancelled in order and in reverse, before, between and after
/// two releases: the waiters left are served, in order, as far as permits go (I2, I3, I4, I10).
#[test]
fn any_waiters_may_be_cancelled_at_any_time() {
    for patience in [0, 16] {
        for (mask, reverse, releases_before) in (0..32)
            .flat_map(|mask| [false, true].map(|reverse| (mask, reverse)))
            .flat_map(|(mask, reverse)| [0, 1, 2].map(|releases| (mask, reverse, releases)))
        {
            let case = format!("{patience} {mask:05b} {reverse} {releases_before}");
            let limiter = Limiter::builder("cancel").ceiling(2).patience(patience).build().unwrap();
            let mut held = take_all(&limiter);
            let mut line = waiters::<5>(&limiter).map(Some);
            held.truncate(2 - releases_before);
            let order: Vec<_> = if reverse { (0..5).rev().collect() } else { (0..5).collect() };
            for i in order {
                if mask & (1 << i) != 0 {
                    line[i] = None;
                }
            }
            held.clear();

            let mut line: Vec<_> = line.into_iter().flatten().collect();
            assert_eq!(limiter.waiting(), line.len(), "{case}");
            while !line.is_empty() {
                let expected: Vec<_> = (0..line.len()).map(|i| i < 2).collect();
                assert_eq!(woken(&line), expected, "{case}");
                let second = (line.len() > 1).then(|| line.remove(1).granted());
                drop((line.remove(0).granted(), second));
            }
            assert_at_rest(&limiter);
        }
    }
}

/// Cancelling 1,000 waiters leaves the limiter as it was.
#[test]
fn crowd_that_gives_up_leaves_nothing_behind() {
    let limiter = Limiter::new("cancel", 2);
    let held = take_all(&limiter);
    let mut crowd: Vec<_> = (0..1_000).map(|_| waiter(&limiter, 1)).collect();
    assert_eq!(limiter.waiting(), 1_000);
    drop(held);
    while let Some(last) = crowd.pop() {
        drop(last);
        if !crowd.is_empty() {
            drop(crowd.swap_remove(crowd.len() / 2));
        }
    }
    assert_at_rest(&limiter);
    drop(request(&limiter, 2).granted());
}
