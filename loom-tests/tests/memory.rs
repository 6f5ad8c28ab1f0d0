//! What is done under a permit is seen by who has it next, whichever way it gets there, and by who
//! waits for the end of all work.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use grmgr::Limiter;
use loom_tests::{Data, Task, acquire, assert_at_rest, model, spawn, wait_idle};

#[test]
fn work_is_seen_by_who_takes_the_permit() {
    model(|| {
        let (limiter, data) = (Arc::new(Limiter::new("", 1)), Arc::new(Data::new(0)));
        let held = limiter.try_acquire_owned().unwrap();
        let worker = spawn({
            let data = data.clone();
            move || {
                data.store(1, Relaxed);
                drop(held);
            }
        });
        if let Ok(permit) = limiter.try_acquire() {
            assert_eq!(data.load(Relaxed), 1);
            drop(permit);
        }
        worker.join().unwrap();
        assert_at_rest(&limiter, 1);
    });
}

#[test]
fn work_is_seen_by_the_head() {
    model(|| {
        let (limiter, data) = (Arc::new(Limiter::new("", 1)), Arc::new(Data::new(0)));
        let workers = [(); 2].map(|()| {
            let (limiter, data) = (limiter.clone(), data.clone());
            spawn(move || {
                let permit = acquire(&limiter, 1).unwrap();
                data.store(data.load(Relaxed) + 1, Relaxed);
                drop(permit);
            })
        });
        for worker in workers {
            worker.join().unwrap();
        }
        assert_eq!(data.load(Relaxed), 2);
        assert_at_rest(&limiter, 1);
    });
}

#[test]
fn work_is_seen_by_who_waits_for_its_end() {
    model(|| {
        let (limiter, data) = (Arc::new(Limiter::new("", 2)), Arc::new(Data::new(0)));
        let workers = [(); 2].map(|()| {
            let (held, data) = (limiter.try_acquire_owned().unwrap(), data.clone());
            spawn(move || {
                data.fetch_add(1, Relaxed);
                drop(held);
            })
        });
        if Task::start(limiter.wait()).is_done() {
            assert_eq!(data.load(Relaxed), 2);
        }
        wait_idle(&limiter);
        assert_eq!(data.load(Relaxed), 2);
        for worker in workers {
            worker.join().unwrap();
        }
        assert_at_rest(&limiter, 2);
    });
}
