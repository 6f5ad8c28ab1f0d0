//! Waiting until nothing is in flight and no request waits (I11).

#![cfg(feature = "std")]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use common::{Task, assert_at_rest, must_end, request, take_all, waiter, waiters};
use grmgr::{AcquireError, Limiter};

#[test]
fn idle_limiter_is_not_waited_for() {
    let limiter = Limiter::new("idle", 2);
    assert!(Task::start(limiter.wait()).is_done());
    limiter.wait_blocking();
    assert!(limiter.wait().blocking_timeout(Duration::ZERO));
    limiter.pause();
    assert!(Task::start(limiter.wait()).is_done(), "also when it is paused");
}

#[test]
fn last_release_ends_the_wait() {
    let limiter = Limiter::new("idle", 2);
    let mut held = take_all(&limiter);
    let mut idle = Task::start(limiter.wait());
    held.pop();
    assert!(!idle.is_woken() && !idle.poll());
    held.pop();
    assert!(idle.run());
}

#[test]
fn any_number_may_wait() {
    must_end(|| {
        let limiter = Limiter::new("idle", 1);
        let held = limiter.try_acquire().unwrap();
        let tasks = [(); 3].map(|()| Task::start(limiter.wait()));
        std::thread::scope(|scope| {
            let threads = [(); 2].map(|()| scope.spawn(|| limiter.wait_blocking()));
            drop(held);
            for mut task in tasks {
                assert!(task.run());
            }
            for thread in threads {
                thread.join().unwrap();
            }
        });
    });
}

/// The moment has been, whatever came after it.
#[test]
fn moment_is_latched() {
    let limiter = Limiter::new("idle", 1);
    let held = limiter.try_acquire().unwrap();
    let mut idle = Task::start(limiter.wait());
    drop(held);
    let _held = limiter.try_acquire().unwrap();
    let _waiting = waiter(&limiter, 1);
    assert!(idle.run());
}

/// Each wait needs a moment of its own time.
#[test]
fn wait_begun_after_the_moment_needs_another() {
    let limiter = Limiter::new("idle", 1);
    let held = limiter.try_acquire().unwrap();
    let early = Task::start(limiter.wait());
    drop(held);
    let held = limiter.try_acquire().unwrap();
    let mut late = Task::start(limiter.wait());
    // Its moment is its own: dropped unseen, it is not passed on.
    assert!(early.is_woken());
    drop(early);
    assert!(!late.is_woken() && !late.poll());
    drop(held);
    assert!(late.run());
}

#[test]
fn dropped_wait_takes_nothing_from_the_others() {
    let limiter = Limiter::new("idle", 1);
    let held = limiter.try_acquire().unwrap();
    let [first, mut second] = [(); 2].map(|()| Task::start(limiter.wait()));
    drop(first);
    drop(held);
    assert!(second.run());
}

/// A limiter whose free permit is meant for a waiter is not idle.
#[test]
fn waiters_on_their_way_keep_it_busy() {
    let limiter = Limiter::new("idle", 2);
    let held = take_all(&limiter);
    let [head, handed, called] = waiters(&limiter);
    let mut idle = Task::start(limiter.wait());
    drop(held);
    assert!(!idle.poll());
    let permits = (head.granted(), handed.granted());
    assert!(!idle.poll());
    drop(permits);
    assert!(!idle.poll(), "the third is called and has not looked");
    let permit = called.granted();
    assert!(!idle.poll());
    drop(permit);
    assert!(idle.run());
}

/// Paused, so that waiting is all that keeps it busy.
#[test]
fn queue_emptied_by_cancellation_is_idle() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0]] {
        let limiter = Limiter::new("idle", 1);
        limiter.pause();
        let mut line = waiters::<3>(&limiter).map(Some);
        let mut idle = Task::start(limiter.wait());
        for (gone, i) in order.into_iter().enumerate() {
            assert!(!idle.is_woken() && !idle.poll(), "{gone} of 3 are gone, {order:?}");
            line[i] = None;
        }
        assert!(idle.run(), "{order:?}");
        limiter.resume();
        assert_at_rest(&limiter);
    }
}

#[test]
fn queue_emptied_by_cancelling_what_was_handed_over_is_idle() {
    let limiter = Limiter::new("idle", 2);
    let held = take_all(&limiter);
    let [head, handed] = waiters(&limiter);
    let mut idle = Task::start(limiter.wait());
    drop(held);
    drop(head);
    assert!(!idle.poll());
    drop(handed);
    assert!(idle.run());
}

#[test]
fn queue_emptied_by_close_is_idle() {
    let limiter = Limiter::new("idle", 1);
    limiter.pause();
    let line = waiters::<3>(&limiter);
    let mut idle = Task::start(limiter.wait());
    assert!(!idle.poll());
    limiter.close();
    assert!(idle.run(), "all waiters have their answer");
    drop(line);
    assert_at_rest(&limiter);
}

/// A refused request is at no time one that waits.
#[test]
fn refused_request_leaves_it_idle() {
    let limiter = Limiter::builder("idle").ceiling(1).max_waiting(1).build().unwrap();
    limiter.pause();
    let [waiting] = waiters(&limiter);
    let mut idle = Task::start(limiter.wait());
    assert_eq!(request(&limiter, 1).refused(), AcquireError::QueueFull { max_waiting: 1 });
    assert!(!idle.is_woken() && !idle.poll());
    drop(waiting);
    assert!(idle.run());
}

#[test]
fn forgotten_permits_keep_it_busy_until_done() {
    let limiter = Limiter::new("idle", 2);
    limiter.try_acquire_many(2).unwrap().forget();
    let mut idle = Task::start(limiter.wait());
    limiter.done();
    assert!(!idle.poll());
    limiter.done();
    assert!(idle.run());
}

/// A guard without permits is nothing in flight.
#[test]
fn guard_of_nothing_does_not_keep_it_busy() {
    let limiter = Limiter::new("idle", 2);
    let _nothing = limiter.try_acquire_many(0).unwrap();
    assert!(Task::start(limiter.wait()).is_done());
}

#[test]
fn blocking_wait_may_be_given_up() {
    must_end(|| {
        let limiter = Limiter::new("idle", 1);
        let held = limiter.try_acquire().unwrap();
        assert!(!limiter.wait().blocking_timeout(Duration::from_millis(1)));
        assert!(!limiter.wait().blocking_until(std::time::Instant::now()));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| limiter.wait().blocking_timeout(Duration::MAX));
            drop(held);
            assert!(waiting.join().unwrap());
        });
    });
}

/// As Go's `Wait` after the last `Done` of many threads: what was done under the permits is seen.
#[test]
fn wait_outlasts_the_work_of_all_threads() {
    must_end(|| {
        let limiter = Limiter::new("idle", 3);
        for _ in 0..200 {
            let finished = AtomicUsize::new(0);
            std::thread::scope(|scope| {
                for permit in take_all(&limiter) {
                    scope.spawn(|| {
                        finished.fetch_add(1, Relaxed);
                        drop(permit);
                    });
                }
                limiter.wait_blocking();
                assert_eq!(finished.load(Relaxed), 3);
            });
        }
    });
}
