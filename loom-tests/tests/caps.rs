//! Several hands on one ceiling, all at once (I15, I3, I5).

use std::sync::Arc;
use std::time::Duration;

use grmgr::{Adjustment, Clock, Limiter, ManualClock, OwnedCap};
use loom_tests::{acquire, assert_at_rest, model, request, run_all, spawn, yield_now};

fn limiter(ceiling: usize) -> Arc<Limiter> {
    let builder = Limiter::builder("").ceiling(ceiling).min(0).max(9).hold(Duration::ZERO);
    Arc::new(builder.build().unwrap())
}

#[test]
fn two_caps_and_a_step_at_once_leave_the_lowest() {
    model(|| {
        let limiter = limiter(4);
        let [a, b] = ["a", "b"].map(|cause| limiter.cap_owned(cause).unwrap());
        let a = spawn(move || {
            a.set(2);
            a
        });
        let b = spawn(move || {
            b.set(3);
            b
        });
        assert_eq!(limiter.up(), Adjustment::Changed { from: 4, to: 5 });
        let (a, b) = (a.join().unwrap(), b.join().unwrap());
        assert_eq!((limiter.ceiling(), limiter.setting()), (2, 5));
        drop(a);
        assert_eq!(limiter.ceiling(), 3);
        drop(b);
        assert_eq!(limiter.ceiling(), 5);
    });
}

/// When `set` has returned, no hand raises the ceiling above it any more, not even one that had worked
/// out the lowest before.
#[test]
fn lift_meets_set() {
    model(|| {
        let limiter = limiter(4);
        let [low, other] = ["low", "other"].map(|cause| limiter.cap_owned(cause).unwrap());
        low.set(1);
        let lifting = spawn(move || low.lift());
        // Just what is in force, so that nothing in the word may have to change.
        other.set(1);
        yield_now();
        assert_eq!(limiter.ceiling(), 1, "raised above a cap (I15)");
        let held = limiter.try_acquire().unwrap();
        assert!(limiter.try_acquire().is_err(), "granted above a cap (I1, I15)");
        lifting.join().unwrap();
        assert_eq!(limiter.ceiling(), 1);
        drop((held, other));
        assert_at_rest(&limiter, 4);
    });
}

/// The same, beside a permit that comes back. Loom keeps the last access of each atomic: of two threads
/// that each read the word and then write it, it takes the first one's read for independent of the second
/// one's write, because the second one's own read lies between. A release writes without reading first.
/// So here loom also holds up the lifting hand between its read of the word and its write.
#[test]
fn lift_meets_release_and_set() {
    model(|| {
        let limiter = limiter(4);
        let [low, other] = ["low", "other"].map(|cause| limiter.cap_owned(cause).unwrap());
        low.set(1);
        let held = limiter.try_acquire().unwrap();
        let lifting = spawn(move || low.lift());
        drop(held);
        other.set(1);
        lifting.join().unwrap();
        assert_eq!(limiter.ceiling(), 1, "raised above a cap (I15)");
        drop(other);
        assert_at_rest(&limiter, 4);
    });
}

#[test]
fn drop_of_a_cap_meets_a_raise() {
    model(|| {
        let limiter = limiter(2);
        let cap = limiter.cap_owned("cap").unwrap();
        cap.set(1);
        let held = limiter.try_acquire().unwrap();
        let mut waiters = [(); 3].map(|()| request(&limiter, 1));
        let dropping = spawn(move || drop(cap));
        let _ = limiter.set_ceiling(3);
        dropping.join().unwrap();
        assert_eq!(limiter.ceiling(), 3);
        let [a, b, c] = &mut waiters;
        // I6: the second of the two hands has called for both permits.
        assert!(a.is_woken() && b.is_woken() && !c.is_woken());
        run_all(&mut [a, b, c]);
        drop(held);
        run_all(&mut [c]);
        drop(waiters.map(|task| task.output().unwrap()));
        assert_at_rest(&limiter, 3);
    });
}

#[test]
fn cap_of_zero_and_back_loses_no_waiter() {
    model(|| {
        let limiter = limiter(1);
        let cap = limiter.cap_owned("cap").unwrap();
        let held = limiter.try_acquire_owned().unwrap();
        let mut waiter = request(&limiter, 1);
        let capping = spawn(move || {
            cap.set(0);
            cap.lift();
        });
        drop(held);
        run_all(&mut [&mut waiter]);
        capping.join().unwrap();
        run_all(&mut [&mut waiter]);
        drop(waiter.output().unwrap());
        assert_at_rest(&limiter, 1);
    });
}

/// I3: a permit that comes back and one that is made meet in one waiter's way into the line.
#[test]
fn lift_meets_enqueue() {
    model(|| {
        let limiter = limiter(1);
        let cap = limiter.cap_owned("cap").unwrap();
        cap.set(0);
        let waiter = spawn({
            let limiter = limiter.clone();
            move || drop(acquire(&limiter, 1).unwrap())
        });
        drop(cap);
        waiter.join().unwrap();
        assert_at_rest(&limiter, 1);
    });
}

/// The ceiling that is read of a paused limiter, whose word does not hold it, was in force: one of the two
/// caps is always at 1.
#[test]
fn ceiling_of_a_paused_limiter_meets_caps_that_move() {
    model(|| {
        let limiter = limiter(4);
        let [a, b] = ["a", "b"].map(|cause| limiter.cap_owned(cause).unwrap());
        b.set(1);
        limiter.pause();
        let moving = spawn(move || {
            a.set(1);
            b.lift();
            (a, b)
        });
        assert_eq!(limiter.ceiling(), 1);
        drop(moving.join().unwrap());
    });
}

/// What a snapshot says of the ceiling and of a pause was so at one moment. (Shuttle finds it when
/// that breaks; loom does not come by the one order that shows it.)
#[test]
fn snapshot_meets_a_pause() {
    model(|| {
        let limiter = limiter(4);
        let reading = spawn({
            let limiter = limiter.clone();
            move || {
                let snapshot = limiter.snapshot();
                assert!(!snapshot.paused || snapshot.ceiling == 2, "{snapshot:?}");
            }
        });
        let _ = limiter.set_ceiling(2);
        limiter.pause();
        reading.join().unwrap();
    });
}

/// The ninth is refused, and two that come for the last slot do not get the same.
#[test]
fn of_two_that_want_the_last_slot_one_gets_it() {
    model(|| {
        let limiter = limiter(9);
        let caps: Vec<_> = (0..7).map(|_| limiter.cap("").unwrap()).collect();
        let other = spawn({
            let limiter = limiter.clone();
            move || limiter.cap_owned("other").inspect(|cap| _ = cap.set(3))
        });
        let one = limiter.cap("one").inspect(|cap| _ = cap.set(3));
        let other = other.join().unwrap();
        assert!(one.is_ok() != other.is_ok());
        assert_eq!(limiter.ceiling(), 3);
        drop((one, other, caps));
        assert_eq!(limiter.ceiling(), 9);
    });
}

/// I8: the setting stays within the bounds, also when they change under it.
#[test]
fn reconfigure_meets_a_step() {
    model(|| {
        let limiter = limiter(4);
        let throttle = limiter.throttle();
        let other = spawn({
            let limiter = limiter.clone();
            move || {
                limiter.reconfigure(throttle.max(4)).unwrap();
                let snapshot = limiter.snapshot();
                assert!(snapshot.setting <= 4 && snapshot.max == 4, "{snapshot:?} (I8)");
            }
        });
        let _ = limiter.up();
        other.join().unwrap();
        assert_eq!((limiter.setting(), limiter.ceiling()), (4, 4));
    });
}

/// It is not left waiting for a ceiling that will never be.
#[test]
fn request_above_a_lowered_max_is_not_left_waiting() {
    model(|| {
        let builder = Limiter::builder("").ceiling(1).max(3).hold(Duration::ZERO);
        let limiter = Arc::new(builder.run_alone(false).build().unwrap());
        let waiter = spawn({
            let limiter = limiter.clone();
            move || match acquire(&limiter, 3) {
                Ok(permit) => assert_eq!(permit.count(), 3),
                Err(error) => assert!(matches!(error, grmgr::AcquireError::ExceedsMax { .. })),
            }
        });
        limiter.reconfigure(limiter.throttle().max(2)).unwrap();
        waiter.join().unwrap();
        assert_at_rest(&limiter, 1);
    });
}

/// A limiter for two permits, with a cap and a clock that stands still.
fn capped() -> (ManualClock, Arc<Limiter>, OwnedCap) {
    let clock = ManualClock::new();
    let builder = Limiter::builder("").ceiling(2).min(0).clock(clock.clone());
    let limiter = Arc::new(builder.build().unwrap());
    let cap = limiter.cap_owned("share").unwrap();
    (clock, limiter, cap)
}

/// A term ends while permits are asked for: none is granted that the cap allows no more.
#[test]
fn end_of_a_term_meets_acquire() {
    model(|| {
        let (clock, limiter, cap) = capped();
        cap.set_until(2, 1, Duration::from_nanos(10));
        let held = limiter.try_acquire_owned().unwrap();
        let late = spawn({
            let limiter = limiter.clone();
            move || {
                clock.advance(Duration::from_nanos(10));
                // Perhaps the others are back by now.
                let permit = limiter.try_acquire_owned();
                let in_flight = limiter.in_flight();
                assert!(in_flight <= 1 || permit.is_err(), "granted after the term (I15)");
                drop(permit);
            }
        });
        let early = limiter.try_acquire();
        drop((early, held));
        late.join().unwrap();
        assert_eq!(limiter.ceiling(), 1);
        drop(cap);
        assert_at_rest(&limiter, 2);
    });
}

/// A thread that knows the term to be over reads the ceiling of after it, also if another thread has ended
/// the term.
#[test]
fn reading_meets_the_end_of_a_term() {
    model(|| {
        let (clock, limiter, cap) = capped();
        cap.set_until(2, 1, Duration::from_nanos(10));
        let reading = spawn({
            let (limiter, clock) = (limiter.clone(), clock.clone());
            move || {
                let is_over = clock.now() >= Duration::from_nanos(10);
                let ceiling = limiter.ceiling();
                assert!(!is_over || ceiling == 1, "read as before the end of the term (I15)");
            }
        });
        clock.advance(Duration::from_nanos(10));
        assert_eq!(limiter.ceiling(), 1);
        reading.join().unwrap();
    });
}

/// Two see the end of one term, and a third replaces it: whatever comes first, the last word is the
/// cap's own.
#[test]
fn renewal_meets_the_end_of_a_term() {
    model(|| {
        let (clock, limiter, cap) = capped();
        cap.set_until(2, 0, Duration::from_nanos(10));
        clock.advance(Duration::from_nanos(10));
        let other = spawn({
            let limiter = limiter.clone();
            move || drop(limiter.try_acquire())
        });
        cap.set_until(1, 0, Duration::from_nanos(20));
        let permit = limiter.try_acquire();
        drop(permit);
        other.join().unwrap();
        assert_eq!((limiter.ceiling(), cap.get()), (1, Some(1)), "the renewal was lost");
        drop(cap);
        assert_at_rest(&limiter, 2);
    });
}
