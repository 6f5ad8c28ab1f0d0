//! What went wrong elsewhere, each named after the public thread in which it was reported. The
//! themes are tested in full in the other files; here stands the very situation of the report.

#![cfg(feature = "std")]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use common::{Task, assert_at_rest, must_end, panic_of, request, take_all, until};
use common::{waiter, waiters, woken};
use grmgr::{AcquireError, Adjustment, Limiter, ManualClock, TryAcquireError};

fn limiter(ceiling: usize) -> Limiter {
    Limiter::builder("field").ceiling(ceiling).min(0).max(16).build().unwrap()
}

/// MaterializeInc/materialize#38509: `forget_permits` took nothing while requests queued, because
/// each released permit went straight to the queue. I5.
#[test]
fn materialize_38509_shrink_while_waiters_queue() {
    let limiter = limiter(4);
    let mut held = take_all(&limiter);
    let line = waiters::<4>(&limiter);
    let _ = limiter.set_ceiling(1);
    for _ in 0..3 {
        held.pop();
        assert_eq!(woken(&line), [false; 4]);
    }
    held.pop();
    for task in line {
        let permit = task.granted();
        assert_eq!(limiter.in_flight(), 1);
        drop(permit);
    }
    assert_at_rest(&limiter);
}

/// stateless-validator#188: a debt beside the count, paid twice or never when releases and further
/// changes met it. I5, I2.
#[test]
fn stateless_validator_188_changes_race_with_releases() {
    must_end(|| {
        let limiter = limiter(8);
        for round in 0..200 {
            let _ = limiter.set_ceiling(8);
            let held = take_all(&limiter);
            assert_eq!(held.len(), 8);
            std::thread::scope(|scope| {
                scope.spawn(|| drop(held));
                for ceiling in [1 + round % 3, 5] {
                    let limiter = &limiter;
                    scope.spawn(move || _ = limiter.set_ceiling(ceiling));
                }
            });
            assert_at_rest(&limiter);
        }
    });
}

/// agronholm/anyio#1223: the second change waked for the difference to the first. I5, I6.
#[test]
fn anyio_1223_lower_then_raise_grants_too_many() {
    let limiter = limiter(10);
    let mut held = take_all(&limiter);
    let line = waiters::<10>(&limiter);
    let _ = limiter.set_ceiling(2);
    let _ = limiter.set_ceiling(6);
    assert_eq!(woken(&line), [false; 10]);
    held.truncate(5);
    assert_eq!(woken(&line).iter().filter(|woken| **woken).count(), 1);
    let _ = limiter.set_ceiling(7);
    assert_eq!(woken(&line).iter().filter(|woken| **woken).count(), 2);
}

/// panjf2000/ants#205, #210: after `Tune` the waiting calls stayed asleep. I6.
#[test]
fn ants_205_raise_wakes_all_it_has_room_for() {
    let limiter = limiter(1);
    let held = take_all(&limiter);
    let line = waiters::<10>(&limiter);
    let _ = limiter.set_ceiling(11);
    assert_eq!(woken(&line), [true; 10]);
    drop(line.map(|task| task.granted()));
    drop(held);
    assert_at_rest(&limiter);
}

/// libHttpClient#1013, and Go's grmgr: one completion admitted one waiter, whatever was free. I6.
#[test]
fn lib_http_client_1013_one_completion_admits_all_that_fit() {
    let limiter = limiter(4);
    let large = limiter.try_acquire_many(4).unwrap();
    let line = waiters::<5>(&limiter);
    drop(large);
    assert_eq!(woken(&line), [true, true, true, true, false]);
}

/// async-lock 3.5: the second release notified no waiter, while the first one's waiter had not run.
/// I3.
#[test]
fn async_lock_3_5_second_release_notifies_nobody() {
    let limiter = limiter(2);
    let held = take_all(&limiter);
    let [first, second] = waiters(&limiter);
    for permit in held {
        drop(permit);
    }
    assert!(first.is_woken() && second.is_woken());
}

/// smol-rs/async-lock#23: a waiter that is woken and finds the permit taken starts over, for ever. I4.
#[test]
fn async_lock_23_barging_does_not_starve() {
    let limiter = limiter(1);
    let mut permit = limiter.try_acquire().unwrap();
    let [mut starving] = waiters(&limiter);
    let mut overtaken = 0;
    loop {
        drop(permit);
        let Ok(barger) = limiter.try_acquire() else { break };
        permit = barger;
        overtaken += 1;
        assert!(overtaken <= 16, "the default patience");
        assert!(!starving.run());
    }
    drop(starving.granted());
    assert_at_rest(&limiter);
}

/// golang/go#37852: a large request that gives up at the head left those behind it asleep. I10.
#[test]
fn go_37852_cancelled_head_strands_those_that_fit() {
    let limiter = limiter(2);
    let held = limiter.try_acquire().unwrap();
    let large = waiter(&limiter, 2);
    let mut behind = Task::start(limiter.acquire());
    assert!(behind.is_done(), "one is free, and newcomers may take it");
    drop(behind.take());
    // With the head out of patience they queue. It has lost as `behind` gave its permit back.
    for _ in 1..16 {
        drop(limiter.try_acquire().unwrap());
    }
    assert!(limiter.try_acquire().is_err() && !large.is_woken());
    let behind = waiter(&limiter, 1);
    drop(large);
    drop(behind.granted());
    drop(held);
    assert_at_rest(&limiter);
}

/// embassy-rs/embassy#6964: the wake-up of a cancelled waiter went nowhere. I10.
#[test]
fn embassy_6964_wake_up_of_a_cancelled_waiter_is_lost() {
    let limiter = limiter(1);
    let held = limiter.try_acquire().unwrap();
    let [first, second, third] = waiters(&limiter);
    drop(held);
    drop(first);
    assert!(second.is_woken());
    drop(second);
    drop(third.granted());
    assert_at_rest(&limiter);
}

/// awslabs/shuttle#167: permits that sufficed for the second in line when the first had gone. I10.
#[test]
fn shuttle_167_second_in_line_fits_when_the_first_is_gone() {
    let limiter = limiter(5);
    let held = limiter.try_acquire_many(3).unwrap();
    let large = waiter(&limiter, 4);
    // Above what is free, so that it queues.
    let second = waiter(&limiter, 3);
    let third = waiter(&limiter, 5);
    let mut part = held;
    drop(part.split(1));
    assert!(!second.is_woken());
    drop(large);
    drop(second.granted());
    drop(third);
    drop(part);
    assert_at_rest(&limiter);
}

/// agronholm/anyio#947: a token handed to a task that was cancelled before it ran. I2.
#[test]
fn anyio_947_token_lost_when_the_granted_task_is_cancelled() {
    let limiter = limiter(3);
    let held = take_all(&limiter);
    let line = waiters::<3>(&limiter);
    drop(held);
    assert_eq!(woken(&line), [true; 3]);
    drop(line);
    assert_at_rest(&limiter);
}

/// tokio-rs/tokio#6450, rust-lang/futures-rs#2387: a future in a `FuturesUnordered` or a `select!`
/// that is not polled any more, at the head, stopped all others. I13.
#[test]
fn tokio_6450_head_that_is_never_polled_again() {
    let limiter = limiter(1);
    let held = limiter.try_acquire().unwrap();
    let [stuck] = waiters(&limiter);
    drop(held);
    for _ in 0..100 {
        drop(limiter.try_acquire().unwrap());
        drop(request(&limiter, 1).granted());
    }
    assert_eq!(stuck.wakes(), 1);
    drop(stuck);
    assert_at_rest(&limiter);
}

/// rust-lang/futures-rs#2387: the others go on beside it, as far as permits go. I13.
#[test]
fn futures_rs_2387_those_behind_a_stuck_head_go_on() {
    let limiter = limiter(3);
    let held = take_all(&limiter);
    let [stuck, second, third, fourth] = waiters(&limiter);
    drop(held);
    drop((second.granted(), third.granted()));
    drop(fourth.granted());
    drop(stuck);
    assert_at_rest(&limiter);
}

/// Netflix/concurrency-limits#179, palantir/conjure-java-runtime#1147: the caller gave up at the
/// moment of the grant, and the permit was never given back. I2.
#[test]
fn concurrency_limits_179_timeout_meets_grant() {
    must_end(|| {
        let limiter = limiter(1);
        for round in 0..300 {
            let held = limiter.try_acquire().unwrap();
            let timeout = Duration::from_micros(round % 60);
            std::thread::scope(|scope| {
                let waiting = scope.spawn(|| drop(limiter.acquire().blocking_timeout(timeout)));
                until(|| limiter.waiting() == 1 || waiting.is_finished());
                drop(held);
            });
            assert_at_rest(&limiter);
        }
    });
}

/// Netflix/concurrency-limits#140, #234: look first, count afterwards. I1.
#[test]
fn concurrency_limits_140_check_then_act_admits_too_many() {
    must_end(|| {
        let limiter = limiter(1);
        let in_flight = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        let Ok(_permit) = limiter.try_acquire() else { continue };
                        assert_eq!(in_flight.fetch_add(1, SeqCst), 0);
                        in_flight.fetch_sub(1, SeqCst);
                    }
                });
            }
        });
        assert_at_rest(&limiter);
    });
}

/// LMCache#2957, pola-rs/polars#27924: a request for more than there will ever be hung. I1.
#[test]
fn lmcache_2957_request_above_the_limit_hangs() {
    let limiter = limiter(4);
    let error = AcquireError::ExceedsMax { requested: 17, max: 16 };
    assert_eq!(request(&limiter, 17).refused(), error);
}

/// cockroachdb/crlib#14: an error did not help either; it runs alone. I1.
#[test]
fn crlib_14_request_above_the_ceiling_runs_alone() {
    let limiter = limiter(4);
    let held = limiter.try_acquire().unwrap();
    let large = waiter(&limiter, 10);
    drop(held);
    let permit = large.granted();
    assert!(limiter.try_acquire().is_err());
    drop(permit);
    assert_at_rest(&limiter);
}

/// tokio-rs/tokio#8020: taking permits away reopened a closed semaphore. I9.
#[test]
fn tokio_8020_forget_reopens_a_closed_limiter() {
    let limiter = limiter(4);
    let mut permit = limiter.try_acquire_many(4).unwrap();
    limiter.close();
    permit.split(2).unwrap().forget();
    let _ = limiter.set_ceiling(0);
    let _ = limiter.set_ceiling(16);
    limiter.done();
    limiter.done();
    drop(permit);
    assert!(limiter.is_closed());
    assert_eq!(limiter.try_acquire().unwrap_err(), TryAcquireError::Closed);
    assert_eq!(request(&limiter, 1).refused(), AcquireError::Closed);
    assert_at_rest(&limiter);
}

/// tokio-rs/tokio#8395: the sum of merged permits overflowed. I2, I14.
#[test]
fn tokio_8395_merge_loses_permits() {
    const MAX: usize = Limiter::MAX_CEILING;
    let limiter = Limiter::new("field", MAX);
    let mut most = limiter.try_acquire_many(MAX - 1).unwrap();
    most.merge(limiter.try_acquire().unwrap());
    assert_eq!((most.count(), limiter.in_flight()), (MAX, MAX));
    drop(most);
    assert_at_rest(&limiter);
    most = limiter.try_acquire_many(MAX).unwrap();
    most.forget();
    limiter.done();
    assert_eq!(limiter.in_flight(), MAX - 1);
}

/// cowprotocol/services#4804: zero was taken for "unlimited". I5.
#[test]
fn cowprotocol_4804_zero_is_not_unlimited() {
    let limiter = limiter(0);
    assert_eq!(limiter.try_acquire().unwrap_err(), TryAcquireError::NoPermits);
    assert!(!request(&limiter, 1).is_done());
    panic_of(|| Limiter::new("field", 0));
}

/// python-trio/trio#3243, resilience4j#417: zero is what pauses. I5, I6.
#[test]
fn trio_3243_zero_pauses() {
    let limiter = limiter(2);
    let held = take_all(&limiter);
    let line = waiters::<2>(&limiter);
    assert_eq!(limiter.set_ceiling(0), Adjustment::Changed { from: 2, to: 0 });
    drop(held);
    assert_eq!(woken(&line), [false; 2]);
    let _ = limiter.set_ceiling(2);
    drop(line.map(|task| task.granted()));
    assert_at_rest(&limiter);
}

/// resilience4j's `changeConfig` waits for permits to come back, Go's `SetLimit` panics while
/// anything runs. I5.
#[test]
fn errgroup_set_limit_while_work_is_in_flight() {
    let limiter = limiter(3);
    let held = take_all(&limiter);
    for ceiling in [1, 0, 2, 16, 3] {
        assert!(matches!(limiter.set_ceiling(ceiling), Adjustment::Changed { .. }));
        assert_eq!((limiter.ceiling(), limiter.in_flight()), (ceiling, 3));
    }
    drop(held);
    assert_at_rest(&limiter);
}

/// influxdb_iox#4739, neon#8769, spin#3307: it could not be seen that the work was waiting for the
/// limit.
#[test]
fn influxdb_iox_4739_saturation_can_be_seen() {
    let clock = ManualClock::new();
    let limiter = Limiter::builder("field").ceiling(2).max(16).clock(clock.clone());
    let limiter = limiter.build().unwrap();
    let held = take_all(&limiter);
    let line = waiters::<3>(&limiter);
    let _ = limiter.set_ceiling(1);
    clock.advance(Duration::from_secs(10));
    limiter.pause();
    let snapshot = limiter.snapshot();
    assert_eq!((snapshot.in_flight, snapshot.ceiling, snapshot.waiting), (2, 1, 3));
    assert_eq!((snapshot.min, snapshot.max), (1, 16));
    assert_eq!((snapshot.paused, snapshot.closed), (true, false));
    assert_eq!(snapshot.hold_up_remaining, Duration::from_secs(20));
    assert_eq!(snapshot.name, "field");
    assert_eq!(limiter.available(), 0);
    let seen = format!("{limiter:?}");
    for part in ["field", "in_flight: 2, ceiling: 1", "waiting: 3, paused: true"] {
        assert!(seen.contains(part), "{seen}");
    }
    let seen = format!("{limiter:#?}");
    assert!(
        !seen.contains("HEAD") && seen.lines().count() < 10,
        "nothing of what is within: {seen}"
    );
    drop((held, line));
}

/// Go's grmgr: Done after Delete panics.
#[test]
fn grmgr_done_after_delete() {
    let registry = grmgr::Registry::new();
    let limiter = registry.register(Limiter::new("field", 1)).unwrap();
    limiter.try_acquire().unwrap().forget();
    registry.delete("field");
    limiter.done();
    assert_at_rest(&limiter);
    let gone = limiter.downgrade();
    drop(limiter);
    assert!(gone.upgrade().is_none());
}
