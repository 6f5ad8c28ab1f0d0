//! Waiters that give up (I2, I10).

use std::sync::Arc;

use grmgr::Limiter;
use loom_tests::{acquire, assert_at_rest, model, request, run_all, serve, serve_all, spawn};

#[test]
fn cancelled_head_passes_the_place_on() {
    model(|| {
        let limiter = Arc::new(Limiter::new("", 1));
        let held = limiter.try_acquire_owned().unwrap();
        let head = request(&limiter, 1);
        let mut next = request(&limiter, 1);
        let releaser = spawn(move || drop(held));
        head.cancel();
        releaser.join().unwrap();
        run_all(&mut [&mut next]);
        drop(next.output().unwrap());
        assert_at_rest(&limiter, 1);
    });
}

#[test]
fn cancelled_sleeper_takes_no_call_with_it() {
    model(|| {
        let limiter = Arc::new(Limiter::new("", 2));
        let [first, second] = [(); 2].map(|()| limiter.try_acquire_owned().unwrap());
        let mut head = request(&limiter, 1);
        let sleeper = request(&limiter, 1);
        let mut last = request(&limiter, 1);
        let releaser = spawn(move || {
            drop(first);
            drop(second);
        });
        sleeper.cancel();
        releaser.join().unwrap();
        assert!(head.is_woken() && last.is_woken());
        run_all(&mut [&mut head, &mut last]);
        drop((head.output().unwrap(), last.output().unwrap()));
        assert_at_rest(&limiter, 2);
    });
}

#[test]
fn granted_and_unpolled_request_gives_its_permit_back() {
    model(|| {
        let limiter = Arc::new(Limiter::new("", 2));
        let [first, second] = [(); 2].map(|()| limiter.try_acquire_owned().unwrap());
        let mut head = request(&limiter, 1);
        let granted = request(&limiter, 1);
        let mut last = request(&limiter, 1);
        drop(first);
        drop(second);
        assert!(granted.is_woken());
        let runner = spawn({
            let limiter = limiter.clone();
            move || drop(acquire(&limiter, 1).unwrap())
        });
        granted.cancel();
        serve(&mut [&mut head, &mut last]);
        runner.join().unwrap();
        serve_all(&mut [&mut head, &mut last]);
        assert_at_rest(&limiter, 2);
    });
}

#[test]
fn called_waiter_that_is_dropped_opens_the_seat_to_the_next() {
    model(|| {
        let limiter = Arc::new(Limiter::new("", 1));
        let held = limiter.try_acquire_owned().unwrap();
        let head = request(&limiter, 1);
        let called = request(&limiter, 1);
        let mut next = request(&limiter, 1);
        drop(held);
        // Calls the second in line to the seat.
        head.cancel();
        assert!(called.is_woken());
        let barger = spawn({
            let limiter = limiter.clone();
            move || drop(limiter.try_acquire())
        });
        called.cancel();
        serve(&mut [&mut next]);
        barger.join().unwrap();
        serve_all(&mut [&mut next]);
        assert_at_rest(&limiter, 1);
    });
}
