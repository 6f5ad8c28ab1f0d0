//! Requests of different sizes in one line: a large one changes nothing for those in front of it, and
//! no newcomer goes past it (I4, I6, I17).

#![cfg(feature = "std")]

mod common;

use common::{Request, assert_at_rest, request, take_all, waiter, woken};
use grmgr::{AcquireError, Limiter, OwnedPermit, Permit};
use std::sync::{Arc, Mutex};

const PATIENCES: [u32; 2] = [0, 16];

fn limiter(ceiling: usize, patience: u32) -> Limiter {
    Limiter::builder("sizes").ceiling(ceiling).max(10_000).patience(patience).build().unwrap()
}

/// Waiters for so many permits each, in line in this order.
fn line<'a>(limiter: &'a Limiter, sizes: &[usize]) -> Vec<Request<'a>> {
    sizes.iter().map(|&n| waiter(limiter, n)).collect()
}

/// Runs all that are woken; returns what they get.
fn run<'a>(line: &mut [Request<'a>]) -> Vec<Permit<'a>> {
    let run = |task: &mut Request<'a>| {
        task.run();
        task.take()
    };
    line.iter_mut().filter_map(run).map(Result::unwrap).collect()
}

#[test]
fn units_in_front_of_a_large_request_are_called_at_once() {
    for patience in PATIENCES {
        let limiter = limiter(5, patience);
        let held = take_all(&limiter);
        let mut line = line(&limiter, &[1, 1, 1, 2, 1, 1]);
        drop(held);
        // The large one is granted what is left, and nobody behind it.
        assert_eq!(woken(&line), [true, true, true, true, false, false]);
        assert_eq!(limiter.in_flight(), 4, "one is for the first in line");
        let permits = run(&mut line);
        assert_eq!(permits.len(), 4);
        assert_eq!(woken(&line[4..]), [false, false], "nothing is left");
        drop(permits);
        assert_eq!(run(&mut line).len(), 2);
        drop(line);
        assert_at_rest(&limiter);
    }
}

/// I17: in one step, each large request with all its permits.
#[test]
fn raise_grants_units_and_large_requests_in_turn() {
    for patience in PATIENCES {
        let limiter = limiter(1, patience);
        let held = take_all(&limiter);
        let mut line = line(&limiter, &[1, 2, 1, 3, 1, 4, 1]);
        let _ = limiter.set_ceiling(10);
        assert_eq!(woken(&line), [true, true, true, true, true, false, false]);
        assert_eq!(limiter.in_flight(), 1 + 7);
        assert!(line.iter().all(|task| task.wakes() <= 1));
        let permits = run(&mut line);
        assert_eq!(permits.iter().map(Permit::count).sum::<usize>(), 8);
        drop((permits, held));
        drop(line);
        assert_at_rest(&limiter);
    }
}

/// I2, I10: what it was granted is for those behind it then.
#[test]
fn large_request_that_gives_up_when_granted_gives_all_back() {
    for patience in PATIENCES {
        let limiter = limiter(4, patience);
        let held = take_all(&limiter);
        let mut line = line(&limiter, &[1, 3, 1, 1, 1]);
        drop(held);
        assert_eq!(woken(&line), [true, true, false, false, false]);
        drop(line.remove(1));
        assert_eq!(woken(&line), [true; 4]);
        assert_eq!(run(&mut line).len(), 4);
        drop(line);
        assert_at_rest(&limiter);
    }
}

/// I2: whoever is dropped without having run, woken or not.
#[test]
fn dropped_line_leaves_nothing() {
    for patience in PATIENCES {
        let limiter = limiter(5, patience);
        let held = take_all(&limiter);
        let line = line(&limiter, &[1, 2, 1, 2, 3, 1]);
        drop(held);
        drop(line);
        assert_at_rest(&limiter);
    }
}

/// I9: as a unit that was handed its permit.
#[test]
fn large_request_keeps_what_it_was_granted_before_a_close() {
    let limiter = limiter(3, 0);
    let held = take_all(&limiter);
    let mut line = line(&limiter, &[1, 2, 2]);
    drop(held);
    assert_eq!(woken(&line), [true, true, false]);
    limiter.close();
    assert!(line[2].is_woken());
    line[1].run();
    assert_eq!(line[1].take().unwrap().unwrap().count(), 2);
    line[2].run();
    assert_eq!(line[2].take().unwrap().unwrap_err(), AcquireError::Closed);
    drop(line);
    assert_eq!((limiter.in_flight(), limiter.waiting()), (0, 0));
}

/// I5.
#[test]
fn paused_limiter_grants_no_large_request() {
    let limiter = limiter(3, 0);
    let held = take_all(&limiter);
    let mut line = line(&limiter, &[1, 2]);
    limiter.pause();
    drop(held);
    assert_eq!(woken(&line), [false, false]);
    limiter.resume();
    assert_eq!(woken(&line), [true, true]);
    drop(run(&mut line));
    drop(line);
    assert_at_rest(&limiter);
}

/// I4: permits are kept for one that sleeps behind nobody, and not after it has gone.
#[test]
fn permits_are_kept_for_a_large_request_that_came_to_the_front() {
    let limiter = limiter(3, 2);
    let mut held = take_all(&limiter);
    let first = waiter(&limiter, 1);
    let large = waiter(&limiter, 3);
    held.pop();
    held.push(first.granted());
    held.pop();
    assert!(!large.is_woken());
    drop(limiter.try_acquire().expect("one loss"));
    assert!(limiter.try_acquire().is_err(), "kept for it");
    assert_eq!(large.wakes(), 0);
    drop(large);
    drop(limiter.try_acquire().expect("it has gone"));
    drop(held);
    assert_at_rest(&limiter);
}

/// Each stretch of units is called at once, whatever stands in front of it and behind it.
#[test]
fn units_between_two_large_requests_are_called_at_once() {
    for patience in PATIENCES {
        let limiter = limiter(4, patience);
        let held = take_all(&limiter);
        let mut line = line(&limiter, &[4, 1, 1, 1, 4, 1, 1]);
        drop(held);
        assert_eq!(woken(&line), [true, false, false, false, false, false, false]);
        drop(run(&mut line));
        assert_eq!(woken(&line), [false, true, true, true, false, false, false]);
        drop(run(&mut line));
        assert_eq!(woken(&line), [false, false, false, false, true, false, false]);
        drop(run(&mut line));
        assert_eq!(woken(&line), [false, false, false, false, false, true, true]);
        drop(run(&mut line));
        drop(line);
        assert_at_rest(&limiter);
    }
}

#[test]
fn raise_calls_exactly_the_units_in_front_of_a_large_request() {
    let limiter = limiter(1, 0);
    let held = take_all(&limiter);
    let mut line = line(&limiter, &[1, 1, 1, 1, 2, 1]);
    let _ = limiter.set_ceiling(4);
    assert_eq!(woken(&line), [true, true, true, false, false, false]);
    let _ = limiter.set_ceiling(9);
    assert_eq!(woken(&line), [true; 6]);
    drop((run(&mut line), held));
    drop(line);
    assert_at_rest(&limiter);
}

/// Those that give up are not counted any more, wherever they stood.
#[test]
fn units_that_gave_up_are_not_counted() {
    let limiter = limiter(4, 0);
    let held = take_all(&limiter);
    let mut line = line(&limiter, &[1, 1, 1, 4, 1, 1, 4, 1]);
    // In front of the first large request, and between the two.
    line.remove(5);
    line.remove(1);
    drop(held);
    assert_eq!(woken(&line), [true, true, false, false, false, false]);
    drop(run(&mut line));
    assert_eq!(woken(&line), [false, false, true, false, false, false]);
    drop(run(&mut line));
    assert_eq!(woken(&line), [false, false, false, true, false, false]);
    drop(run(&mut line));
    assert_eq!(woken(&line), [false, false, false, false, true, false]);
    drop(run(&mut line));
    assert_eq!(woken(&line), [false, false, false, false, false, true]);
    drop(line);
    assert_at_rest(&limiter);
}

/// The units on both sides of a large request that gave up are one stretch.
#[test]
fn large_request_that_gave_up_holds_nobody_up() {
    let limiter = limiter(4, 0);
    let held = take_all(&limiter);
    let mut line = line(&limiter, &[1, 2, 1, 3, 1]);
    line.remove(1);
    drop(held);
    assert_eq!(woken(&line), [true, true, false, false]);
    line.remove(2);
    assert_eq!(woken(&line), [true, true, true]);
    drop(line);
    assert_at_rest(&limiter);
}

/// When all large requests have gone, their number has left no trace.
#[test]
fn hand_over_goes_on_when_the_last_large_request_has_left() {
    let limiter = limiter(8, 0);
    for _ in 0..3 {
        let held = take_all(&limiter);
        let mut line = line(&limiter, &[2, 2, 1, 1, 1, 1]);
        drop(held);
        let large = [line.remove(0).granted(), line.remove(0).granted()];
        assert_eq!(woken(&line), [true, true, true, true]);
        drop((large, run(&mut line)));
        assert_at_rest(&limiter);
    }
}

/// I17: one wake-up for a thousand releases, also when permits are kept for it.
#[test]
fn large_head_is_woken_when_its_permits_are_there() {
    for patience in [0, 1, 16] {
        let limiter = limiter(1_000, patience);
        let held = take_all(&limiter);
        let large = waiter(&limiter, 1_000);
        for permit in held {
            assert!(!large.is_woken());
            drop(permit);
        }
        assert_eq!(large.wakes(), 1);
        drop(large.granted());
        assert_at_rest(&limiter);
    }
}

/// I1: one that runs alone is woken by the last release.
#[test]
fn large_head_above_the_ceiling_is_woken_when_it_is_alone() {
    let limiter = limiter(3, 16);
    let mut held = take_all(&limiter);
    let large = waiter(&limiter, 5);
    while held.len() > 1 {
        held.pop();
        assert!(!large.is_woken());
    }
    held.pop();
    assert_eq!(large.wakes(), 1);
    assert_eq!(large.granted().count(), 5);
    assert_at_rest(&limiter);
}

/// One drop does not do the calling for all others, however much they leave to it: here each waiter
/// that is woken has another permit given back.
#[test]
fn release_calls_for_a_bounded_number_of_others() {
    const WAITERS: usize = 200;
    for patience in PATIENCES {
        let limiter = Arc::new(limiter(WAITERS, patience));
        let held: Vec<OwnedPermit> =
            (0..WAITERS).map(|_| limiter.try_acquire_owned().unwrap()).collect();
        let held = Arc::new(Mutex::new(held));
        let mut line: Vec<Request<'_>> = Vec::new();
        for _ in 0..WAITERS {
            let task = request(&limiter, 1);
            let held = Arc::clone(&held);
            task.on_wake(move || {
                let permit = held.lock().unwrap().pop();
                drop(permit);
            });
            line.push(task);
        }
        let permit = held.lock().unwrap().pop();
        drop(permit);
        let mut most = line.iter().filter(|task| task.is_woken()).count();
        while let Some(at) = line.iter().position(|task| task.is_woken()) {
            let before: usize = line.iter().map(common::Task::wakes).sum();
            assert!(line[at].run(), "there is a permit for it");
            most = most.max(line.iter().map(common::Task::wakes).sum::<usize>() - before);
        }
        assert!(most <= 16, "one thread called {most} others");
        assert!(line.iter().all(common::Task::is_done), "a waiter was forgotten (I3)");
        line.clear();
        assert_at_rest(&limiter);
    }
}

#[test]
fn unit_head_after_a_large_one_asks_for_a_single_permit() {
    let limiter = Limiter::new("sizes", 2);
    let held = limiter.try_acquire_many(2).unwrap();
    let large = waiter(&limiter, 2);
    drop(held);
    let mut both = large.granted();
    let unit = waiter(&limiter, 1);
    assert_eq!(both.release(1), Some(1));
    assert!(unit.is_woken(), "the first in line sleeps beside a free permit (I3)");
    drop((unit.granted(), both));
    assert_at_rest(&limiter);
}
