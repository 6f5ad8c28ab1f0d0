//! Wakers that panic. The docs warn that the line may stand then; what is said here is what can
//! be relied on nevertheless.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use grmgr::{AcquireError, Limiter};

use crate::common::{assert_at_rest, must_end};
use crate::hooks::{Hook, Task, run_to_the_end};

fn panicking() -> Arc<Hook> {
    // Not `panic!`: nothing is to be printed.
    Hook::new(|| resume_unwind(Box::new("a waker panics")))
}

fn quiet() -> Arc<Hook> {
    Arc::new(Hook::default())
}

/// The panic comes out of the release. The permit is back by then, newcomers find it, and the
/// line goes on as soon as the head is polled.
#[test]
fn head_whose_waker_panics_costs_no_permit() {
    must_end(|| {
        let limiter = Arc::new(Limiter::new("panics", 1));
        let permit = limiter.try_acquire_owned().unwrap();
        let mut head = Task::waiting(limiter.acquire_owned(), panicking());
        let mut behind = [(); 3].map(|()| Task::waiting(limiter.acquire_owned(), quiet()));
        assert!(catch_unwind(AssertUnwindSafe(|| drop(permit))).is_err());
        assert_eq!((limiter.in_flight(), limiter.waiting()), (0, 4));
        drop(limiter.try_acquire().expect("given back"));

        drop(head.run().expect("it was woken, as far as it goes").unwrap());
        assert_eq!(run_to_the_end(&mut behind), 3);
        assert_at_rest(&limiter);
    });
}

/// I18: the wake-ups of the others are not its affair.
#[test]
fn head_whose_waker_panics_costs_nobody_elses_wake_up() {
    must_end(|| {
        let limiter = Arc::new(Limiter::new("panics", 3));
        let permits = limiter.try_acquire_many_owned(3).unwrap();
        let mut head = Task::waiting(limiter.acquire_owned(), panicking());
        let mut behind = [(); 3].map(|()| Task::waiting(limiter.acquire_owned(), quiet()));
        assert!(catch_unwind(AssertUnwindSafe(|| drop(permits))).is_err());
        assert_eq!(behind.each_ref().map(|task| task.hook().wakes()), [1, 1, 0]);
        assert_eq!(run_to_the_end(&mut behind[..2]), 2);
        drop(head.run().expect("it was woken, as far as it goes").unwrap());
        assert_eq!(run_to_the_end(&mut behind), 1);
        assert_at_rest(&limiter);
    });
}

/// I18: nor those of waiters that are granted their permits where they sleep.
#[test]
fn granted_waiter_whose_waker_panics_costs_nobody_elses_wake_up() {
    must_end(|| {
        let limiter = Arc::new(Limiter::new("panics", 5));
        let permits = limiter.try_acquire_many_owned(5).unwrap();
        let mut head = Task::waiting(limiter.acquire_owned(), quiet());
        let mut large = Task::waiting(limiter.acquire_many_owned(2), panicking());
        let mut behind = [(); 3].map(|()| Task::waiting(limiter.acquire_owned(), quiet()));
        assert!(catch_unwind(AssertUnwindSafe(|| drop(permits))).is_err());
        assert_eq!(behind.each_ref().map(|task| task.hook().wakes()), [1, 1, 0]);
        assert_eq!(limiter.in_flight(), 4, "one is for the head");
        drop(large.run().expect("it was woken, as far as it goes").unwrap());
        assert_eq!(run_to_the_end(&mut behind), 3);
        drop(head.run().expect("it was woken").unwrap());
        assert_at_rest(&limiter);
    });
}

/// A waker that panics when the last of it is dropped.
struct Bomb;

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Bomb {
    fn drop(&mut self) {
        resume_unwind(Box::new("a waker panics"));
    }
}

/// I18: the seat is free and the next is called before the head's waker is dropped.
#[test]
fn head_whose_waker_panics_when_dropped_has_left_the_line() {
    must_end(|| {
        let limiter = Arc::new(Limiter::new("panics", 2));
        let held = limiter.try_acquire_owned().unwrap();
        let mut large = limiter.acquire_many_owned(2);
        let bomb = Waker::from(Arc::new(Bomb));
        assert!(Pin::new(&mut large).poll(&mut Context::from_waker(&bomb)).is_pending());
        // The one that the limiter keeps is the last.
        drop(bomb);
        let full = limiter.try_acquire_owned().unwrap();
        let mut behind = [(); 2].map(|()| Task::waiting(limiter.acquire_owned(), quiet()));
        drop(full);
        assert_eq!(behind[0].hook().wakes(), 0, "the large request is first");
        assert!(catch_unwind(AssertUnwindSafe(|| drop(large))).is_err());
        assert_eq!(run_to_the_end(&mut behind), 2);
        drop(held);
        assert_at_rest(&limiter);
    });
}

/// The same if it is dropped instead (I10).
#[test]
fn head_whose_waker_panicked_may_be_dropped() {
    must_end(|| {
        let limiter = Arc::new(Limiter::new("panics", 2));
        let permits = limiter.try_acquire_many_owned(2).unwrap();
        let head = Task::waiting(limiter.acquire_owned(), panicking());
        let mut behind = [(); 3].map(|()| Task::waiting(limiter.acquire_owned(), quiet()));
        assert!(catch_unwind(AssertUnwindSafe(|| drop(permits))).is_err());
        drop(head);
        assert_eq!(run_to_the_end(&mut behind), 3);
        assert_at_rest(&limiter);
    });
}

/// When a waiter in the queue is called to the seat, the line stands from then on. What is out can
/// be given back, newcomers are served if they may overtake, and closing still refuses later
/// requests.
#[test]
fn waiter_called_to_the_seat_whose_waker_panics_costs_the_line_and_no_permit() {
    must_end(|| {
        let limiter = Arc::new(Limiter::new("panics", 1));
        let permit = limiter.try_acquire_owned().unwrap();
        let head = Task::waiting(limiter.acquire_owned(), quiet());
        let called = Task::waiting(limiter.acquire_owned(), panicking());
        let behind = Task::waiting(limiter.acquire_owned(), quiet());
        drop(permit);
        assert!(catch_unwind(AssertUnwindSafe(|| drop(head))).is_err());
        assert_eq!(called.hook().wakes(), 1);

        assert_eq!(limiter.in_flight(), 0);
        for _ in 0..100 {
            drop(limiter.try_acquire().expect("given back"));
        }
        assert_eq!((limiter.in_flight(), behind.hook().wakes()), (0, 0), "the line stands");
        limiter.close();
        assert_eq!(limiter.acquire().blocking().unwrap_err(), AcquireError::Closed);
        limiter.wait_blocking();
        // What becomes of the called one is the queue's affair, which has been left halfway.
        std::mem::forget((called, behind));
    });
}
