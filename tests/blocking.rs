//! Threads in the same line as tasks, and giving up after a while (I2, I4, I10, I12).

#![cfg(feature = "std")]

mod common;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use common::{assert_at_rest, must_end, take_all, until, waiter};
use grmgr::AcquireError::TimedOut;
use grmgr::{AcquireError, Limiter};

#[test]
fn free_permit_is_taken_without_blocking() {
    let limiter = Arc::new(Limiter::new("blocking", 2));
    let permits = (limiter.acquire_blocking().unwrap(), limiter.acquire_owned_blocking().unwrap());
    assert_eq!(limiter.in_flight(), 2);
    drop(permits);
    assert_eq!(limiter.acquire_many(2).blocking().unwrap().count(), 2);
    assert_eq!(limiter.acquire_many_blocking(2).unwrap().count(), 2);
    assert_eq!(limiter.acquire_many_owned(2).blocking().unwrap().count(), 2);
    assert_at_rest(&limiter);
}

/// I4: one line for both. A future keeps its place when it is waited for after it was polled.
#[test]
fn threads_and_tasks_are_served_in_the_order_they_came() {
    must_end(|| {
        let limiter = Limiter::new("blocking", 1);
        let held = limiter.try_acquire().unwrap();
        std::thread::scope(|scope| {
            let block = || {
                let (entered, has_entered) = channel();
                let limiter = &limiter;
                let thread = scope.spawn(move || {
                    let mut request = limiter.acquire();
                    let polled =
                        Pin::new(&mut request).poll(&mut Context::from_waker(Waker::noop()));
                    assert!(polled.is_pending());
                    entered.send(()).unwrap();
                    request.blocking().unwrap().forget();
                });
                has_entered.recv().unwrap();
                thread
            };
            let first = block();
            let second = waiter(&limiter, 1);
            let third = block();

            drop(held);
            first.join().unwrap();
            assert!(!second.is_woken() && !third.is_finished());
            limiter.done();
            let permit = second.granted();
            assert_eq!(limiter.waiting(), 1);
            drop(permit);
            third.join().unwrap();
            limiter.done();
        });
        assert_at_rest(&limiter);
    });
}

/// I4: the same without a race.
#[test]
fn request_in_line_that_is_waited_for_goes_past_nobody() {
    must_end(|| {
        let limiter = Limiter::new("blocking", 1);
        let held = limiter.try_acquire().unwrap();
        let first = waiter(&limiter, 1);
        let mut second = limiter.acquire();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut second).poll(&mut cx).is_pending());
        drop(held);
        assert_eq!(second.blocking_timeout(Duration::ZERO).unwrap_err(), TimedOut);
        drop(first.granted());
        assert_at_rest(&limiter);
    });
}

/// I3, I6.
#[test]
fn raise_releases_as_many_threads_as_it_adds() {
    must_end(|| {
        let limiter = Limiter::builder("blocking").ceiling(1).max(4).build().unwrap();
        let held = limiter.try_acquire().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| limiter.acquire_blocking().unwrap().forget());
            }
            until(|| limiter.waiting() == 4);
            let _ = limiter.set_ceiling(3);
            until(|| limiter.waiting() == 2);
            assert_eq!(limiter.in_flight(), 3);
            drop(held);
            until(|| limiter.waiting() == 1);
            limiter.done();
        });
        (0..3).for_each(|_| limiter.done());
        assert_at_rest(&limiter);
    });
}

/// I10: the place is lost, and nothing else.
#[test]
fn wait_that_times_out_leaves_the_line() {
    must_end(|| {
        let limiter = Arc::new(Limiter::new("blocking", 1));
        let held = limiter.try_acquire().unwrap();
        for timeout in [Duration::ZERO, Duration::from_nanos(1), Duration::from_millis(2)] {
            assert_eq!(limiter.acquire().blocking_timeout(timeout).unwrap_err(), TimedOut);
            assert_eq!(limiter.acquire_owned().blocking_timeout(timeout).unwrap_err(), TimedOut);
            let deadline = Instant::now() + timeout;
            assert_eq!(limiter.acquire().blocking_until(deadline).unwrap_err(), TimedOut);
            assert_eq!((limiter.in_flight(), limiter.waiting()), (1, 0));
        }
        let next = waiter(&limiter, 1);
        assert_eq!(limiter.acquire().blocking_timeout(Duration::ZERO).unwrap_err(), TimedOut);
        drop(held);
        drop(next.granted());
        assert_at_rest(&limiter);
    });
}

/// I10: the next in line is served, although the first had given up.
#[test]
fn head_that_times_out_passes_the_place_on() {
    must_end(|| {
        let limiter = Limiter::new("blocking", 1);
        let held = limiter.try_acquire().unwrap();
        std::thread::scope(|scope| {
            let first = scope.spawn(|| {
                let until = Instant::now() + Duration::from_millis(50);
                limiter.acquire().blocking_until(until).unwrap_err()
            });
            until(|| limiter.waiting() == 1 || first.is_finished());
            let next = waiter(&limiter, 1);
            assert_eq!(first.join().unwrap(), TimedOut);
            drop(held);
            drop(next.granted());
        });
        assert_at_rest(&limiter);
    });
}

/// A deadline that has passed still looks once.
#[test]
fn what_is_free_is_taken_whatever_the_deadline() {
    let limiter = Limiter::new("blocking", 1);
    let past = Instant::now();
    drop(limiter.acquire().blocking_timeout(Duration::ZERO).unwrap());
    drop(limiter.acquire().blocking_until(past).unwrap());
    let error = AcquireError::ExceedsMax { requested: 2, max: 1 };
    assert_eq!(limiter.acquire_many(2).blocking_timeout(Duration::ZERO).unwrap_err(), error);
    limiter.close();
    let closed = limiter.acquire().blocking_timeout(Duration::ZERO);
    assert_eq!(closed.unwrap_err(), AcquireError::Closed);
    assert_at_rest(&limiter);
}

/// I3: long before its time.
#[test]
fn grant_ends_a_wait_with_a_deadline() {
    const HOUR: Duration = Duration::from_secs(3_600);
    must_end(|| {
        let limiter = Limiter::new("blocking", 1);
        let held = limiter.try_acquire().unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| limiter.acquire().blocking_timeout(HOUR).is_ok());
            let idle = scope.spawn(|| limiter.wait().blocking_until(Instant::now() + HOUR));
            until(|| limiter.waiting() == 1);
            drop(held);
            assert!(waiting.join().unwrap());
            assert!(idle.join().unwrap());
        });
        assert_at_rest(&limiter);
    });
}

/// It would overflow every clock.
#[test]
fn longest_timeout_is_as_good_as_none() {
    must_end(|| {
        let limiter = Limiter::new("blocking", 1);
        let held = limiter.try_acquire().unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| limiter.acquire().blocking_timeout(Duration::MAX).is_ok());
            until(|| limiter.waiting() == 1);
            drop(held);
            assert!(waiting.join().unwrap());
        });
        assert_at_rest(&limiter);
    });
}

/// I2: Netflix/concurrency-limits#179. Whichever side wins, no permit is lost and none is made up; the
/// timeouts sweep over the moment of the release.
#[test]
fn timeout_that_meets_a_grant_loses_nothing() {
    must_end(|| {
        let limiter = Limiter::new("blocking", 1);
        let mut outcomes = [0, 0];
        for round in 0..400 {
            let held = limiter.try_acquire().unwrap();
            let granted = std::thread::scope(|scope| {
                let waiting = scope.spawn(|| {
                    let timeout = Duration::from_micros(round % 100);
                    limiter.acquire().blocking_timeout(timeout).is_ok()
                });
                until(|| limiter.waiting() == 1 || waiting.is_finished());
                drop(held);
                waiting.join().unwrap()
            });
            outcomes[usize::from(granted)] += 1;
            assert_at_rest(&limiter);
        }
        assert_eq!(outcomes[0] + outcomes[1], 400);
    });
}

/// I2: the same with several threads that are handed permits at the same time, and with large
/// requests among them.
#[test]
fn timeouts_of_many_threads_lose_nothing() {
    must_end(|| {
        let limiter = Limiter::new("blocking", 3);
        for round in 0..150 {
            let held = take_all(&limiter);
            std::thread::scope(|scope| {
                let threads = [0, 1, 2, 3].map(|i| {
                    let limiter = &limiter;
                    let n = if round % 2 == 0 { 1 } else { 1 + i % 2 };
                    let timeout = Duration::from_micros((round * 7 + i as u64 * 13) % 150);
                    scope.spawn(move || drop(limiter.acquire_many(n).blocking_timeout(timeout)))
                });
                until(|| limiter.waiting() > 0 || threads.iter().all(|t| t.is_finished()));
                drop(held);
            });
            assert_at_rest(&limiter);
        }
    });
}

/// Threads are parked and unparked by others, too.
#[test]
fn unpark_from_elsewhere_is_no_grant() {
    must_end(|| {
        let limiter = Limiter::new("blocking", 1);
        let held = limiter.try_acquire().unwrap();
        std::thread::scope(|scope| {
            // A token that is there before it blocks, and more while it does.
            let blocked = scope.spawn(|| {
                std::thread::current().unpark();
                limiter.acquire_blocking().unwrap().forget();
            });
            until(|| limiter.waiting() == 1);
            for _ in 0..100 {
                blocked.thread().unpark();
                std::thread::yield_now();
            }
            assert_eq!((limiter.waiting(), limiter.in_flight()), (1, 1));
            assert!(!blocked.is_finished());
            drop(held);
            blocked.join().unwrap();
        });
        limiter.done();
        assert_at_rest(&limiter);
    });
}

/// What one wait leaves behind does not disturb the next on the same thread.
#[test]
fn thread_may_wait_again_and_again() {
    must_end(|| {
        let [here, there] = [(); 2].map(|()| Limiter::new("blocking", 1));
        let mine = here.try_acquire().unwrap();
        let (mut mine, theirs) = (Some(mine), there.try_acquire().unwrap());
        std::thread::scope(|scope| {
            // Two that hand the permits to and fro.
            let other = scope.spawn(|| {
                let mut theirs = Some(theirs);
                for _ in 0..200 {
                    here.acquire_blocking().unwrap().forget();
                    drop(theirs.take());
                    there.acquire_blocking().unwrap().forget();
                    here.done();
                    theirs = None;
                    there.done();
                }
            });
            for _ in 0..200 {
                drop(mine.take());
                match here.acquire().blocking_timeout(Duration::ZERO) {
                    Ok(permit) => drop(permit),
                    Err(error) => assert_eq!(error, TimedOut),
                }
                drop(there.acquire_blocking().unwrap());
            }
            other.join().unwrap();
        });
        assert_at_rest(&here);
        assert_at_rest(&there);
    });
}

/// Blocking inside a future that is itself being blocked on.
#[test]
fn wait_inside_a_wait_has_a_wake_up_of_its_own() {
    must_end(|| {
        let [outer, inner] = [(); 2].map(|()| Arc::new(Limiter::new("blocking", 1)));
        let held = (outer.clone().try_acquire_owned(), inner.clone().try_acquire_owned());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                smol::future::block_on(async {
                    drop(outer.acquire().await.unwrap());
                    inner.acquire_blocking().unwrap().forget();
                });
            });
            until(|| outer.waiting() == 1);
            drop(held.0);
            until(|| inner.waiting() == 1);
            drop(held.1);
        });
        inner.done();
        assert_at_rest(&outer);
        assert_at_rest(&inner);
    });
}

/// A wake-up counts once: a thread that is woken in vain sleeps again, and gives up when it is time.
#[test]
fn thread_woken_in_vain_gives_up_in_time() {
    must_end(|| {
        let limiter = Limiter::new("blocking", 2);
        let mut held = take_all(&limiter);
        std::thread::scope(|scope| {
            let large = limiter.acquire_many(2);
            let thread =
                scope.spawn(|| large.blocking_timeout(Duration::from_millis(300)).is_err());
            until(|| limiter.waiting() == 1 || thread.is_finished());
            // Too few for it.
            held.pop();
            assert!(thread.join().unwrap());
        });
        drop(held);
        assert_at_rest(&limiter);
    });
}

/// As a request that is dropped: what it leaves behind is the same.
#[cfg(feature = "stats")]
#[test]
fn request_out_of_time_is_counted_as_cancelled() {
    let limiter = Limiter::new("blocking", 1);
    let held = limiter.try_acquire().unwrap();
    assert_eq!(limiter.acquire().blocking_timeout(Duration::ZERO).unwrap_err(), TimedOut);
    assert_eq!(limiter.acquire().blocking_until(Instant::now()).unwrap_err(), TimedOut);
    let stats = limiter.snapshot().stats;
    assert_eq!((stats.acquired, stats.waited, stats.cancelled), (1, 2, 2));
    assert_eq!(stats.refused_closed + stats.refused_exceeds_max + stats.refused_queue_full, 0);
    drop(held);
    drop(limiter.acquire().blocking_timeout(Duration::ZERO).unwrap());
    assert_eq!(limiter.snapshot().stats.cancelled, 2);
}

#[test]
fn errors_of_the_two_kinds_fit_where_they_can() {
    use grmgr::TryAcquireError;
    let limiter = Limiter::new("blocking", 1);
    let held = limiter.try_acquire().unwrap();
    let fits = |n| AcquireError::try_from(limiter.try_acquire_many(n).unwrap_err());
    assert_eq!(fits(1), Err(TryAcquireError::NoPermits));
    assert_eq!(fits(2), Ok(AcquireError::ExceedsMax { requested: 2, max: 1 }));
    limiter.close();
    assert_eq!(fits(1), Ok(AcquireError::Closed));
    drop(held);
}

#[test]
fn error_says_that_the_time_was_not_enough() {
    assert_eq!(
        TimedOut.to_string(),
        "no permit came free in time: try again later, wait longer, or raise the ceiling"
    );
}
