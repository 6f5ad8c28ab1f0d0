//! A ceiling that moves, and the pause (I1, I5, I6, I7).

use std::sync::Arc;
use std::time::Duration;

use grmgr::{Adjustment, Limiter, ManualClock};
use loom_tests::{acquire, assert_at_rest, model, request, run_all, serve_all, spawn};

fn limiter(ceiling: usize, max: usize) -> Arc<Limiter> {
    let limiter =
        Limiter::builder("").ceiling(ceiling).min(0).max(max).hold(Duration::ZERO).build();
    Arc::new(limiter.unwrap())
}

#[test]
fn raise_meets_enqueue() {
    model(|| {
        let limiter = limiter(1, 2);
        let held = limiter.try_acquire().unwrap();
        let waiter = spawn({
            let limiter = limiter.clone();
            move || drop(acquire(&limiter, 1).unwrap())
        });
        let _ = limiter.set_ceiling(2);
        // One is out; the raise alone has to let the other in.
        waiter.join().unwrap();
        drop(held);
        assert_at_rest(&limiter, 2);
    });
}

#[test]
fn raise_wakes_exactly_the_free_permits() {
    model(|| {
        let limiter = limiter(1, 3);
        let held = limiter.try_acquire_owned().unwrap();
        let mut waiters = [(); 3].map(|()| request(&limiter, 1));
        let raiser = spawn({
            let limiter = limiter.clone();
            move || {
                let _ = limiter.set_ceiling(3);
            }
        });
        drop(held);
        raiser.join().unwrap();
        let [a, b, c] = &mut waiters;
        assert!(a.is_woken() && b.is_woken() && c.is_woken());
        run_all(&mut [a, b, c]);
        drop([a, b, c].map(|task| task.output().unwrap()));
        assert_at_rest(&limiter, 3);
    });
}

#[test]
fn lower_meets_acquire_and_release() {
    model(|| {
        let limiter = limiter(2, 2);
        let held = limiter.try_acquire_owned().unwrap();
        let lowering = spawn({
            let limiter = limiter.clone();
            move || {
                let _ = limiter.set_ceiling(1);
                // One is out already or still: nothing may be granted before it is back (I5).
                limiter.in_flight()
            }
        });
        let second = limiter.try_acquire();
        drop(held);
        let third = limiter.try_acquire();
        assert!(lowering.join().unwrap() <= 2);
        assert!(second.is_ok() || third.is_ok());
        drop((second, third));
        assert_at_rest(&limiter, 1);
    });
}

#[test]
fn lower_then_raise_while_over_subscribed_grants_no_more_than_the_ceiling() {
    model(|| {
        let limiter = limiter(3, 3);
        let [first, second, third] = [(); 3].map(|()| limiter.try_acquire_owned().unwrap());
        let mut waiters = [(); 3].map(|()| request(&limiter, 1));
        let adjuster = spawn({
            let limiter = limiter.clone();
            move || {
                let _ = limiter.set_ceiling(1);
                let _ = limiter.set_ceiling(2);
            }
        });
        drop(first);
        drop(second);
        adjuster.join().unwrap();
        let [a, b, c] = &mut waiters;
        run_all(&mut [a, b, c]);
        // The ceiling is 2 and one of the first three is still out. A permit may have been
        // granted while it was 3.
        let granted = [&*a, b, c].iter().filter(|task| task.is_done()).count();
        assert_eq!(granted + 1, limiter.in_flight());
        assert!((1..=2).contains(&granted), "{granted} granted (I5)");
        drop(third);
        serve_all(&mut [a, b, c]);
        assert_at_rest(&limiter, 2);
    });
}

#[test]
fn resume_meets_enqueue() {
    model(|| {
        let limiter = limiter(1, 1);
        limiter.pause();
        let waiter = spawn({
            let limiter = limiter.clone();
            move || drop(acquire(&limiter, 1).unwrap())
        });
        limiter.resume();
        waiter.join().unwrap();
        assert_at_rest(&limiter, 1);
    });
}

#[test]
fn pause_stops_grants_until_resume() {
    model(|| {
        let limiter = limiter(2, 2);
        let [first, second] = [(); 2].map(|()| limiter.try_acquire_owned().unwrap());
        let mut a = request(&limiter, 1);
        let mut b = request(&limiter, 1);
        let releaser = spawn(move || {
            drop(first);
            drop(second);
        });
        limiter.pause();
        // What was granted before the pause stays; nothing is granted during it.
        run_all(&mut [&mut a]);
        let before = a.is_done();
        run_all(&mut [&mut a]);
        assert_eq!(a.is_done(), before);
        releaser.join().unwrap();
        limiter.resume();
        run_all(&mut [&mut a, &mut b]);
        drop((a.output().unwrap(), b.output().unwrap()));
        assert_at_rest(&limiter, 2);
    });
}

#[test]
fn pause_and_resume_meet_a_cancellation() {
    model(|| {
        let limiter = limiter(1, 1);
        let held = limiter.try_acquire_owned().unwrap();
        let head = request(&limiter, 1);
        let mut next = request(&limiter, 1);
        let pauser = spawn({
            let limiter = limiter.clone();
            move || {
                limiter.pause();
                limiter.resume();
            }
        });
        drop(held);
        head.cancel();
        pauser.join().unwrap();
        run_all(&mut [&mut next]);
        drop(next.output().unwrap());
        assert_at_rest(&limiter, 1);
    });
}

#[test]
fn of_two_callers_of_up_one_succeeds() {
    model(|| {
        let clock = ManualClock::new();
        let limiter = Limiter::builder("").ceiling(1).max(3).clock(clock.clone()).build().unwrap();
        let limiter = Arc::new(limiter);
        let other = spawn({
            let limiter = limiter.clone();
            move || limiter.up()
        });
        let results = [limiter.up(), other.join().unwrap()];
        let changed = results.iter().filter(|r| matches!(r, Adjustment::Changed { .. })).count();
        assert_eq!(changed, 1, "{results:?} (I7)");
        assert_eq!(limiter.ceiling(), 2);
        clock.advance(Duration::from_secs(30));
        assert_eq!(limiter.up(), Adjustment::Changed { from: 2, to: 3 });
    });
}

/// Whichever comes first, the other finds nothing to do, and begins or ends no hold (I7).
#[test]
fn set_ceiling_meets_a_step_and_holds_the_next() {
    model(|| {
        let clock = ManualClock::new();
        let limiter = Limiter::builder("").ceiling(1).max(2).clock(clock.clone()).build().unwrap();
        let limiter = Arc::new(limiter);
        let other = spawn({
            let limiter = limiter.clone();
            move || limiter.up()
        });
        let set = limiter.set_ceiling(2);
        let up = other.join().unwrap();
        let changed = |a| matches!(a, Adjustment::Changed { .. });
        assert!(changed(set) ^ changed(up), "{set:?} {up:?}");
        assert_eq!(limiter.down(), Adjustment::Held { remaining: Duration::from_secs(30) });
    });
}
