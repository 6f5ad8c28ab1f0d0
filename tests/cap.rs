//! How much may be in flight (I1).

#![cfg(feature = "std")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use common::{assert_at_rest, must_end, request, take_all, waiter};
use grmgr::{AcquireError, Limiter, TryAcquireError};

#[test]
fn grants_end_at_the_ceiling() {
    let limiter = Limiter::new("cap", 3);
    for n in 0..3 {
        assert_eq!((limiter.in_flight(), limiter.available()), (n, 3 - n));
        limiter.try_acquire().unwrap().forget();
    }
    assert_eq!((limiter.in_flight(), limiter.available()), (3, 0));
    assert_eq!(limiter.try_acquire().unwrap_err(), TryAcquireError::NoPermits);
    assert!(!request(&limiter, 1).is_done());
    assert_eq!(limiter.in_flight(), 3);
    (0..3).for_each(|_| limiter.done());
    assert_at_rest(&limiter);
}

#[test]
fn large_requests_count_in_full() {
    let limiter = Limiter::new("cap", 5);
    let two = limiter.try_acquire_many(2).unwrap();
    assert_eq!(limiter.try_acquire_many(4).unwrap_err(), TryAcquireError::NoPermits);
    let three = request(&limiter, 3).granted();
    assert_eq!((two.count(), three.count(), limiter.in_flight()), (2, 3, 5));
    assert!(limiter.try_acquire().is_err());
    drop(two);
    assert_eq!(limiter.in_flight(), 3);
    drop(three);
    drop(limiter.try_acquire_many(5).unwrap());
    assert_at_rest(&limiter);
}

/// No request is made impossible by a shrink.
#[test]
fn request_above_a_lowered_ceiling_runs_alone() {
    let limiter = Limiter::new("cap", 8);
    let _ = limiter.set_ceiling(2);
    let small = limiter.try_acquire().unwrap();
    let large = waiter(&limiter, 5);
    assert_eq!(limiter.try_acquire_many(5).unwrap_err(), TryAcquireError::NoPermits);
    drop(small);
    let permit = large.granted();
    assert_eq!((limiter.in_flight(), limiter.ceiling(), limiter.available()), (5, 2, 0));
    assert!(limiter.try_acquire().is_err());
    let next = waiter(&limiter, 1);
    drop(permit);
    drop(next.granted());

    let alone = limiter.try_acquire_many(8).expect("it would run alone");
    assert_eq!(limiter.in_flight(), 8);
    drop(alone);
    drop(request(&limiter, 3).granted());
    assert_at_rest(&limiter);
}

/// One at a time, in their turn.
#[test]
fn two_requests_above_the_ceiling_do_not_run_together() {
    let limiter = Limiter::new("cap", 8);
    let _ = limiter.set_ceiling(2);
    let first = request(&limiter, 4).granted();
    let [mut second, third] = [waiter(&limiter, 4), waiter(&limiter, 1)];
    assert!(!second.poll());
    drop(first);
    let permit = second.granted();
    assert!(!third.is_woken());
    drop(permit);
    drop(third.granted());
    assert_at_rest(&limiter);
}

#[test]
fn nothing_runs_alone_under_a_ceiling_of_zero() {
    let limiter = Limiter::builder("cap").ceiling(4).min(0).build().unwrap();
    let _ = limiter.set_ceiling(0);
    assert_eq!(limiter.try_acquire_many(4).unwrap_err(), TryAcquireError::NoPermits);
    let mut large = waiter(&limiter, 4);
    assert!(!large.poll());
    let _ = limiter.set_ceiling(1);
    drop(large.granted());
    assert_at_rest(&limiter);
}

#[test]
fn request_for_nothing_is_granted_at_once() {
    let limiter = Limiter::builder("cap").ceiling(2).min(0).patience(0).max_waiting(1).build();
    let limiter = Arc::new(limiter.unwrap());
    let granted = |when: &str| {
        let in_flight = limiter.in_flight();
        assert_eq!(limiter.try_acquire_many(0).expect(when).count(), 0);
        assert_eq!(request(&limiter, 0).granted().count(), 0, "{when}");
        assert_eq!(limiter.try_acquire_many_owned(0).expect(when).count(), 0);
        assert_eq!(limiter.in_flight(), in_flight);
    };
    granted("it is idle");
    let held = take_all(&limiter);
    granted("it is full");
    let head = waiter(&limiter, 1);
    granted("the queue is full, too");
    let _ = limiter.set_ceiling(1);
    granted("more is in flight than the ceiling");
    limiter.pause();
    granted("it is paused");
    let _ = limiter.set_ceiling(0);
    granted("the ceiling is 0");
    drop((head, held));
    granted("the ceiling is 0, and nothing is in flight");

    limiter.close();
    assert_eq!(limiter.try_acquire_many(0).unwrap_err(), TryAcquireError::Closed);
    assert_eq!(request(&limiter, 0).refused(), AcquireError::Closed);
}

#[test]
fn request_above_max_is_refused_at_once() {
    let limiter = Arc::new(Limiter::builder("cap").ceiling(2).max(4).build().unwrap());
    for requested in [5, Limiter::MAX_CEILING + 1, usize::MAX] {
        let error = AcquireError::ExceedsMax { requested, max: 4 };
        let try_error = TryAcquireError::ExceedsMax { requested, max: 4 };
        let refused = || {
            assert_eq!(request(&limiter, requested).refused(), error);
            assert_eq!(limiter.acquire_many_owned(requested).blocking().unwrap_err(), error);
            assert_eq!(limiter.try_acquire_many(requested).unwrap_err(), try_error);
            assert_eq!(limiter.try_acquire_many_owned(requested).unwrap_err(), try_error);
        };
        refused();
        let held = take_all(&limiter);
        let head = waiter(&limiter, 1);
        refused();
        assert_eq!((limiter.in_flight(), limiter.waiting()), (2, 1));
        drop(held);
        drop(head.granted());
        for message in [error.to_string(), try_error.to_string()] {
            assert_eq!(
                message,
                format!(
                    "{requested} permits requested, but the ceiling is never above 4: ask for at \
                     most 4, or build the limiter with a larger `max`"
                )
            );
        }
    }
    drop(request(&limiter, 4).granted());
    assert_at_rest(&limiter);
}

/// The counts do not run into each other, nor into what else is kept beside them.
#[test]
fn largest_ceiling_can_be_used_up() {
    const MAX: usize = Limiter::MAX_CEILING;
    const { assert!(MAX >= (1 << 28) - 1) };
    let limiter = Limiter::new("cap", MAX);
    let mut all = limiter.try_acquire_many(MAX).unwrap();
    assert!(limiter.try_acquire().is_err());
    assert_eq!((limiter.in_flight(), limiter.ceiling(), limiter.available()), (MAX, MAX, 0));
    assert!(!limiter.is_closed() && !limiter.is_paused());
    let next = waiter(&limiter, MAX);
    drop(all.split(1));
    let _ = limiter.set_ceiling(1);
    assert_eq!((limiter.in_flight(), limiter.ceiling()), (MAX - 1, 1));
    drop(all);
    let alone = next.granted();
    assert_eq!((limiter.in_flight(), limiter.ceiling()), (MAX, 1));
    drop(alone);
    assert_at_rest(&limiter);
}

/// Counted apart from the limiter.
#[test]
fn threads_never_have_more_in_flight_than_the_ceiling() {
    const CEILING: usize = 3;
    must_end(|| {
        let limiter = Limiter::new("cap", CEILING);
        let in_flight = AtomicUsize::new(0);
        let work = |n: usize| {
            let now = in_flight.fetch_add(n, SeqCst) + n;
            assert!(now <= CEILING, "{now} in flight");
            std::thread::yield_now();
            in_flight.fetch_sub(n, SeqCst);
        };
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (limiter, work) = (&limiter, &work);
                scope.spawn(move || {
                    for round in 0..500 {
                        let n = (thread + round) % CEILING + 1;
                        let permit = match round % 3 {
                            0 => limiter.try_acquire_many(n).ok(),
                            _ => Some(limiter.acquire_many(n).blocking().unwrap()),
                        };
                        if let Some(permit) = permit {
                            work(permit.count());
                        }
                    }
                });
            }
        });
        assert_at_rest(&limiter);
    });
}

/// I1: by choice it waits for room instead, in line before those behind it.
#[test]
fn without_run_alone_a_request_above_the_ceiling_waits_for_room() {
    let limiter = Limiter::builder("cap").ceiling(4).min(0).max(8).run_alone(false);
    let limiter = limiter.build().unwrap();
    assert_eq!(limiter.try_acquire_many(5).unwrap_err(), TryAcquireError::NoPermits);
    let mut large = waiter(&limiter, 5);
    let held = limiter.try_acquire_many(4).unwrap();
    let small = waiter(&limiter, 1);
    drop(held);
    assert!(!large.run() && !small.is_woken());
    assert_eq!(limiter.in_flight(), 0);
    let _ = limiter.set_ceiling(5);
    let large = large.granted();
    assert!(!small.is_woken());
    drop(large);
    drop(small.granted());
    assert_at_rest(&limiter);
}
