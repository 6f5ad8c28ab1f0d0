//! A queue of limited length: `max_waiting`.

#![cfg(feature = "std")]

mod common;

use common::{assert_at_rest, request, waiter, waiters};
use grmgr::{AcquireError, Limiter, TryAcquireError};

fn limiter(max_waiting: usize) -> Limiter {
    Limiter::builder("bounded").ceiling(1).max(2).max_waiting(max_waiting).build().unwrap()
}

const fn full(max_waiting: usize) -> AcquireError {
    AcquireError::QueueFull { max_waiting }
}

#[test]
fn exactly_so_many_may_wait() {
    let limiter = limiter(2);
    let held = limiter.try_acquire().unwrap();
    let [first, second] = waiters(&limiter);
    assert_eq!(request(&limiter, 1).refused(), full(2));
    assert_eq!(request(&limiter, 2).refused(), full(2));
    assert_eq!(limiter.waiting(), 2);
    drop(held);
    drop(first.granted());
    drop(second.granted());
    assert_at_rest(&limiter);
}

#[test]
fn place_in_the_queue_is_free_again_once_its_waiter_is_served_or_gone() {
    let limiter = limiter(1);
    let held = limiter.try_acquire().unwrap();
    for _ in 0..3 {
        let [cancelled] = waiters(&limiter);
        assert_eq!(request(&limiter, 1).refused(), full(1));
        drop(cancelled);
    }
    let [served] = waiters(&limiter);
    drop(held);
    let permit = served.granted();
    let [next] = waiters(&limiter);
    assert_eq!(request(&limiter, 1).refused(), full(1));
    drop(permit);
    drop(next.granted());
    assert_at_rest(&limiter);
}

/// It has its place until it has looked.
#[test]
fn waiter_that_was_called_still_counts() {
    let limiter = Limiter::builder("bounded").ceiling(1).patience(0).max_waiting(1);
    let limiter = limiter.build().unwrap();
    let held = limiter.try_acquire().unwrap();
    let [called] = waiters(&limiter);
    drop(held);
    assert_eq!(request(&limiter, 1).refused(), full(1), "the free permit is not for newcomers");
    drop(called.granted());
    assert_at_rest(&limiter);
}

/// I4: the queue is for requests that have to wait.
#[test]
fn full_queue_refuses_nobody_who_is_served_at_once() {
    let limiter = limiter(1);
    let held = limiter.try_acquire().unwrap();
    let [called] = waiters(&limiter);
    drop(held);
    let barger = request(&limiter, 1).granted();
    assert_eq!(request(&limiter, 1).refused(), full(1));
    drop(barger);
    drop(called.granted());
    assert_at_rest(&limiter);
}

#[test]
fn without_places_nobody_waits() {
    let limiter = limiter(0);
    let held = request(&limiter, 1).granted();
    assert_eq!(request(&limiter, 1).refused(), full(0));
    assert_eq!(limiter.acquire_blocking().unwrap_err(), full(0));
    assert_eq!(limiter.try_acquire().unwrap_err(), TryAcquireError::NoPermits);
    drop(held);
    drop(request(&limiter, 1).granted());
    assert_at_rest(&limiter);
}

/// The order of the enum; what comes before it is in close.rs.
#[test]
fn exceeds_max_is_told_before_queue_full() {
    let limiter = limiter(0);
    let _held = limiter.try_acquire().unwrap();
    let error = AcquireError::ExceedsMax { requested: 3, max: 2 };
    assert_eq!(request(&limiter, 3).refused(), error);
}

#[test]
fn message_says_what_to_do() {
    assert_eq!(
        full(7).to_string(),
        "7 requests wait already: try again later, or build the limiter with a larger \
         `max_waiting`"
    );
    assert_eq!(
        TryAcquireError::NoPermits.to_string(),
        "too few permits are free: try again later, or wait with `acquire`"
    );
}

#[test]
fn queue_is_unbounded_by_default_and_with_the_largest_bound() {
    for limiter in [Limiter::new("bounded", 1), limiter(usize::MAX)] {
        let held = limiter.try_acquire().unwrap();
        let crowd: Vec<_> = (0..2_000).map(|_| waiter(&limiter, 1)).collect();
        assert_eq!(limiter.waiting(), 2_000);
        drop(held);
        for task in crowd {
            drop(task.granted());
        }
        assert_at_rest(&limiter);
    }
}

/// Threads that race for the last place.
#[test]
fn no_more_than_so_many_wait_however_many_come_at_once() {
    let limiter = limiter(2);
    for _ in 0..100 {
        let held = limiter.try_acquire().unwrap();
        let mut waiting: Vec<_> = std::thread::scope(|scope| {
            let threads = [(); 4].map(|()| scope.spawn(|| request(&limiter, 1)));
            threads.map(|thread| thread.join().unwrap()).into()
        });
        waiting.retain(|task| !task.is_done());
        assert_eq!((waiting.len(), limiter.waiting()), (2, 2));
        drop(held);
        drop(waiting);
        assert_at_rest(&limiter);
    }
}
