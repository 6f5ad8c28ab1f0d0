//! Requests for several permits (I1, I4).

use std::sync::Arc;

use grmgr::{AcquireError, AcquireOwned, Limiter, OwnedPermit};
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

/// Two releases: one for the head, and one that may be for a large request that enters just then.
#[test]
fn large_newcomer_meets_the_call_of_the_head() {
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

/// The third release finds the queue empty, or the large request that enters just then.
#[test]
fn large_newcomer_meets_a_call_that_reaches_nobody() {
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

/// As above, with the seat given up at the same time.
#[test]
fn large_newcomer_meets_a_call_and_the_seat_given_up() {
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

/// A waiter with a handed permit runs while the ceiling is raised for a large request.
#[test]
fn raise_for_a_large_request_is_left_to_it() {
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
        // Leaves the seat, so that the large request is the first in line.
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

/// It is granted its permits behind a unit just as it gives up: exactly one side has them.
#[test]
fn grant_meets_cancel() {
    model(|| {
        let limiter = strict(3);
        let held = limiter.try_acquire_many_owned(3).unwrap();
        let mut unit = request(&limiter, 1);
        let large = Task::start(limiter.acquire_many_owned(2));
        let canceller = spawn(move || large.cancel());
        drop(held);
        canceller.join().unwrap();
        run_all(&mut [&mut unit]);
        drop(unit.output().unwrap());
        assert_at_rest(&limiter, 3);
    });
}

/// I9: it has its permits, or is told.
#[test]
fn grant_meets_close() {
    model(|| {
        let limiter = strict(3);
        let held = limiter.try_acquire_many_owned(3).unwrap();
        let mut unit = request(&limiter, 1);
        let mut large = request(&limiter, 2);
        let closer = spawn({
            let limiter = limiter.clone();
            move || limiter.close()
        });
        drop(held);
        closer.join().unwrap();
        run_all(&mut [&mut unit, &mut large]);
        assert!(large.is_done(), "was not told (I9)");
        drop((unit.output(), large.output()));
        assert_eq!(limiter.in_flight(), 0);
    });
}

/// The later of two releases grants it, behind a unit.
#[test]
fn two_releases_grant_a_large_request_behind_a_unit() {
    model(|| {
        let limiter = strict(3);
        let first = limiter.try_acquire_many_owned(2).unwrap();
        let second = limiter.try_acquire_owned().unwrap();
        let mut unit = request(&limiter, 1);
        let mut large = request(&limiter, 2);
        let releaser = spawn(move || drop(first));
        drop(second);
        releaser.join().unwrap();
        assert!(unit.is_woken() && large.is_woken(), "not granted (I17)");
        run_all(&mut [&mut unit, &mut large]);
        drop((unit.output().unwrap(), large.output().unwrap()));
        assert_at_rest(&limiter, 3);
    });
}

/// A unit that finds no large request in line sleeps in the queue, and a large request that enters
/// meanwhile in the list. Whatever was known of the two at first, no later request is served before the
/// unit.
#[test]
fn unit_that_enters_the_queue_meets_the_first_in_the_list() {
    model(|| {
        let limiter = strict(3);
        let first = limiter.try_acquire_many_owned(2).unwrap();
        let second = limiter.try_acquire_owned().unwrap();
        let mut head = request(&limiter, 1);
        let newcomer = spawn({
            let limiter = limiter.clone();
            move || Task::start(limiter.acquire_owned())
        });
        let mut large = request(&limiter, 2);
        // One for the head, and one for the unit, if that is in front of the large request.
        drop(first);
        let mut unit = newcomer.join().unwrap();
        let mut last = request(&limiter, 3);
        drop(second);
        while !(head.is_done() && large.is_done() && unit.is_done()) {
            let in_turn = !last.is_woken() || unit.is_woken() || unit.is_done();
            assert!(in_turn, "a later request is served first (I4)");
            let ran = head.run() | large.run() | unit.run();
            assert!(ran, "asleep beside free permits (I3)");
            drop((head.take(), large.take(), unit.take()));
        }
        drop((head, large, unit));
        serve_all(&mut [&mut last]);
        assert_at_rest(&limiter, 3);
    });
}

/// A release that comes when a large request has just been granted its permits sees the unit behind it.
#[test]
fn release_meets_the_grant_of_the_one_in_front() {
    model(|| {
        let limiter = strict(4);
        let first = limiter.try_acquire_many_owned(3).unwrap();
        let second = limiter.try_acquire_owned().unwrap();
        let mut head = request(&limiter, 1);
        let mut large = request(&limiter, 2);
        let mut unit = request(&limiter, 1);
        let releaser = spawn(move || drop(first));
        drop(second);
        releaser.join().unwrap();
        assert!(head.is_woken() && large.is_woken() && unit.is_woken(), "asleep beside a permit");
        run_all(&mut [&mut head, &mut large, &mut unit]);
        drop((head.output().unwrap(), large.output().unwrap(), unit.output().unwrap()));
        assert_at_rest(&limiter, 4);
    });
}

/// A large request is about to take the seat asleep when another permit comes. What it wants is not taken
/// for what a later head wants.
#[test]
fn large_request_about_to_sit_meets_a_release() {
    model(|| {
        let limiter = strict(3);
        let [first, second, third] = [(); 3].map(|()| limiter.try_acquire_owned().unwrap());
        let head = request(&limiter, 1);
        let mut large = request(&limiter, 2);
        head.cancel();
        let releaser = spawn(move || drop(first));
        drop(second);
        releaser.join().unwrap();
        large.run();
        let full = large.output().unwrap();
        let mut unit = request(&limiter, 1);
        drop(third);
        unit.run();
        assert!(unit.is_done(), "sleeps beside a free permit (I3)");
        drop((unit.output().unwrap(), full));
        assert_at_rest(&limiter, 3);
    });
}

/// A large request that has come to the front sleeps in the seat without having run. It gives up just
/// when there is enough for it.
#[test]
fn call_meets_cancel_of_a_large_request_asleep_in_the_seat() {
    model(|| {
        let (limiter, held, large, mut unit) = asleep_in_the_seat();
        let canceller = spawn(move || large.cancel());
        drop(held);
        canceller.join().unwrap();
        unit.run();
        drop(unit.output().unwrap());
        assert_at_rest(&limiter, 2);
    });
}

#[test]
fn call_meets_close_with_a_large_request_asleep_in_the_seat() {
    model(|| {
        let (limiter, held, mut large, mut unit) = asleep_in_the_seat();
        let closer = spawn({
            let limiter = limiter.clone();
            move || limiter.close()
        });
        drop(held);
        closer.join().unwrap();
        large.run();
        unit.run();
        assert!(large.is_done() && unit.is_done(), "was not told (I9)");
        drop((large.output(), unit.output()));
        assert_eq!(limiter.in_flight(), 0);
    });
}

/// A newcomer takes what it was woken for; the next release is for it all the same.
#[test]
fn newcomer_overtakes_a_large_request_asleep_in_the_seat() {
    model(|| {
        let (limiter, held, mut large, mut unit) = asleep_in_the_seat();
        let newcomer = spawn({
            let limiter = limiter.clone();
            move || drop(limiter.try_acquire())
        });
        drop(held);
        newcomer.join().unwrap();
        large.run();
        assert!(large.is_done(), "was not woken for its permits (I17)");
        drop(large.output().unwrap());
        unit.run();
        drop(unit.output().unwrap());
        assert_at_rest(&limiter, 2);
    });
}

/// One of two permits is in flight and the other is free: too little for the large request that is the
/// first in line. A unit is behind it.
fn asleep_in_the_seat() -> (Arc<Limiter>, OwnedPermit, Task<AcquireOwned>, Task<AcquireOwned>) {
    let limiter = Arc::new(Limiter::new("", 2));
    let [first, second] = [(); 2].map(|()| limiter.try_acquire_owned().unwrap());
    let mut head = request(&limiter, 1);
    let large = Task::start(limiter.acquire_many_owned(2));
    let unit = Task::start(limiter.acquire_owned());
    drop(first);
    head.run();
    drop(head);
    assert!(!large.is_woken() && !unit.is_woken());
    (limiter, second, large, unit)
}

/// A unit behind a large request is called to the seat just as it gives up.
#[test]
fn call_of_a_listed_unit_meets_cancel() {
    model(|| {
        let limiter = Arc::new(Limiter::new("", 2));
        let held = limiter.try_acquire_many_owned(2).unwrap();
        let head = request(&limiter, 1);
        let large = request(&limiter, 2);
        let unit = Task::start(limiter.acquire_owned());
        let mut last = request(&limiter, 1);
        head.cancel();
        large.cancel();
        let canceller = spawn(move || unit.cancel());
        drop(held);
        canceller.join().unwrap();
        run_all(&mut [&mut last]);
        drop(last.output().unwrap());
        assert_at_rest(&limiter, 2);
    });
}

/// Whoever is granted its permits is woken where it was polled last.
#[test]
fn grant_meets_another_waker() {
    model(|| {
        let limiter = strict(3);
        let held = limiter.try_acquire_many_owned(3).unwrap();
        let mut unit = request(&limiter, 1);
        let mut large = Task::start(limiter.acquire_many_owned(2));
        let mover = spawn(move || {
            large.poll_elsewhere();
            large
        });
        drop(held);
        let mut large = mover.join().unwrap();
        large.run();
        assert!(large.is_done(), "was not woken (I3)");
        run_all(&mut [&mut unit]);
        drop((unit.output().unwrap(), large.output().unwrap()));
        assert_at_rest(&limiter, 3);
    });
}

/// Two newcomers for one place: the one that is refused has left the list again.
#[test]
fn refused_newcomer_leaves_the_list() {
    model(|| {
        let limiter = Limiter::builder("").ceiling(2).max_waiting(2).patience(0).build().unwrap();
        let limiter = Arc::new(limiter);
        let held = limiter.try_acquire_many_owned(2).unwrap();
        let mut head = request(&limiter, 1);
        let other = spawn({
            let limiter = limiter.clone();
            move || Task::start(limiter.acquire_many_owned(2))
        });
        let mut large = Task::start(limiter.acquire_many_owned(2));
        let mut other = other.join().unwrap();
        assert!(large.is_done() != other.is_done(), "one place, and one of two has it");
        drop(held);
        serve_all(&mut [&mut head]);
        large.run();
        other.run();
        let refused = AcquireError::QueueFull { max_waiting: 2 };
        let results = [large.output(), other.output()];
        assert_eq!(results.iter().filter(|it| it.as_ref().err() == Some(&refused)).count(), 1);
        drop(results);
        assert_at_rest(&limiter, 2);
    });
}
