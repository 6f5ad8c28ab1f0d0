//! Every permit is given back once, whatever becomes of it (I2); misuse is loud (I14).

#![cfg(feature = "std")]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use common::{assert_at_rest, panic_of, request, take_all, waiter, waiters};
use grmgr::{Limiter, OwnedPermit, Permit};

#[test]
fn permit_tells_what_it_is() {
    let limiter = Arc::new(Limiter::new("permits", 8));
    let permit = limiter.try_acquire_many(3).unwrap();
    assert_eq!(permit.count(), 3);
    assert!(std::ptr::eq(permit.limiter(), &*limiter));
    let owned = limiter.try_acquire_many_owned(2).unwrap();
    assert_eq!(owned.count(), 2);
    assert_eq!(owned.limiter().name(), "permits");
    assert_eq!(limiter.in_flight(), 5);
}

#[test]
fn permit_is_given_back_on_drop() {
    let limiter = Arc::new(Limiter::new("permits", 8));
    drop(limiter.try_acquire().unwrap());
    drop(limiter.try_acquire_many(8).unwrap());
    drop(limiter.try_acquire_owned().unwrap());
    drop(limiter.try_acquire_many_owned(3).unwrap());
    drop(limiter.acquire_many(8).blocking().unwrap());
    drop(limiter.acquire_many_owned(8).blocking().unwrap());
    drop(limiter.acquire_owned_blocking().unwrap());
    // Whatever the features are.
    drop(limiter.acquire().label("ignored").blocking().unwrap());
    drop(limiter.acquire_owned().label(String::from("ignored")).blocking().unwrap());
    assert_at_rest(&limiter);
}

#[test]
fn parts_are_given_back_on_their_own() {
    let limiter = Limiter::new("permits", 5);
    let mut permit = limiter.try_acquire_many(5).unwrap();
    let part = permit.split(2).unwrap();
    assert_eq!((permit.count(), part.count(), limiter.in_flight()), (3, 2, 5));
    drop(permit);
    assert_eq!(limiter.in_flight(), 2);
    let next = waiter(&limiter, 4);
    drop(part);
    drop(next.granted());
    assert_at_rest(&limiter);
}

#[test]
fn split_takes_nothing_all_or_what_there_is() {
    let limiter = Limiter::new("permits", 3);
    let mut permit = limiter.try_acquire_many(3).unwrap();
    let nothing = permit.split(0).unwrap();
    assert_eq!((permit.count(), nothing.count()), (3, 0));
    drop(nothing);
    assert!(permit.split(4).is_none());
    assert!(permit.split(usize::MAX).is_none());
    assert_eq!((permit.count(), limiter.in_flight()), (3, 3));
    let mut all = permit.split(3).unwrap();
    assert_eq!((permit.count(), all.count()), (0, 3));
    assert!(permit.split(1).is_none());
    drop(permit);
    assert_eq!(limiter.in_flight(), 3);
    let nothing = limiter.try_acquire_many(0).unwrap();
    all.merge(nothing);
    assert_eq!(all.count(), 3);
    drop(all);
    assert_at_rest(&limiter);
}

#[test]
fn merged_permits_are_given_back_together() {
    let limiter = Arc::new(Limiter::new("permits", 5));
    let mut permit = limiter.try_acquire_owned().unwrap();
    permit.merge(limiter.try_acquire_many_owned(3).unwrap());
    assert_eq!((permit.count(), limiter.in_flight()), (4, 4));
    let part = permit.split(2).unwrap();
    permit.merge(part);
    assert_eq!((permit.count(), limiter.in_flight()), (4, 4));
    assert_eq!(Arc::strong_count(&limiter), 2);
    drop(permit);
    assert_eq!(Arc::strong_count(&limiter), 1);
    assert_at_rest(&limiter);
}

/// I14.
#[test]
fn merge_across_limiters_panics_and_leaves_both_intact() {
    let (a, b) = (Limiter::new("a", 2), Limiter::new("b", 2));
    let mut of_a = a.try_acquire().unwrap();
    let of_b = b.try_acquire().unwrap();
    let message = panic_of(|| of_a.merge(of_b));
    assert_eq!(
        message,
        "a permit of limiter \"b\" cannot be merged into one of \"a\": keep both, each gives back \
         its own"
    );
    assert_eq!((of_a.count(), a.in_flight()), (1, 1));
    drop(of_a);
    assert_at_rest(&a);
    assert_at_rest(&b);
}

/// I14: the name is not what counts.
#[test]
fn merge_across_limiters_of_one_name_panics() {
    let [a, b] = [(); 2].map(|()| Arc::new(Limiter::new("twin", 1)));
    let mut of_a = a.try_acquire_owned().unwrap();
    let of_b = b.try_acquire_owned().unwrap();
    panic_of(|| of_a.merge(of_b));
    drop(of_a);
    assert_at_rest(&a);
    assert_at_rest(&b);
}

#[test]
fn forgotten_permits_are_given_back_by_done() {
    let limiter = Limiter::new("permits", 3);
    limiter.try_acquire_many(2).unwrap().forget();
    request(&limiter, 1).granted().forget();
    assert_eq!(limiter.in_flight(), 3);
    let line = waiters::<2>(&limiter);
    for task in line {
        limiter.done();
        task.granted().forget();
    }
    assert_eq!(limiter.in_flight(), 3);
    (0..3).for_each(|_| limiter.done());
    assert_at_rest(&limiter);
}

/// Go's bare Control and Done, from different threads.
#[test]
fn done_may_come_from_another_thread() {
    let limiter = Limiter::new("permits", 2);
    std::thread::scope(|scope| {
        for _ in 0..100 {
            limiter.acquire_blocking().unwrap().forget();
            scope.spawn(|| limiter.done());
        }
    });
    assert_at_rest(&limiter);
}

#[test]
fn part_that_is_forgotten_leaves_the_rest_to_the_guard() {
    let limiter = Limiter::new("permits", 3);
    let mut permit = limiter.try_acquire_many(3).unwrap();
    permit.split(1).unwrap().forget();
    drop(permit);
    assert_eq!(limiter.in_flight(), 1);
    limiter.done();
    assert_at_rest(&limiter);
}

/// I14.
#[test]
fn done_without_a_forgotten_permit_panics_and_leaves_the_limiter_intact() {
    const MESSAGE: &str = "done() on limiter \"permits\" without a forgotten permit: call it once \
                           for each permit on which forget() was called, and drop the others";
    let limiter = Limiter::new("permits", 2);
    assert_eq!(panic_of(|| limiter.done()), MESSAGE);
    let held = limiter.try_acquire().unwrap();
    assert_eq!(panic_of(|| limiter.done()), MESSAGE, "a permit in a guard is not forgotten");
    limiter.try_acquire_many(0).unwrap().forget();
    assert_eq!(panic_of(|| limiter.done()), MESSAGE, "nothing was forgotten");
    limiter.try_acquire().unwrap().forget();
    limiter.done();
    assert_eq!(panic_of(|| limiter.done()), MESSAGE, "it was given back");
    assert_eq!(limiter.in_flight(), 1);
    drop(held);
    assert_at_rest(&limiter);
}

#[test]
fn permits_are_given_back_when_their_holder_panics() {
    let limiter = Limiter::new("permits", 3);
    let next = {
        let mut next = None;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let mut permit = limiter.try_acquire_many(3).unwrap();
            let _part = permit.split(1);
            next = Some(waiter(&limiter, 3));
            panic!("on purpose");
        }));
        assert!(outcome.is_err());
        next.unwrap()
    };
    drop(next.granted());
    let outcome = std::thread::scope(|scope| {
        let work = || {
            let _permit = limiter.acquire_blocking().unwrap();
            panic!("on purpose");
        };
        scope.spawn(work).join()
    });
    assert!(outcome.is_err());
    assert_at_rest(&limiter);
}

/// I2, I10: waiting futures are dropped by the panic, too.
#[test]
fn waiting_futures_leave_the_line_when_their_task_panics() {
    let limiter = Limiter::new("permits", 1);
    let held = limiter.try_acquire().unwrap();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let _line = waiters::<3>(&limiter);
        panic!("on purpose");
    }));
    assert!(outcome.is_err());
    assert_eq!(limiter.waiting(), 0);
    drop(held);
    assert_at_rest(&limiter);
}

#[test]
fn owned_permit_keeps_its_limiter_alive() {
    let limiter = Arc::new(Limiter::new("permits", 2));
    let gone = Arc::downgrade(&limiter);
    let mut permit = limiter.try_acquire_many_owned(2).unwrap();
    drop(limiter);
    let part = permit.split(1).unwrap();
    std::thread::spawn(move || drop(permit)).join().unwrap();
    assert_eq!(part.limiter().in_flight(), 1);
    drop(part);
    assert!(gone.upgrade().is_none());
}

/// Nothing is counted for a permit that is moved about.
#[test]
fn permits_may_be_moved_between_threads() {
    fn scatter(permits: Vec<Permit<'_>>) {
        std::thread::scope(|scope| {
            for permit in permits {
                scope.spawn(move || drop(permit));
            }
        });
    }
    let limiter = Arc::new(Limiter::new("permits", 8));
    scatter(take_all(&limiter));
    let owned: Vec<OwnedPermit> = (0..8).map(|_| limiter.try_acquire_owned().unwrap()).collect();
    for permit in owned {
        std::thread::spawn(move || drop(permit)).join().unwrap();
    }
    assert_at_rest(&limiter);
}

#[test]
fn part_of_the_permits_may_be_given_back_at_once() {
    let limiter = Limiter::new("permits", 5);
    let mut permit = limiter.try_acquire_many(5).unwrap();
    let [first, second] = waiters(&limiter);
    assert_eq!(permit.release(1), Some(4));
    assert!(first.is_woken() && !second.is_woken());
    let first = first.granted();
    assert_eq!((permit.count(), limiter.in_flight()), (4, 5));
    assert_eq!(permit.release(4), Some(0));
    drop((first, second.granted()));
    // Nothing is left in the guard to be given back a second time.
    assert_eq!((permit.count(), limiter.in_flight()), (0, 0));
    drop(permit);
    assert_at_rest(&limiter);
}

#[test]
fn more_than_there_are_are_not_given_back() {
    let limiter = Arc::new(Limiter::new("permits", 3));
    let mut permit = limiter.try_acquire_many_owned(3).unwrap();
    assert_eq!((permit.release(4), permit.release(usize::MAX)), (None, None));
    assert_eq!((permit.count(), limiter.in_flight()), (3, 3));
    assert_eq!(permit.release(0), Some(3));
    assert_eq!(permit.release(2), Some(1));
    assert_eq!(permit.release(2), None);
    let part = permit.split(1).unwrap();
    assert_eq!((permit.release(1), limiter.in_flight()), (None, 1));
    permit.merge(part);
    assert_eq!(permit.release(1), Some(0));
    assert_eq!(limiter.in_flight(), 0);
    drop(permit);
    assert_at_rest(&limiter);
}

/// I11: the last of them ends a wait, though the guard is still there.
#[test]
fn limiter_is_idle_when_all_are_given_back() {
    let limiter = Limiter::new("permits", 2);
    let mut permit = limiter.try_acquire_many(2).unwrap();
    let mut idle = common::Task::start(limiter.wait());
    assert_eq!(permit.release(1), Some(1));
    assert!(!idle.run());
    assert_eq!(permit.release(1), Some(0));
    assert!(idle.run());
}
