//! The order of service: first in, first out; barging within bounds; large requests (I3, I4).

#![cfg(feature = "std")]

mod common;

use common::{Request, Task, assert_at_rest, request, take_all, waiter, waiters, woken};
use grmgr::{Limiter, Permit, TryAcquireError};

fn with_patience(ceiling: usize, patience: u32) -> Limiter {
    Limiter::builder("order").ceiling(ceiling).patience(patience).build().unwrap()
}

/// I4, with and without barging.
#[test]
fn waiters_are_served_first_in_first_out() {
    for patience in [0, 1, 16] {
        let limiter = with_patience(1, patience);
        let mut permit = limiter.try_acquire().unwrap();
        let mut line = Vec::from(waiters::<5>(&limiter));
        while !line.is_empty() {
            drop(permit);
            let mut only_first = vec![false; line.len()];
            only_first[0] = true;
            assert_eq!(woken(&line), only_first, "patience {patience}");
            permit = line.remove(0).granted();
        }
        drop(permit);
        assert_at_rest(&limiter);
    }
}

/// I3: async-lock 3.5 notifies no waiter with the second release.
#[test]
fn two_releases_before_the_first_waiter_runs_admit_two() {
    for patience in [0, 16] {
        let limiter = with_patience(2, patience);
        let held = take_all(&limiter);
        let line = waiters::<3>(&limiter);
        drop(held);
        assert_eq!(woken(&line), [true, true, false]);
        let [first, second, third] = line;
        let permits = (first.granted(), second.granted());
        assert!(!third.is_woken());
        drop(permits.0);
        let permit = third.granted();
        drop((permits.1, permit));
        assert_at_rest(&limiter);
    }
}

/// I4: those already called may run in any order, and each gets what it was called for.
#[test]
fn called_waiters_may_run_in_any_order() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        for patience in [0, 16] {
            let limiter = with_patience(3, patience);
            let held = take_all(&limiter);
            let mut line = waiters::<5>(&limiter);
            drop(held);
            assert_eq!(woken(&line), [true, true, true, false, false]);
            for i in order {
                assert!(line[i].run(), "waiter {i} of {order:?} was called in vain");
            }
            assert_eq!(limiter.in_flight(), 3);
            assert_eq!(woken(&line), [false; 5]);
            drop(line);
            assert_at_rest(&limiter);
        }
    }
}

/// I4: even a poll without a wake-up does not let a waiter past those before it.
#[test]
fn spurious_polls_move_nobody_up() {
    let limiter = with_patience(1, 16);
    let held = limiter.try_acquire().unwrap();
    let [first, mut second] = waiters(&limiter);
    drop(held);
    assert!(!second.poll());
    let permit = first.granted();
    assert!(!second.poll());
    drop(permit);
    drop(second.granted());
    assert_at_rest(&limiter);
}

/// I4, I13: the head has been called and has not looked yet.
#[test]
fn newcomers_may_overtake_a_called_head() {
    let limiter = with_patience(1, 16);
    let held = limiter.try_acquire().unwrap();
    let [mut head] = waiters(&limiter);
    drop(held);
    let barger = request(&limiter, 1).granted();
    assert!(head.is_woken());
    assert!(!head.run());
    drop(barger);
    let barger = limiter.try_acquire().unwrap();
    assert!(!head.run());
    drop(barger);
    drop(head.granted());
    assert_at_rest(&limiter);
}

/// I4: woken and lost `patience` times, not once more and not once less.
#[test]
fn patience_is_counted_exactly() {
    for patience in [1, 2, 3, 16] {
        let limiter = with_patience(1, patience);
        let mut permit = limiter.try_acquire().unwrap();
        let [mut head] = waiters(&limiter);
        for loss in 0..patience {
            drop(permit);
            permit = limiter.try_acquire().unwrap_or_else(|error| {
                panic!("after {loss} losses of {patience}: {error}");
            });
            assert!(head.is_woken());
            assert!(!head.run());
        }
        drop(permit);
        assert_eq!(limiter.try_acquire().unwrap_err(), TryAcquireError::NoPermits);
        assert_eq!(limiter.available(), 1, "it is free, and kept");
        let newcomer = waiter(&limiter, 1);
        assert_eq!(head.wakes(), patience as usize + 1);
        let permit = head.granted();
        assert!(!newcomer.is_woken());
        drop(permit);
        drop(newcomer.granted());
        assert_at_rest(&limiter);
    }
}

/// I4: a loss is a wake-up that was in vain, not a poll.
#[test]
fn polls_without_a_wake_up_are_no_losses() {
    let limiter = with_patience(1, 2);
    let held = limiter.try_acquire().unwrap();
    let [mut head] = waiters(&limiter);
    for _ in 0..10 {
        assert!(!head.poll());
    }
    drop(held);
    let barger = limiter.try_acquire().expect("no loss yet");
    assert!(head.is_woken());
    for _ in 0..10 {
        assert!(!head.poll());
    }
    drop(barger);
    let barger = limiter.try_acquire().expect("one loss");
    assert!(!head.run());
    drop(barger);
    assert!(limiter.try_acquire().is_err(), "two losses");
    drop(head.granted());
}

/// I4: a waiter called from the queue to the seat that finds its permit gone has lost, too.
#[test]
fn losing_on_arrival_at_the_head_counts() {
    let limiter = with_patience(1, 1);
    let held = limiter.try_acquire().unwrap();
    let [first, mut second] = waiters(&limiter);
    drop(first);
    drop(held);
    let barger = limiter.try_acquire().expect("nobody has lost");
    assert!(second.is_woken());
    assert!(!second.run());
    drop(barger);
    assert!(limiter.try_acquire().is_err());
    drop(second.granted());
    assert_at_rest(&limiter);
}

/// I4: what is kept is kept for one head; the next starts with all its patience.
#[test]
fn barging_is_allowed_again_once_the_head_is_served() {
    let limiter = with_patience(1, 1);
    let held = limiter.try_acquire().unwrap();
    let [mut first, mut second] = waiters(&limiter);
    drop(held);
    let barger = limiter.try_acquire().unwrap();
    assert!(!first.run());
    drop(barger);
    assert!(limiter.try_acquire().is_err());
    drop(first.granted());
    let barger = limiter.try_acquire().expect("the second in line has not lost");
    assert!(!second.run());
    drop(barger);
    assert!(limiter.try_acquire().is_err());
    drop(second.granted());
    assert_at_rest(&limiter);
}

/// I4: with a patience of 0 no newcomer overtakes: neither a head that has been called, nor one that
/// is on the way from the queue, nor one handed a permit.
#[test]
fn strict_line_is_overtaken_by_nobody() {
    let limiter = with_patience(2, 0);
    let held = take_all(&limiter);
    let [first, second, third] = waiters(&limiter);
    let overtake = |when: &str| {
        assert_eq!(limiter.try_acquire().unwrap_err(), TryAcquireError::NoPermits, "{when}");
        assert!(!request(&limiter, 1).is_done(), "{when}");
    };
    overtake("nothing is free");
    drop(held);
    overtake("the head is called, the second has its permit");
    let permit = second.granted();
    overtake("the head is called");
    drop(first.granted());
    overtake("the third is called from the queue");
    drop(third.granted());
    drop(permit);
    assert_at_rest(&limiter);
}

/// I4: where no request waits, strictness refuses nothing.
#[test]
fn strict_limiter_without_a_line_grants_at_once() {
    let limiter = with_patience(2, 0);
    let permits = (limiter.try_acquire().unwrap(), request(&limiter, 1).granted());
    let cancelled = waiters::<3>(&limiter);
    drop(cancelled);
    drop(permits);
    assert!(request(&limiter, 2).is_done());
    assert_at_rest(&limiter);
}

/// I4: small ones behind a large request wait for it, however many permits are free.
#[test]
fn large_head_is_not_overtaken_from_behind() {
    for patience in [0, 16] {
        let limiter = with_patience(3, patience);
        let mut held = take_all(&limiter);
        let mut large = waiter(&limiter, 3);
        let mut small = waiter(&limiter, 1);
        for _ in 0..2 {
            held.pop();
            assert!(!large.is_woken(), "there is not enough for it");
            assert!(!large.poll());
            assert!(!small.is_woken());
            assert!(!small.poll());
        }
        held.pop();
        let permit = large.granted();
        assert!(!small.is_woken());
        drop(permit);
        drop(small.granted());
        assert_at_rest(&limiter);
    }
}

/// I4: the same for one that came to the front from behind others.
#[test]
fn large_request_moves_up_in_its_turn() {
    let limiter = with_patience(2, 16);
    let mut held = take_all(&limiter);
    let first = waiter(&limiter, 1);
    let large = waiter(&limiter, 2);
    let last = waiter(&limiter, 1);
    held.pop();
    assert!(!large.is_woken());
    let permit = first.granted();
    held.pop();
    assert!(!large.is_woken(), "one is not enough for it");
    assert!(!last.is_woken());
    drop(permit);
    assert_eq!(limiter.in_flight(), 2, "granted where it sleeps");
    let permit = large.granted();
    assert!(!last.is_woken());
    drop(permit);
    drop(last.granted());
    assert_at_rest(&limiter);
}

/// I4: finding too few permits is a loss.
#[test]
fn too_few_permits_for_a_large_head_are_a_loss() {
    let limiter = with_patience(3, 2);
    let mut held = take_all(&limiter);
    let mut large = waiter(&limiter, 3);
    held.pop();
    assert!(!large.run());
    drop(limiter.try_acquire().expect("one loss"));
    assert!(!large.run());
    assert_eq!(limiter.try_acquire().unwrap_err(), TryAcquireError::NoPermits);
    assert_eq!(limiter.available(), 1);
    held.pop();
    assert!(!large.run());
    assert!(!request(&limiter, 1).is_done(), "kept until it is served");
    held.pop();
    drop(large.granted());
    assert_at_rest(&limiter);
}

/// Up to where a large request, for both permits of the limiter, is the first in line and one is
/// free.
fn large_request_with_too_few_permits(limiter: &Limiter) -> (Request<'_>, Permit<'_>) {
    let held = take_all(limiter);
    let [first, second] = waiters(limiter);
    drop(held);
    let permit = first.granted();
    let large = waiter(limiter, 2);
    drop(permit);
    assert!(!large.is_woken());
    (large, second.granted())
}

/// I4: a request that has to wait comes after those that wait already.
#[test]
fn newcomer_that_has_to_wait_comes_after_a_large_request() {
    let limiter = with_patience(2, 0);
    let (large, permit) = large_request_with_too_few_permits(&limiter);
    let newcomer = waiter(&limiter, 2);
    drop(permit);
    assert!(large.is_woken() && !newcomer.is_woken());
    drop(large.granted());
    drop(newcomer.granted());
    assert_at_rest(&limiter);
}

/// I4: with a patience of 0 no newcomer ever overtakes.
#[test]
fn strict_line_is_not_overtaken_while_a_large_request_waits() {
    let limiter = with_patience(2, 0);
    let (large, permit) = large_request_with_too_few_permits(&limiter);
    assert_eq!(limiter.try_acquire().map(drop), Err(TryAcquireError::NoPermits));
    assert!(!request(&limiter, 1).is_done());
    drop(permit);
    drop(large.granted());
    assert_at_rest(&limiter);
}

/// I3: a poll that finds its permit needs no wake-up, and takes no other waiter's.
#[test]
fn head_polled_before_it_is_woken_takes_what_is_free() {
    let limiter = with_patience(2, 16);
    limiter.pause();
    let [mut first, mut second] = waiters(&limiter);
    assert!(!first.poll() && !second.poll());
    limiter.resume();
    assert!(first.poll() && second.poll());
    drop((first, second));
    assert_at_rest(&limiter);
}

/// A request enters the line when it is first polled, not when it is made.
#[test]
fn place_in_line_is_taken_with_the_first_poll() {
    let limiter = with_patience(1, 16);
    let held = limiter.try_acquire().unwrap();
    let mut made_first = Task::new(limiter.acquire());
    let polled_first = waiter(&limiter, 1);
    assert_eq!(limiter.waiting(), 1);
    assert!(!made_first.poll());
    assert_eq!(limiter.waiting(), 2);
    drop(held);
    assert!(polled_first.is_woken() && !made_first.is_woken());
    drop(polled_first.granted());
    drop(made_first.granted());
    assert_at_rest(&limiter);
}

/// I4: owned and borrowed requests stand in one line.
#[test]
fn owned_and_borrowed_requests_share_the_line() {
    let limiter = std::sync::Arc::new(with_patience(1, 16));
    let held = limiter.clone().try_acquire_owned().unwrap();
    let mut owned = Task::start(limiter.acquire_owned());
    let borrowed = waiter(&limiter, 1);
    let mut many_owned = Task::start(limiter.acquire_many_owned(1));
    drop(held);
    assert!(owned.run() && !borrowed.is_woken());
    drop(owned);
    assert!(!many_owned.is_woken());
    drop(borrowed.granted());
    assert!(many_owned.run());
    drop(many_owned);
    assert_at_rest(&limiter);
}

/// A waiter that is never polled keeps those behind it waiting, but for what is free beyond the permit
/// that it was called for (I13).
#[test]
fn waiters_behind_a_stuck_head_get_what_is_free_beyond_its_permit() {
    let limiter = with_patience(2, 16);
    let mut held = take_all(&limiter);
    let stuck = waiter(&limiter, 1);
    let behind = waiter(&limiter, 1);
    held.pop();
    assert!(stuck.is_woken() && !behind.is_woken(), "one is free, and it is called for that");
    drop(limiter.try_acquire().expect("newcomers may take it"));
    assert!(!behind.is_woken());
    held.pop();
    drop(behind.granted());
    stuck.cancel();
    assert_at_rest(&limiter);
}

/// Permits are kept for a head out of patience, whether it is polled or not.
#[test]
fn stuck_head_without_patience_stops_newcomers() {
    let limiter = with_patience(1, 1);
    let held = limiter.try_acquire().unwrap();
    let mut head = waiter(&limiter, 1);
    drop(held);
    let barger = limiter.try_acquire().unwrap();
    assert!(!head.run());
    drop(barger);
    // From here on it is not polled.
    assert!(limiter.try_acquire().is_err());
    let newcomer = waiter(&limiter, 1);
    head.cancel();
    drop(newcomer.granted());
    assert_at_rest(&limiter);
}

/// A future that is forgotten cannot be dropped, and so cannot give up its place.
#[test]
fn forgotten_waiting_future_stays_in_line() {
    let limiter = with_patience(1, 0);
    let held = limiter.try_acquire().unwrap();
    std::mem::forget(waiter(&limiter, 1));
    drop(held);
    assert_eq!((limiter.waiting(), limiter.available()), (1, 1));
    assert!(limiter.try_acquire().is_err());
}
