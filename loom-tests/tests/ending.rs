//! Close, and waiting until idle (I9, I11).

use std::sync::Arc;

use grmgr::{AcquireError, Limiter, Wait};
use loom_tests::{Task, acquire, assert_at_rest, model, request, run_all, spawn, wait_idle};

#[test]
fn close_meets_enqueue() {
    model(|| {
        let limiter = Arc::new(Limiter::new("", 1));
        let held = limiter.try_acquire().unwrap();
        let waiter = spawn({
            let limiter = limiter.clone();
            move || acquire(&limiter, 1).map(drop)
        });
        limiter.close();
        assert_eq!(waiter.join().unwrap(), Err(AcquireError::Closed));
        drop(held);
        assert_at_rest(&limiter, 1);
    });
}

#[test]
fn close_meets_grant() {
    model(|| {
        let limiter = Arc::new(Limiter::new("", 2));
        let [first, second] = [(); 2].map(|()| limiter.try_acquire_owned().unwrap());
        let mut waiters = [(); 3].map(|()| request(&limiter, 1));
        let closer = spawn({
            let limiter = limiter.clone();
            move || limiter.close()
        });
        drop(first);
        drop(second);
        let [a, b, c] = &mut waiters;
        run_all(&mut [c, b]);
        closer.join().unwrap();
        run_all(&mut [c, b, a]);
        for task in [a, b, c] {
            // Served or refused, but answered.
            drop(task.output());
        }
        assert_at_rest(&limiter, 2);
    });
}

#[test]
fn close_meets_cancellation() {
    model(|| {
        let limiter = Arc::new(Limiter::new("", 2));
        let [first, second] = [(); 2].map(|()| limiter.try_acquire_owned().unwrap());
        let mut head = request(&limiter, 1);
        let handed = request(&limiter, 1);
        let mut last = request(&limiter, 1);
        drop(first);
        drop(second);
        let closer = spawn({
            let limiter = limiter.clone();
            move || limiter.close()
        });
        handed.cancel();
        closer.join().unwrap();
        run_all(&mut [&mut last, &mut head]);
        drop((head.output(), last.output()));
        assert_at_rest(&limiter, 2);
    });
}

#[test]
fn close_survives_set_ceiling() {
    model(|| {
        let limiter = Limiter::builder("").ceiling(1).max(2).build().unwrap();
        let limiter = Arc::new(limiter);
        let held = limiter.try_acquire_owned().unwrap();
        let mut waiter = request(&limiter, 1);
        let closer = spawn({
            let limiter = limiter.clone();
            move || limiter.close()
        });
        let _ = limiter.set_ceiling(2);
        closer.join().unwrap();
        run_all(&mut [&mut waiter]);
        // Granted by the raise, or refused by the close.
        drop(waiter.output());
        assert!(limiter.is_closed());
        drop(held);
        assert_at_rest(&limiter, 2);
    });
}

#[test]
fn wait_meets_the_last_release() {
    model(|| {
        let limiter = Arc::new(Limiter::new("", 1));
        let held = limiter.try_acquire_owned().unwrap();
        let waiter = spawn({
            let limiter = limiter.clone();
            move || wait_idle(&limiter)
        });
        drop(held);
        waiter.join().unwrap();
        assert_at_rest(&limiter, 1);
    });
}

#[test]
fn two_wait_for_the_last_release() {
    model(|| {
        let limiter = Arc::new(Limiter::new("", 1));
        let held = limiter.try_acquire_owned().unwrap();
        let waiter = spawn({
            let limiter = limiter.clone();
            move || wait_idle(&limiter)
        });
        let mut task = Task::start(limiter.wait());
        drop(held);
        waiter.join().unwrap();
        task.run();
        assert!(task.is_done());
    });
}

#[test]
fn wait_meets_a_newcomer() {
    model(|| {
        let limiter = Arc::new(Limiter::new("", 1));
        let held = limiter.try_acquire_owned().unwrap();
        let newcomer = spawn({
            let limiter = limiter.clone();
            move || drop(acquire(&limiter, 1).unwrap())
        });
        let mut idle = Task::start(limiter.wait());
        drop(held);
        newcomer.join().unwrap();
        idle.run();
        assert!(idle.is_done());
        assert_at_rest(&limiter, 1);
    });
}

#[test]
fn wait_meets_the_last_waiters_cancellation() {
    model(|| {
        let limiter = Arc::new(Limiter::new("", 1));
        limiter.pause();
        let head = request(&limiter, 1);
        let last = request(&limiter, 1);
        let waiter = spawn({
            let limiter = limiter.clone();
            move || wait_idle(&limiter)
        });
        head.cancel();
        last.cancel();
        waiter.join().unwrap();
        limiter.resume();
        assert_at_rest(&limiter, 1);
    });
}

#[test]
fn wait_meets_close() {
    model(|| {
        let limiter = Arc::new(Limiter::new("", 1));
        limiter.pause();
        let mut head = request(&limiter, 1);
        let mut next = request(&limiter, 1);
        let waiter = spawn({
            let limiter = limiter.clone();
            move || wait_idle(&limiter)
        });
        limiter.close();
        waiter.join().unwrap();
        run_all(&mut [&mut head, &mut next]);
        assert!(head.output().is_err() && next.output().is_err());
        assert_at_rest(&limiter, 1);
    });
}

/// The one called to the seat gives it up while the caller has QUEUED lowered: the line looks empty
/// but for DISPATCH.
#[test]
fn idle_is_not_announced_while_somebody_sleeps() {
    model(|| {
        let limiter = Arc::new(Limiter::new("", 1));
        let held = limiter.try_acquire_owned().unwrap();
        let head = request(&limiter, 1);
        let called = Task::start(limiter.acquire_owned());
        let mut last = request(&limiter, 1);
        let mut idle = Task::start(limiter.wait());
        let canceller = spawn(move || called.cancel());
        drop(held);
        head.cancel();
        canceller.join().unwrap();
        assert!(!idle.is_woken(), "told to be idle while a waiter is left (I11)");
        run_all(&mut [&mut last]);
        drop(last.output().unwrap());
        idle.run();
        assert!(idle.is_done());
        assert_at_rest(&limiter, 1);
    });
}

#[test]
fn idle_moment_is_not_told_to_who_began_to_wait_after_it() {
    model(|| {
        let limiter = Arc::new(Limiter::new("", 1));
        let held = limiter.try_acquire_owned().unwrap();
        let first = Task::start(limiter.wait());
        let releaser = spawn(move || drop(held));
        if let Ok(permit) = limiter.try_acquire() {
            let mut second = Task::start(limiter.wait());
            assert!(!second.is_done());
            releaser.join().unwrap();
            second.run();
            assert!(!second.is_done(), "this permit was out all the time (I11)");
            drop(permit);
            second.run();
            assert!(second.is_done());
        } else {
            releaser.join().unwrap();
        }
        drop(first);
        assert_at_rest(&limiter, 1);
    });
}

/// The thread that has DISPATCH looks again at the end; it must see that the last one has left.
#[test]
fn last_cancellation_meets_an_announcement() {
    model(|| {
        let limiter = Arc::new(Limiter::new("", 1));
        let held = limiter.try_acquire_owned().unwrap();
        limiter.pause();
        let first = Task::start(limiter.wait());
        let releaser = spawn(move || drop(held));
        let last = request(&limiter, 1);
        let mut second = Task::start(limiter.wait());
        last.cancel();
        releaser.join().unwrap();
        second.run();
        assert!(second.is_done(), "idle, and nobody was told (I11)");
        drop(first);
        limiter.resume();
        assert_at_rest(&limiter, 1);
    });
}

/// All have left while it was paused, so that no release looks any more.
fn assert_told(mut idle: Task<Wait<'_>>, limiter: &Limiter) {
    idle.run();
    assert!(idle.is_done(), "idle, and nobody was told (I11)");
    limiter.resume();
    assert_at_rest(limiter, 1);
}

/// The one that leaves last does not know of the other by the word, but by the count.
#[test]
fn last_to_leave_finds_what_another_has_left() {
    model(|| {
        let limiter = Arc::new(Limiter::new("", 1));
        limiter.pause();
        let head = Task::start(limiter.acquire_owned());
        let canceller = spawn(move || head.cancel());
        // May find the seat taken, and be on its way to the queue when it is given up.
        let queued = request(&limiter, 1);
        let idle = Task::start(limiter.wait());
        queued.cancel();
        canceller.join().unwrap();
        assert_told(idle, &limiter);
    });
}

/// The caller has found a waiter and raises QUEUED for it; it must see that this was the last one, and has
/// left.
#[test]
fn last_cancellation_meets_a_call() {
    model(|| {
        let limiter = Arc::new(Limiter::new("", 1));
        let held = limiter.try_acquire_owned().unwrap();
        let head = request(&limiter, 1);
        let last = Task::start(limiter.acquire_owned());
        // Leaves one in the queue.
        head.cancel();
        let releaser = spawn(move || drop(held));
        let canceller = spawn(move || last.cancel());
        limiter.pause();
        let idle = Task::start(limiter.wait());
        releaser.join().unwrap();
        canceller.join().unwrap();
        assert_told(idle, &limiter);
    });
}

/// While a waker is replaced, only the thread that replaces it looks, when that is done.
#[test]
fn last_cancellation_meets_a_replaced_waker() {
    model(|| {
        let limiter = Arc::new(Limiter::new("", 1));
        limiter.pause();
        let head = request(&limiter, 1);
        let last = Task::start(limiter.acquire_owned());
        // Leaves one in the queue.
        head.cancel();
        let mut idle = Task::start(limiter.wait());
        let canceller = spawn(move || last.cancel());
        idle.poll_elsewhere();
        canceller.join().unwrap();
        assert_told(idle, &limiter);
    });
}

/// A `Wait` that is told of a moment but has found another by itself keeps it from those that have begun to
/// wait since.
#[test]
fn idle_moment_of_who_need_not_wait_is_not_passed_on() {
    model(|| {
        let limiter = Arc::new(Limiter::new("", 1));
        let held = limiter.try_acquire_owned().unwrap();
        let told = Task::start(limiter.wait());
        let first = spawn({
            let limiter = limiter.clone();
            move || drop(Task::start(limiter.wait()))
        });
        spawn(move || drop(held)).join().unwrap();
        let permit = limiter.try_acquire().unwrap();
        let mut second = Task::start(limiter.wait());
        first.join().unwrap();
        second.run();
        assert!(!second.is_done(), "this permit was out all the time (I11)");
        drop(permit);
        second.run();
        assert!(second.is_done());
        drop(told);
        assert_at_rest(&limiter, 1);
    });
}
