//! Permits of several limiters at once (I1, I2, I10, I14), without deadlock.

#![cfg(feature = "std")]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use common::{Task, assert_at_rest, must_end, panic_of, until, waiter};
use grmgr::AcquireError::{Closed, ExceedsMax, QueueFull, Repeated, TimedOut};
use grmgr::{Handle, Limiter, Permit, acquire_all};

/// Limiters in the order in which they are acquired: that of their addresses.
fn limiters<const N: usize>(ceiling: usize) -> [Box<Limiter>; N] {
    let mut limiters = [(); N].map(|()| Box::new(Limiter::new("all", ceiling)));
    limiters.sort_unstable_by_key(|limiter| &raw const **limiter);
    limiters
}

#[track_caller]
fn assert_all_at_rest(limiters: &[Box<Limiter>]) {
    for limiter in limiters {
        assert_at_rest(limiter);
    }
}

/// Whatever the order of their addresses.
#[test]
fn permits_come_in_the_order_written() {
    let all = limiters::<3>(5);
    let [a, b, c] = all.each_ref().map(|limiter| &**limiter);
    for wants in [
        [(a, 1), (b, 2), (c, 3)],
        [(a, 1), (c, 3), (b, 2)],
        [(b, 2), (a, 1), (c, 3)],
        [(b, 2), (c, 3), (a, 1)],
        [(c, 3), (a, 1), (b, 2)],
        [(c, 3), (b, 2), (a, 1)],
    ] {
        let permits = Task::start(acquire_all(wants)).output().unwrap();
        for (permit, (limiter, n)) in permits.iter().zip(wants) {
            assert!(std::ptr::eq(permit.limiter(), limiter));
            assert_eq!((permit.count(), limiter.in_flight()), (n, n));
        }
        drop(permits);
        assert_all_at_rest(&all);
    }
}

#[test]
fn any_number_of_limiters_will_do() {
    let none: [Permit<'_>; 0] = acquire_all([]).blocking().unwrap();
    assert!(none.is_empty());
    assert!(Task::start(acquire_all([])).output().unwrap().is_empty());
    let [a] = limiters(2);
    let [permit] = acquire_all([(&a, 2)]).blocking().unwrap();
    assert_eq!(permit.count(), 2);
}

/// Handles, statics and plain limiters side by side, as they are written.
#[test]
fn limiters_may_be_kept_in_any_way() {
    static STATIC: Limiter = Limiter::const_new("static", 1);
    let (handle, plain) = (Handle::from(Limiter::new("handle", 1)), Limiter::new("plain", 1));
    let shared = Arc::new(Limiter::new("shared", 1));
    let wants = acquire_all([(&handle, 1), (&STATIC, 1), (&plain, 1), (&shared, 1)]);
    assert_eq!(
        wants.blocking().unwrap().map(|permit| permit.limiter().name()),
        ["handle", "static", "plain", "shared"]
    );
}

/// They wait in one order: a call that has the first holds it while it waits for the second.
#[test]
fn what_is_granted_is_held_while_the_next_is_waited_for() {
    let all = limiters::<3>(1);
    let [a, b, c] = all.each_ref().map(|limiter| &**limiter);
    let held = b.try_acquire().unwrap();
    let mut task = Task::start(acquire_all([(c, 1), (b, 1), (a, 1)]));
    assert_eq!([a, b, c].map(|limiter| limiter.in_flight()), [1, 1, 0]);
    assert_eq!([a, b, c].map(|limiter| limiter.waiting()), [0, 1, 0]);
    drop(held);
    assert!(task.run());
    assert_eq!([a, b, c].map(|limiter| limiter.in_flight()), [1, 1, 1]);
    drop(task);
    assert_all_at_rest(&all);
}

/// I2, I10: at each place in the line, called or not.
#[test]
fn dropping_it_gives_all_back() {
    let all = limiters::<3>(1);
    let [a, b, c] = all.each_ref().map(|limiter| &**limiter);
    drop(acquire_all([(a, 1), (b, 1)]));
    for full in [a, b, c] {
        for called in [false, true] {
            let held = full.try_acquire().unwrap();
            let task = Task::start(acquire_all([(a, 1), (b, 1), (c, 1)]));
            assert!(!task.is_done());
            let next = waiter(full, 1);
            if called {
                drop(held);
                assert!(task.is_woken());
                task.cancel();
            } else {
                task.cancel();
                drop(held);
            }
            drop(next.granted());
            assert_all_at_rest(&all);
        }
    }
}

/// I14: it would wait for itself.
#[test]
fn limiter_named_twice_is_an_error_and_takes_nothing() {
    let all = limiters::<2>(2);
    let [a, b] = all.each_ref().map(|limiter| &**limiter);
    let error = acquire_all([(a, 1), (b, 1), (a, 1)]).blocking().unwrap_err();
    assert_eq!(error, Repeated { first: 0, again: 2 });
    assert_eq!(
        error.to_string(),
        "entries 0 and 2 are of the same limiter: make them one entry that asks for the permits of \
         both"
    );
    assert_eq!(
        acquire_all([(b, 0), (b, 0)]).blocking().unwrap_err(),
        Repeated { first: 0, again: 1 }
    );
    // Full or closed: it is told first, and at once.
    let held = (a.try_acquire_many(2).unwrap(), b.try_acquire_many(2).unwrap());
    let task = Task::start(acquire_all([(a, 1), (b, 1), (b, 9)]));
    assert_eq!(task.output().unwrap_err(), Repeated { first: 1, again: 2 });
    drop(held);
    assert_all_at_rest(&all);
}

/// Also if the one that refuses would come last, and the first is full.
#[test]
fn what_can_never_be_granted_is_refused_before_anything_is_taken() {
    let all = limiters::<3>(2);
    let [a, b, c] = all.each_ref().map(|limiter| &**limiter);
    let held = a.try_acquire_many(2).unwrap();
    for wants in [[(a, 1), (b, 1), (c, 3)], [(c, 3), (b, 1), (a, 1)]] {
        let error = Task::start(acquire_all(wants)).output().unwrap_err();
        assert_eq!(error, ExceedsMax { requested: 3, max: 2 });
    }
    c.close();
    for n in [0, 1, 3] {
        let error = Task::start(acquire_all([(a, 1), (b, 1), (c, n)])).output().unwrap_err();
        assert_eq!(error, Closed);
    }
    drop(held);
    assert_all_at_rest(&all);
}

/// Refused later, when others have been granted: they are back before the future is dropped.
#[test]
fn permits_are_back_as_soon_as_one_is_refused() {
    let all = limiters::<2>(1);
    let [a, b] = all.each_ref().map(|limiter| &**limiter);
    let held = b.try_acquire().unwrap();
    let mut future = Box::pin(acquire_all([(a, 1), (b, 1)]));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(future.as_mut().poll(&mut cx).is_pending());
    assert_eq!(a.in_flight(), 1);
    b.close();
    let std::task::Poll::Ready(outcome) = future.as_mut().poll(&mut cx) else {
        panic!("it is closed")
    };
    assert_eq!(outcome.unwrap_err(), Closed);
    assert_at_rest(a);
    assert_eq!(
        panic_of(|| future.as_mut().poll(&mut cx)),
        "an acquire_all future was polled again after it was ready"
    );
    drop(held);

    let full = Limiter::builder("full").ceiling(1).max_waiting(0).build().unwrap();
    let held = full.try_acquire().unwrap();
    let error = acquire_all([(a, 1), (&full, 1)]).blocking().unwrap_err();
    assert_eq!(error, QueueFull { max_waiting: 0 });
    drop(held);
    assert_at_rest(&full);
    assert_all_at_rest(&all);
}

/// I1: more than the ceiling, and no more than the highest, runs alone, here as elsewhere.
#[test]
fn large_and_empty_requests_are_as_elsewhere() {
    let limiter = Limiter::builder("large").ceiling(2).max(5).build().unwrap();
    let [other] = limiters(1);
    let [large, empty] = acquire_all([(&limiter, 5), (&other, 0)]).blocking().unwrap();
    assert_eq!((large.count(), limiter.in_flight()), (5, 5));
    assert_eq!((empty.count(), other.in_flight()), (0, 0));
}

#[test]
fn blocking_forms_end_in_time() {
    must_end(|| {
        let all = limiters::<2>(1);
        let [a, b] = all.each_ref().map(|limiter| &**limiter);
        drop(acquire_all([(a, 1), (b, 1)]).blocking_timeout(Duration::ZERO).unwrap());
        drop(acquire_all([(a, 1), (b, 1)]).blocking_until(Instant::now()).unwrap());
        let held = b.try_acquire().unwrap();
        let timeout = Duration::from_millis(1);
        let error = acquire_all([(a, 1), (b, 1)]).blocking_timeout(timeout).unwrap_err();
        assert_eq!(error, TimedOut);
        let error = acquire_all([(b, 1), (a, 1)]).blocking_until(Instant::now()).unwrap_err();
        assert_eq!(error, TimedOut);
        assert_eq!((a.in_flight(), b.waiting()), (0, 0));
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                acquire_all([(b, 1), (a, 1)]).blocking_timeout(Duration::MAX).unwrap().len()
            });
            until(|| b.waiting() == 1);
            drop(held);
            assert_eq!(thread.join().unwrap(), 2);
        });
        assert_all_at_rest(&all);
    });
}

/// Both are full when the two calls come, and then are free at once. In the orders written, each
/// would have one and wait for the other's; strictly first in, first out, so that neither overtakes.
#[test]
fn calls_with_opposite_orders_do_not_wait_for_each_other() {
    let [a, b] = &[(); 2]
        .map(|()| Limiter::builder("all").ceiling(1).patience(0).build().expect("valid settings"));
    let [forwards, backwards] = [[(a, 1), (b, 1)], [(b, 1), (a, 1)]];
    for orders in [[forwards, backwards], [backwards, forwards]] {
        let held = (a.try_acquire().unwrap(), b.try_acquire().unwrap());
        let mut calls = orders.map(|wants| Task::start(acquire_all(wants)));
        drop(held);
        while calls.iter_mut().any(|call| call.is_woken()) {
            for call in &mut calls {
                call.run();
                drop(call.take());
            }
        }
        assert!(calls.iter().all(Task::is_done));
    }
    assert_at_rest(a);
    assert_at_rest(b);
}

/// The same with threads, round after round.
#[test]
fn threads_with_opposite_orders_do_not_wait_for_each_other() {
    must_end(|| {
        let all = limiters::<3>(1);
        let [a, b, c] = all.each_ref().map(|limiter| &**limiter);
        let orders = [
            [(a, 1), (b, 1), (c, 1)],
            [(b, 1), (c, 1), (a, 1)],
            [(c, 1), (a, 1), (b, 1)],
            [(c, 1), (b, 1), (a, 1)],
        ];
        for _ in 0..200 {
            let held = [a, b, c].map(|limiter| limiter.try_acquire().unwrap());
            std::thread::scope(|scope| {
                for wants in orders {
                    scope.spawn(move || drop(acquire_all(wants).blocking().unwrap()));
                }
                until(|| {
                    all.iter().map(|limiter| limiter.waiting()).sum::<usize>() == orders.len()
                });
                drop(held);
            });
        }
        assert_all_at_rest(&all);
    });
}

/// The same with tasks, which hold what they have while others run.
#[test]
fn tasks_with_opposite_orders_do_not_wait_for_each_other() {
    const TASKS: usize = 4;
    must_end(|| {
        let all: Arc<[Box<Limiter>; 2]> = Arc::new(limiters(1));
        for workers in [1, 2] {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(workers)
                .build()
                .unwrap();
            let task = |forwards: bool| {
                let all = all.clone();
                async move {
                    let [a, b] = all.each_ref().map(|limiter| &**limiter);
                    let wants = if forwards { [(a, 1), (b, 1)] } else { [(b, 1), (a, 1)] };
                    for _ in 0..5 {
                        let permits = acquire_all(wants).await.unwrap();
                        tokio::task::yield_now().await;
                        drop(permits);
                        tokio::task::yield_now().await;
                    }
                }
            };
            for _ in 0..100 {
                let held = all.each_ref().map(|limiter| limiter.try_acquire().unwrap());
                let tasks: Vec<_> = (0..TASKS).map(|i| runtime.spawn(task(i % 2 == 0))).collect();
                until(|| all.iter().map(|limiter| limiter.waiting()).sum::<usize>() == TASKS);
                drop(held);
                for task in tasks {
                    runtime.block_on(task).unwrap();
                }
            }
        }
        assert_all_at_rest(&all[..]);
    });
}

#[test]
fn permits_are_back_when_their_holder_panics() {
    let all = limiters::<2>(1);
    let [a, b] = all.each_ref().map(|limiter| &**limiter);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let _both = acquire_all([(a, 1), (b, 1)]).blocking().unwrap();
        panic!("on purpose");
    }));
    assert!(outcome.is_err());
    assert_all_at_rest(&all);
}

#[test]
fn it_tells_what_it_wants_and_has() {
    let all = limiters::<2>(1);
    let [a, b] = all.each_ref().map(|limiter| &**limiter);
    let mut future = Box::pin(acquire_all([(b, 1), (a, 1)]));
    let _held = b.try_acquire().unwrap();
    assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let seen = format!("{future:?}");
    assert!(seen.contains("(\"all\", 1)") && seen.contains("granted: 1"), "{seen}");
}

/// A future that waits already may be waited for by the thread instead: it keeps its place, and what it
/// has.
#[test]
fn request_that_waits_may_go_on_by_blocking() {
    let all = limiters::<2>(1);
    let [a, b] = all.each_ref().map(|limiter| &**limiter);
    let held = b.try_acquire().unwrap();
    let mut future = acquire_all([(b, 1), (a, 1)]);
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut future).poll(cx).is_pending());
    let behind = waiter(b, 1);
    drop(held);
    let permits = future.blocking().unwrap();
    assert_eq!((a.in_flight(), b.in_flight(), b.waiting()), (1, 1, 1));
    drop(permits);
    drop(behind.granted());

    let mut future = acquire_all([(a, 1), (b, 1)]);
    assert!(Pin::new(&mut future).poll(cx).is_ready());
    let message = panic_of(|| future.blocking());
    assert_eq!(message, "an acquire_all future was polled again after it was ready");
    assert_all_at_rest(&all);
}
