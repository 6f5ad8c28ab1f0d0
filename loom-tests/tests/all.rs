//! Several limiters at once: no two calls wait for each other in a circle.

use std::sync::Arc;

use grmgr::{AcquireError, Limiter, acquire_all};
use loom_tests::{Task, assert_at_rest, model, spawn};

fn pair() -> Arc<[Limiter; 2]> {
    Arc::new([(); 2].map(|()| Limiter::new("", 1)))
}

/// Acquires both in the order opposite to that of the models.
fn backwards(pair: &Arc<[Limiter; 2]>) -> impl FnOnce() + Send + use<> {
    let pair = pair.clone();
    move || {
        let [a, b] = &*pair;
        drop(Task::start(acquire_all([(b, 1), (a, 1)])).finish().expect("granted"));
    }
}

fn at_rest(pair: &[Limiter; 2]) {
    for limiter in pair {
        assert_at_rest(limiter, 1);
    }
}

#[test]
fn opposite_orders_end() {
    model(|| {
        let pair = pair();
        let other = spawn(backwards(&pair));
        let [a, b] = &*pair;
        drop(Task::start(acquire_all([(a, 1), (b, 1)])).finish().expect("granted"));
        other.join().unwrap();
        at_rest(&pair);
    });
}

/// I2, I10: what it had, and what it was called for, is the other's.
#[test]
fn cancelled_call_leaves_everything_to_the_other() {
    model(|| {
        let pair = pair();
        let other = spawn(backwards(&pair));
        let [a, b] = &*pair;
        Task::start(acquire_all([(a, 1), (b, 1)])).cancel();
        other.join().unwrap();
        at_rest(&pair);
    });
}

/// I9: refused half-way, it keeps nothing.
#[test]
fn close_of_one_meets_a_call_for_both() {
    model(|| {
        let pair = pair();
        let closer = spawn({
            let pair = pair.clone();
            move || pair[1].close()
        });
        let [a, b] = &*pair;
        match Task::start(acquire_all([(a, 1), (b, 1)])).finish() {
            Ok(permits) => assert_eq!((a.in_flight(), b.in_flight(), permits.len()), (1, 1, 2)),
            Err(error) => assert_eq!(error, AcquireError::Closed),
        }
        closer.join().unwrap();
        at_rest(&pair);
    });
}
