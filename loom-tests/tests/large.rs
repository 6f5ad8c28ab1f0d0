//! Requests for several permits (I1, I4).

use std::sync::Arc;

use grmgr::Limiter;
use loom_tests::{
    Task, acquire, assert_at_rest, model, request, run_all, serve, serve_all, spawn, strict,
};

#[test]
fn large_head_meets_small_ones() {
    model(|| {
        let limiter = Arc::new(Limiter::new("", 2));
        let [first, second] = [(); 2].map(|()| limiter.try_acquire_owned().unwrap());
        let mut large = request(&limiter, 2);
        let mut small = request(&limiter, 1);
        let other = spawn(move || drop(first));
        drop(second);
        large.run();
        other.join().unwrap();
        run_all(&mut [&mut large]);
        assert!(!small.is_done(), "overtook the head (I4)");
        assert!(!small.is_woken());
        drop(large.output().unwrap());
        run_all(&mut [&mut small]);
        drop(small.output().unwrap());
        assert_at_rest(&limiter, 2);
    });
}

/// A release that finds it in the seat also has to know that it is large.
#[test]
fn large_newcomer_in_the_seat_meets_a_release() {
    model(|| {
        let limiter = strict(2);
        let held = [(); 2].map(|()| limiter.try_acquire_owned().unwrap());
        let newcomers = spawn({
            let limiter = limiter.clone();
            move || [2, 1].map(|n| Task::start(limiter.clone().acquire_many_owned(n)))
        });
        drop(held);
        let [mut large, mut small] = newcomers.join().unwrap();
        small.run();
        large.run();
        assert!(large.is_done(), "is not served (I3)");
        assert!(!small.is_done(), "overtook the head (I4)");
        drop(large);
        small.run();
        drop(small.output().unwrap());
        assert_at_rest(&limiter, 2);
    });
}

#[test]
fn large_newcomer_that_is_handed_a_permit_gives_it_back() {
    model(|| {
        let limiter = Arc::new(Limiter::new("", 2));
        let [first, second] = [(); 2].map(|()| limiter.try_acquire_owned().unwrap());
        let mut head = request(&limiter, 1);
        let large = spawn({
            let limiter = limiter.clone();
            move || drop(acquire(&limiter, 2).unwrap())
        });
        drop(first);
        drop(second);
        // Polled unasked: its wake-up may still be on its way, from the other thread.
        head.poll();
        serve(&mut [&mut head]);
        large.join().unwrap();
        serve_all(&mut [&mut head]);
        assert_at_rest(&limiter, 2);
    });
}

/// The third release hands a permit to a sleeper in the queue, which it believes to be a small
/// request; the large one enters just then.
#[test]
fn displaced_large_request_is_served_before_later_ones() {
    model(|| {
        let limiter = strict(3);
        let [first, second, third] = [(); 3].map(|()| limiter.try_acquire_owned().unwrap());
        let mut head = request(&limiter, 1);
        let mut unit = request(&limiter, 1);
        drop(first);
        drop(second);
        let releaser = spawn(move || drop(third));
        let mut large = request(&limiter, 2);
        let mut last = request(&limiter, 3);
        releaser.join().unwrap();
        // If it was called with one permit it gives that back and waits on.
        large.run();
        run_all(&mut [&mut head, &mut unit]);
        drop((head.output().unwrap(), unit.output().unwrap()));
        run_all(&mut [&mut large]);
        let permits = large.output().unwrap();
        assert!(!last.is_done());
        drop(permits);
        serve_all(&mut [&mut last]);
        assert_at_rest(&limiter, 3);
    });
}

/// As above, with the seat given up when the large request is about to sleep in front of the line.
#[test]
fn displaced_large_request_is_called_to_the_seat_given_up() {
    model(|| {
        let limiter = strict(3);
        let [first, second, third] = [(); 3].map(|()| limiter.try_acquire_owned().unwrap());
        let head = Task::start(limiter.acquire_owned());
        let mut unit = request(&limiter, 1);
        drop(first);
        drop(second);
        let releaser = spawn(move || drop(third));
        let canceller = spawn(move || head.cancel());
        let mut large = request(&limiter, 2);
        releaser.join().unwrap();
        canceller.join().unwrap();
        // There is enough for it, and no later release would have it called.
        run_all(&mut [&mut large]);
        drop(large.output().unwrap());
        serve_all(&mut [&mut unit]);
        assert_at_rest(&limiter, 3);
    });
}

/// A waiter with a handed permit runs while a large request is called to the seat.
#[test]
fn seat_opened_for_a_large_request_is_left_to_it() {
    model(|| {
        let limiter = Limiter::builder("").ceiling(2).max(4).patience(0).build().unwrap();
        let limiter = Arc::new(limiter);
        let [first, second] = [(); 2].map(|()| limiter.try_acquire_owned().unwrap());
        let mut head = request(&limiter, 1);
        let mut handed = Task::start(limiter.acquire_owned());
        drop(first);
        drop(second);
        let mut large = request(&limiter, 2);
        let runner = spawn(move || {
            handed.run();
            handed
        });
        // Leaves the seat, which is opened for the large request once a permit is free.
        run_all(&mut [&mut head]);
        let _ = limiter.set_ceiling(4);
        let handed = runner.join().unwrap();
        assert!(limiter.try_acquire().is_err(), "overtook the large request (I4)");
        drop((head.output().unwrap(), handed.output().unwrap()));
        run_all(&mut [&mut large]);
        drop(large.output().unwrap());
        assert_at_rest(&limiter, 4);
    });
}

#[test]
fn cancelled_large_request_lets_the_small_ones_behind_it_be_called() {
    model(|| {
        let limiter = Arc::new(Limiter::new("", 3));
        let [first, second, third] = [(); 3].map(|()| limiter.try_acquire_owned().unwrap());
        let mut head = request(&limiter, 1);
        let large = Task::start(limiter.acquire_many_owned(2));
        let mut unit = request(&limiter, 1);
        let canceller = spawn(move || large.cancel());
        drop(first);
        drop(second);
        canceller.join().unwrap();
        assert!(head.is_woken() && unit.is_woken());
        run_all(&mut [&mut head, &mut unit]);
        drop((head.output().unwrap(), unit.output().unwrap(), third));
        assert_at_rest(&limiter, 3);
    });
}

/// The waiter that gives the seat up and calls the next in line sees that a large request is among them.
#[test]
fn seat_given_up_hands_nothing_over_past_a_large_request() {
    model(|| {
        let limiter = strict(2);
        let [first, second] = [(); 2].map(|()| limiter.try_acquire_owned().unwrap());
        let head = request(&limiter, 1);
        drop(first);
        drop(second);
        let newcomers = spawn({
            let limiter = limiter.clone();
            move || [2, 1].map(|n| Task::start(limiter.acquire_many_owned(n)))
        });
        head.cancel();
        let [mut large, mut small] = newcomers.join().unwrap();
        large.run();
        let permits = large.output().unwrap();
        assert!(!small.is_done() && !small.is_woken(), "went past the large request (I4)");
        drop(permits);
        small.run();
        drop(small.output().unwrap());
        assert_at_rest(&limiter, 2);
    });
}

#[test]
fn request_above_the_ceiling_runs_alone() {
    model(|| {
        let limiter = Limiter::builder("").ceiling(1).max(2).build().unwrap();
        let limiter = Arc::new(limiter);
        let held = limiter.try_acquire_owned().unwrap();
        let small = spawn({
            let limiter = limiter.clone();
            move || drop(acquire(&limiter, 1).unwrap())
        });
        let mut large = request(&limiter, 2);
        drop(held);
        large.run();
        if large.is_done() {
            assert_eq!(limiter.in_flight(), 2);
        }
        serve(&mut [&mut large]);
        small.join().unwrap();
        serve_all(&mut [&mut large]);
        assert_at_rest(&limiter, 1);
    });
}

/// I17: as if the large request were not there.
#[test]
fn units_in_front_of_a_large_request_are_called_at_once() {
    model(|| {
        let limiter = strict(3);
        let [first, second, third] = [(); 3].map(|()| limiter.try_acquire_owned().unwrap());
        let mut units = [(); 2].map(|()| request(&limiter, 1));
        let mut large = request(&limiter, 2);
        let releaser = spawn(move || drop(first));
        drop(second);
        releaser.join().unwrap();
        assert!(units[0].is_woken() && units[1].is_woken(), "not called for a permit (I17)");
        assert!(!large.is_woken());
        let [a, b] = &mut units;
        serve_all(&mut [a, b]);
        drop(third);
        serve_all(&mut [&mut large]);
        assert_at_rest(&limiter, 3);
    });
}

/// A unit gives up while a permit is handed to it, which may reach the large request instead.
#[test]
fn cancelled_unit_meets_a_call_in_front_of_a_large_request() {
    model(|| {
        let limiter = strict(3);
        let [first, second, third] = [(); 3].map(|()| limiter.try_acquire_owned().unwrap());
        let mut head = request(&limiter, 1);
        let unit = Task::start(limiter.acquire_owned());
        let mut large = request(&limiter, 2);
        let mut last = request(&limiter, 1);
        let canceller = spawn(move || unit.cancel());
        drop(first);
        drop(second);
        canceller.join().unwrap();
        assert!(head.is_woken() && !last.is_woken(), "called past the large request (I4)");
        serve_all(&mut [&mut head, &mut large, &mut last]);
        drop(third);
        assert_at_rest(&limiter, 3);
    });
}

/// I17: of two releases the one that makes it enough wakes it.
#[test]
fn large_head_is_woken_when_its_permits_are_there() {
    model(|| {
        let limiter = Arc::new(Limiter::new("", 3));
        let [first, second, third] = [(); 3].map(|()| limiter.try_acquire_owned().unwrap());
        let mut large = request(&limiter, 3);
        drop(first);
        assert!(!large.is_woken(), "woken for too little (I17)");
        let releaser = spawn(move || drop(second));
        drop(third);
        releaser.join().unwrap();
        serve_all(&mut [&mut large]);
        assert_at_rest(&limiter, 3);
    });
}

/// What a large head wanted is not taken for what the one after it wants.
#[test]
fn unit_that_follows_a_large_head_is_woken_for_one_permit() {
    model(|| {
        let limiter = Arc::new(Limiter::new("", 2));
        let [first, second] = [(); 2].map(|()| limiter.try_acquire_owned().unwrap());
        let large = Task::start(limiter.acquire_many_owned(2));
        let canceller = spawn(move || large.cancel());
        let mut unit = request(&limiter, 1);
        let releaser = spawn(move || drop(first));
        canceller.join().unwrap();
        releaser.join().unwrap();
        unit.run();
        assert!(unit.is_done(), "sleeps beside a free permit (I3)");
        drop((unit.output().unwrap(), second));
        assert_at_rest(&limiter, 2);
    });
}
