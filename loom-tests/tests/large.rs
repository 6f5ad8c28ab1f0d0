//! Requests for several permits (I1, I4).

use std::sync::Arc;

use grmgr::Limiter;
use loom_tests::{acquire, assert_at_rest, model, request, run_all, serve, serve_all, spawn};

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

#[test]
fn displaced_large_request_is_served_before_later_ones() {
    model(|| {
        let limiter = Arc::new(Limiter::new("", 3));
        let [first, second, third] = [(); 3].map(|()| limiter.try_acquire_owned().unwrap());
        let mut head = request(&limiter, 1);
        let mut unit = request(&limiter, 1);
        let releaser = spawn(move || {
            drop(first);
            drop(second);
        });
        let mut large = request(&limiter, 2);
        releaser.join().unwrap();
        run_all(&mut [&mut head, &mut unit, &mut large]);
        drop(third);
        serve_all(&mut [&mut head, &mut unit, &mut large]);
        assert_at_rest(&limiter, 3);
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
