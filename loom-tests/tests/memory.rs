//! Work done under a permit is seen by the next holder, whichever way the permit gets there, and by a
//! thread that waits for the end of all work.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use grmgr::Limiter;
use loom_tests::{Data, Task, acquire, assert_at_rest, model, request, run_all, spawn, wait_idle};

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

/// One has been called to the seat, when another takes all permits, works, and gives them back. The
/// one called may take the permit that is handed to the next behind it.
#[test]
fn work_is_seen_by_who_takes_a_permit_handed_to_another() {
    model(|| {
        let (limiter, data) = (Arc::new(Limiter::new("", 2)), Arc::new(Data::new(0)));
        let [first, second] = [(); 2].map(|()| limiter.try_acquire_owned().unwrap());
        let [mut head, mut called, mut last] = [(); 3].map(|()| request(&limiter, 1));
        drop(first);
        run_all(&mut [&mut head]);
        drop(head.output().unwrap());
        assert!(called.is_woken() && !last.is_woken());
        let worker = spawn({
            let (limiter, data) = (limiter.clone(), data.clone());
            move || {
                // Both of them, unless the one called has run.
                let both = (second, limiter.try_acquire_owned());
                let worked = both.1.is_ok();
                if worked {
                    data.store(1, Relaxed);
                }
                drop(both);
                worked
            }
        });
        called.run();
        let seen = data.load(Relaxed) == 1;
        let done = called.is_done();
        let worked = worker.join().unwrap();
        assert!(!(worked && done) || seen, "got its permit and did not see the work done under it");
        run_all(&mut [&mut called, &mut last]);
        drop((called.output().unwrap(), last.output().unwrap()));
        assert_at_rest(&limiter, 2);
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
