//! The line of waiters: none that can be served sleeps on (I3), nothing is lost (I2).

use std::sync::Arc;

use grmgr::{AcquireError, Limiter};
use loom_tests::{
    Task, acquire, assert_at_rest, model, request, run_all, serve, serve_all, spawn, strict,
};

#[test]
fn release_meets_enqueue() {
    model(|| {
        let limiter = Arc::new(Limiter::new("", 1));
        let held = limiter.clone().try_acquire_owned().unwrap();
        let waiter = spawn({
            let limiter = limiter.clone();
            move || drop(acquire(&limiter, 1).unwrap())
        });
        drop(held);
        waiter.join().unwrap();
        assert_at_rest(&limiter, 1);
    });
}

#[test]
fn release_meets_enqueue_behind_a_head() {
    model(|| {
        let limiter = Arc::new(Limiter::new("", 2));
        let held = [(); 2].map(|()| limiter.try_acquire_owned().unwrap());
        let mut head = request(&limiter, 1);
        let waiter = spawn({
            let limiter = limiter.clone();
            move || drop(acquire(&limiter, 1).unwrap())
        });
        let [first, second] = held;
        drop(first);
        drop(second);
        serve(&mut [&mut head]);
        waiter.join().unwrap();
        serve_all(&mut [&mut head]);
        assert_at_rest(&limiter, 2);
    });
}

#[test]
fn two_releases_before_the_first_waiter_runs_admit_two() {
    model(|| {
        let limiter = Arc::new(Limiter::new("", 2));
        let [first, second] = [(); 2].map(|()| limiter.try_acquire_owned().unwrap());
        let mut waiters = [(); 3].map(|()| request(&limiter, 1));
        let other = spawn(move || drop(first));
        drop(second);
        other.join().unwrap();
        let [a, b, c] = &mut waiters;
        let woken = [&*a, b, c].map(|task| task.is_woken());
        assert_eq!(woken, [true, true, false]);
        serve_all(&mut [a, b, c]);
        assert_at_rest(&limiter, 2);
    });
}

#[test]
fn releases_of_two_threads_reach_two_blocked_ones() {
    model(|| {
        let limiter = Arc::new(Limiter::new("", 2));
        let [first, second] = [(); 2].map(|()| limiter.try_acquire_owned().unwrap());
        let waiters = [(); 2].map(|()| {
            let limiter = limiter.clone();
            spawn(move || drop(acquire(&limiter, 1).unwrap()))
        });
        drop(first);
        drop(second);
        for waiter in waiters {
            waiter.join().unwrap();
        }
        assert_at_rest(&limiter, 2);
    });
}

/// The queue is empty but for a waiter that was handed a permit and has not run. A further call
/// reaches nobody, while that waiter arrives and takes the seat that was opened.
#[test]
fn call_that_reaches_nobody_meets_a_handed_permit() {
    model(|| {
        let limiter = Arc::new(Limiter::new("", 3));
        let [first, second, third] = [(); 3].map(|()| limiter.try_acquire_owned().unwrap());
        let head = request(&limiter, 1);
        let mut handed = request(&limiter, 1);
        // The seat's waiter is woken, the other one is handed a permit.
        drop(first);
        drop(second);
        assert!(head.is_woken() && handed.is_woken());
        // The seat is free again; the release finds QUEUED, and opens it for nobody.
        head.cancel();
        let other = spawn(move || drop(third));
        handed.run();
        let permit = handed.output().unwrap();
        other.join().unwrap();
        drop(permit);
        assert_at_rest(&limiter, 3);
    });
}

/// A waiter called to the seat takes the permit that was meant for another, which is cancelled: then
/// the seat is left over.
#[test]
fn call_that_reaches_nobody_meets_a_called_waiter() {
    model(|| {
        let limiter = Arc::new(Limiter::new("", 3));
        let [first, second, third] = [(); 3].map(|()| limiter.try_acquire_owned().unwrap());
        let head = request(&limiter, 1);
        let mut called = request(&limiter, 1);
        let other = Task::start(limiter.acquire_owned());
        drop(first);
        head.cancel();
        assert!(called.is_woken());
        let releaser = spawn(move || drop(second));
        let canceller = spawn(move || other.cancel());
        called.run();
        drop(called.output().unwrap());
        releaser.join().unwrap();
        canceller.join().unwrap();
        drop(third);
        assert_at_rest(&limiter, 3);
    });
}

/// As above, with the waiter on another thread and a newcomer that enqueues meanwhile.
#[test]
fn newcomer_meets_a_seat_that_is_taken_back() {
    model(|| {
        let limiter = Arc::new(Limiter::new("", 2));
        let [first, second] = [(); 2].map(|()| limiter.try_acquire_owned().unwrap());
        let head = request(&limiter, 1);
        let queued = request(&limiter, 1);
        // Leaves QUEUED set, with an empty queue.
        queued.cancel();
        let newcomer = spawn({
            let limiter = limiter.clone();
            move || drop(acquire(&limiter, 1).unwrap())
        });
        head.cancel();
        drop(first);
        drop(second);
        newcomer.join().unwrap();
        assert_at_rest(&limiter, 2);
    });
}

/// All waiters in the queue have been called, so only the newcomer is there to be notified, which finds
/// QUEUED set and changes nothing in the word.
#[test]
fn newcomer_behind_the_called_meets_a_release() {
    model(|| {
        let limiter = strict(2);
        let held = [(); 2].map(|()| limiter.try_acquire_owned().unwrap());
        let head = request(&limiter, 1);
        let mut called = request(&limiter, 1);
        // The head is woken, and the other is handed the second permit.
        drop(held);
        let newcomer = spawn({
            let limiter = limiter.clone();
            move || drop(acquire(&limiter, 1).unwrap())
        });
        drop(head.finish());
        newcomer.join().unwrap();
        serve_all(&mut [&mut called]);
        assert_at_rest(&limiter, 2);
    });
}

#[test]
fn enqueue_meets_the_seat_given_up() {
    model(|| {
        let limiter = Arc::new(Limiter::new("", 2));
        let [first, second] = [(); 2].map(|()| limiter.try_acquire_owned().unwrap());
        let mut head = request(&limiter, 1);
        drop(first);
        let newcomers = [(); 2].map(|()| {
            let limiter = limiter.clone();
            spawn(move || drop(acquire(&limiter, 1).unwrap()))
        });
        // The head takes its permit and leaves the seat while they enter.
        serve(&mut [&mut head]);
        drop(second);
        serve(&mut [&mut head]);
        if !head.is_done() {
            head.cancel();
        }
        for newcomer in newcomers {
            newcomer.join().unwrap();
        }
        assert_at_rest(&limiter, 2);
    });
}

#[test]
fn strict_line_is_served_in_order() {
    model(|| {
        let limiter = strict(2);
        let [first, second] = [(); 2].map(|()| limiter.try_acquire_owned().unwrap());
        let mut a = request(&limiter, 1);
        let mut b = request(&limiter, 1);
        let releaser = spawn(move || drop(first));
        // No newcomer overtakes (I4), though a permit may be free.
        assert!(limiter.try_acquire().is_err());
        releaser.join().unwrap();
        assert!(limiter.try_acquire().is_err());
        assert!(a.is_woken() && !b.is_woken());
        drop(second);
        run_all(&mut [&mut a, &mut b]);
        drop((a.output().unwrap(), b.output().unwrap()));
        assert_at_rest(&limiter, 2);
    });
}

#[test]
fn newcomer_behind_a_called_head_is_handed_what_is_free() {
    model(|| {
        let limiter = strict(2);
        let [first, second] = [(); 2].map(|()| limiter.try_acquire_owned().unwrap());
        let mut head = request(&limiter, 1);
        drop(first);
        let releaser = spawn(move || drop(second));
        // May not overtake the head, but there is, or will be, a permit for each.
        let mut newcomer = request(&limiter, 1);
        releaser.join().unwrap();
        newcomer.run();
        drop(newcomer.output().unwrap());
        run_all(&mut [&mut head]);
        drop(head.output().unwrap());
        assert_at_rest(&limiter, 2);
    });
}

#[test]
fn head_that_lost_often_enough_is_served_next() {
    model(|| {
        let limiter = Limiter::builder("").ceiling(1).patience(1).build().unwrap();
        let limiter = Arc::new(limiter);
        let held = limiter.try_acquire_owned().unwrap();
        let mut head = request(&limiter, 1);
        let barger = spawn({
            let limiter = limiter.clone();
            move || {
                drop(held);
                for _ in 0..2 {
                    drop(limiter.try_acquire());
                }
            }
        });
        head.poll();
        barger.join().unwrap();
        serve_all(&mut [&mut head]);
        assert_at_rest(&limiter, 1);
    });
}

/// A permit comes back and is taken by another while the head is about to take it.
#[test]
fn head_that_is_overtaken_at_the_last_moment_is_woken_again() {
    model(|| {
        let limiter = Arc::new(Limiter::new("", 1));
        let held = limiter.try_acquire().unwrap();
        let mut head = request(&limiter, 1);
        drop(held);
        let held = limiter.try_acquire_owned().unwrap();
        let releaser = spawn(move || drop(held));
        let barger = spawn({
            let limiter = limiter.clone();
            move || limiter.try_acquire_owned().ok()
        });
        head.run();
        releaser.join().unwrap();
        drop(barger.join().unwrap());
        run_all(&mut [&mut head]);
        drop(head.output().unwrap());
        assert_at_rest(&limiter, 1);
    });
}

/// A head that finds its permit by itself takes its waker with it.
#[test]
fn head_that_is_served_leaves_no_waker_behind() {
    model(|| {
        let limiter = Arc::new(Limiter::new("", 1));
        let held = limiter.try_acquire_owned().unwrap();
        let mut head = request(&limiter, 1);
        let releaser = spawn(move || drop(held));
        head.poll();
        releaser.join().unwrap();
        head.run();
        assert_eq!(head.wakers_kept(), 0);
        drop(head.output().unwrap());
        assert_at_rest(&limiter, 1);
    });
}

/// The head finds too few permits while another enters behind it, and has to look twice.
#[test]
fn one_call_is_one_loss() {
    model(|| {
        let limiter = Limiter::builder("").ceiling(1).patience(2).build().unwrap();
        let limiter = Arc::new(limiter);
        let held = limiter.try_acquire().unwrap();
        let mut head = request(&limiter, 1);
        drop(held);
        let barger = limiter.try_acquire().unwrap();
        let newcomer = spawn({
            let limiter = limiter.clone();
            move || Task::start(limiter.acquire_owned())
        });
        head.run();
        let mut newcomer = newcomer.join().unwrap();
        drop(barger);
        drop(limiter.try_acquire().expect("it has lost once (I4)"));
        run_all(&mut [&mut head]);
        drop(head.output().unwrap());
        newcomer.run();
        drop(newcomer.output().unwrap());
        assert_at_rest(&limiter, 1);
    });
}

#[test]
fn blocking_and_async_waiters_share_the_line() {
    model(|| {
        let limiter = Arc::new(Limiter::new("", 1));
        let held = limiter.try_acquire_owned().unwrap();
        let mut task = request(&limiter, 1);
        let thread = spawn({
            let limiter = limiter.clone();
            move || drop(acquire(&limiter, 1).unwrap())
        });
        drop(held);
        serve(&mut [&mut task]);
        thread.join().unwrap();
        serve_all(&mut [&mut task]);
        assert_at_rest(&limiter, 1);
    });
}

/// The seat may be vacant while a waiter is being called and others sleep behind it.
#[test]
fn strict_line_lets_nobody_past_while_waiters_are_called() {
    model(|| {
        let limiter = strict(1);
        let held = limiter.try_acquire_owned().unwrap();
        let head = request(&limiter, 1);
        let called = Task::start(limiter.acquire_owned());
        let mut last = request(&limiter, 1);
        let canceller = spawn(move || called.cancel());
        let releaser = spawn(move || drop(held));
        head.cancel();
        assert!(limiter.try_acquire().is_err(), "overtook a waiter (I4)");
        releaser.join().unwrap();
        canceller.join().unwrap();
        run_all(&mut [&mut last]);
        drop(last.output().unwrap());
        assert_at_rest(&limiter, 1);
    });
}

/// The bound is found to be reached when the seat has been taken already.
#[test]
fn newcomer_refused_in_the_seat_gives_it_up() {
    model(|| {
        let limiter = Limiter::builder("").ceiling(1).max_waiting(1).build().unwrap();
        let limiter = Arc::new(limiter);
        let held = limiter.try_acquire_owned().unwrap();
        let other = spawn({
            let limiter = limiter.clone();
            move || Task::start(limiter.acquire_owned())
        });
        let mut task = Task::start(limiter.acquire_owned());
        let mut other = other.join().unwrap();
        drop(held);
        let mut refused = 0;
        for task in [&mut task, &mut other] {
            task.run();
            match task.output() {
                Ok(permit) => drop(permit),
                Err(error) => {
                    assert_eq!(error, AcquireError::QueueFull { max_waiting: 1 });
                    refused += 1;
                }
            }
        }
        assert!(refused <= 1);
        assert_at_rest(&limiter, 1);
    });
}

/// Neither the count nor the flags stand still while it is taken.
#[test]
fn free_permit_is_not_refused_because_the_word_changes() {
    model(|| {
        let limiter = Arc::new(Limiter::new("", 2));
        let held = limiter.try_acquire_owned().unwrap();
        let mut idle = Task::start(limiter.wait());
        let releaser = spawn(move || drop(held));
        let permit = limiter.try_acquire();
        assert!(permit.is_ok());
        drop(permit);
        releaser.join().unwrap();
        idle.run();
        assert!(idle.is_done());
        assert_at_rest(&limiter, 2);
    });
}
