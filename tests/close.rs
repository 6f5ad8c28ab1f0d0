//! Closing for good (I9).

#![cfg(feature = "std")]

mod common;

use std::sync::Arc;

use common::{Task, assert_at_rest, must_end, request, take_all, until, waiter, waiters, woken};
use grmgr::{AcquireError, Adjustment, Limiter, TryAcquireError};

#[test]
fn close_wakes_every_waiter_with_closed() {
    for patience in [0, 16] {
        let limiter = Limiter::builder("close").ceiling(2).patience(patience).build().unwrap();
        let held = take_all(&limiter);
        let line = [1, 1, 2, 1, 1].map(|n| waiter(&limiter, n));
        limiter.close();
        assert!(limiter.is_closed());
        assert_eq!(woken(&line), [true; 5]);
        for task in line {
            assert_eq!(task.refused(), AcquireError::Closed);
        }
        assert_eq!(limiter.in_flight(), 2);
        drop(held);
        assert_at_rest(&limiter);
    }
}

#[test]
fn later_requests_get_closed() {
    let limiter = Arc::new(Limiter::new("close", 2));
    let mut unpolled = Task::new(limiter.acquire());
    limiter.close();
    assert!(unpolled.poll());
    assert_eq!(unpolled.output().unwrap_err(), AcquireError::Closed);
    assert_eq!(request(&limiter, 1).refused(), AcquireError::Closed);
    assert_eq!(limiter.acquire_owned().blocking().unwrap_err(), AcquireError::Closed);
    assert_eq!(limiter.acquire_blocking().unwrap_err(), AcquireError::Closed);
    assert_eq!(limiter.try_acquire().unwrap_err(), TryAcquireError::Closed);
    assert_eq!(limiter.try_acquire_owned().unwrap_err(), TryAcquireError::Closed);
    for message in [AcquireError::Closed.to_string(), TryAcquireError::Closed.to_string()] {
        assert_eq!(message, "the limiter is closed and grants nothing any more: make a new one");
    }
    assert_at_rest(&limiter);
}

/// The first of several reasons, in the order of the enum.
#[test]
fn closed_is_told_before_anything_else() {
    let limiter = Limiter::builder("close").ceiling(2).max_waiting(0).build().unwrap();
    limiter.close();
    assert_eq!(request(&limiter, 3).refused(), AcquireError::Closed);
    assert_eq!(request(&limiter, 1).refused(), AcquireError::Closed);
    assert_eq!(limiter.try_acquire_many(3).unwrap_err(), TryAcquireError::Closed);
}

#[test]
fn permits_that_are_out_stay_valid() {
    let limiter = Limiter::new("close", 3);
    let mut held = limiter.try_acquire_many(3).unwrap();
    limiter.close();
    let part = held.split(1).unwrap();
    assert_eq!(limiter.in_flight(), 3);
    drop(part);
    assert_eq!(limiter.in_flight(), 2);
    held.forget();
    limiter.done();
    limiter.done();
    assert_at_rest(&limiter);
}

#[test]
fn close_is_permanent() {
    let limiter = Limiter::builder("close").ceiling(2).max(8).build().unwrap();
    limiter.close();
    assert_eq!(limiter.set_ceiling(4), Adjustment::Changed { from: 2, to: 4 });
    limiter.pause();
    limiter.resume();
    limiter.close();
    assert!(limiter.is_closed() && limiter.snapshot().closed);
    assert_eq!(limiter.try_acquire().unwrap_err(), TryAcquireError::Closed);
    assert_eq!(request(&limiter, 1).refused(), AcquireError::Closed);
}

/// Closed outranks paused.
#[test]
fn close_reaches_the_waiters_of_a_paused_limiter() {
    let limiter = Limiter::new("close", 2);
    limiter.pause();
    let line = waiters::<3>(&limiter);
    limiter.close();
    for task in line {
        assert_eq!(task.refused(), AcquireError::Closed);
    }
    assert!(limiter.is_paused(), "a state of its own");
    assert_eq!(limiter.try_acquire().unwrap_err(), TryAcquireError::Closed);
    assert_at_rest(&limiter);
}

/// I11, too.
#[test]
fn wait_after_close_ends_with_the_last_permit() {
    let limiter = Limiter::new("close", 2);
    let mut held = take_all(&limiter);
    let line = waiters::<3>(&limiter);
    let mut before = Task::start(limiter.wait());
    limiter.close();
    let mut after = Task::start(limiter.wait());
    held.pop();
    assert!(!before.poll() && !after.poll());
    held.pop();
    assert!(before.run() && after.run(), "the waiters need not have looked");
    assert!(Task::start(limiter.wait()).is_done());
    drop(line);
    assert_at_rest(&limiter);
}

/// I2, I9: it may or may not still get its permit, but nothing is lost.
#[test]
fn waiter_handed_its_permit_before_the_close_accounts_for_it() {
    for run_first in [0, 1] {
        let limiter = Limiter::new("close", 2);
        let held = take_all(&limiter);
        let mut line = waiters::<3>(&limiter);
        drop(held);
        assert_eq!(limiter.in_flight(), 1, "handed to the second");
        limiter.close();
        let idle = Task::start(limiter.wait());
        assert!(!idle.is_done());
        assert!(line[run_first].run());
        assert!(line[1 - run_first].run());
        assert!(line[2].run());
        let granted = line.into_iter().map(Task::output).filter(Result::is_ok).count();
        assert!(granted <= 1);
        assert!(idle.is_woken());
        assert_at_rest(&limiter);
    }
}

/// I10: a waiter woken by the close, and dropped.
#[test]
fn waiters_dropped_after_the_close_leave_nothing_behind() {
    let limiter = Limiter::new("close", 2);
    let held = take_all(&limiter);
    let [first, second, third, fourth] = waiters(&limiter);
    limiter.close();
    drop((second, first));
    assert_eq!(fourth.refused(), AcquireError::Closed);
    drop(held);
    drop(third);
    assert_at_rest(&limiter);
}

#[test]
fn blocked_threads_get_closed() {
    must_end(|| {
        let limiter = Limiter::new("close", 1);
        let held = limiter.try_acquire().unwrap();
        std::thread::scope(|scope| {
            let blocked = [(); 3].map(|()| scope.spawn(|| limiter.acquire_blocking().map(drop)));
            until(|| limiter.waiting() == 3);
            limiter.close();
            for thread in blocked {
                assert_eq!(thread.join().unwrap(), Err(AcquireError::Closed));
            }
        });
        drop(held);
        assert_at_rest(&limiter);
    });
}
