//! A task that acquires in a loop and never has to wait gives way to a head that has been called, so
//! that it is served in any executor (I16).

#![cfg(feature = "std")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use common::{Task, assert_at_rest, must_end, until, waiter};
use grmgr::Limiter;
use smol::{Executor, block_on, future::yield_now};
use tokio::runtime;

const PATIENCES: [u32; 3] = [1, 2, 16];

fn with_patience(ceiling: usize, patience: u32) -> Limiter {
    Limiter::builder("fair").ceiling(ceiling).patience(patience).build().unwrap()
}

/// The bound that is promised.
fn bound(patience: u32) -> usize {
    16 * (patience as usize + 1)
}

/// Acquires and drops until a request has to give way; returns how often that went well.
fn overtake(limiter: &Limiter) -> (usize, Task<grmgr::Acquire<'_>>) {
    let mut overtakes = 0;
    loop {
        let task = Task::start(limiter.acquire());
        if !task.is_done() {
            return (overtakes, task);
        }
        overtakes += 1;
        assert!(overtakes < 100_000, "no newcomer gives way");
    }
}

#[test]
fn awaited_newcomer_gives_way_to_a_called_head_in_time() {
    for patience in PATIENCES {
        let limiter = with_patience(1, patience);
        let held = limiter.try_acquire().unwrap();
        let head = waiter(&limiter, 1);
        drop(held);
        let (overtakes, mut newcomer) = overtake(&limiter);
        assert!(overtakes < bound(patience), "{overtakes} with patience {patience}");
        assert!(newcomer.is_woken(), "it is to be polled again");
        assert_eq!((limiter.waiting(), limiter.available()), (1, 1), "it does not wait in line");
        let permit = head.granted();
        assert!(!newcomer.run(), "the head was first");
        assert_eq!(limiter.waiting(), 1, "now it does");
        drop(permit);
        drop(newcomer.granted());
        assert_at_rest(&limiter);
    }
}

/// A handle that comes back is asked with in the usual way, which is a request that gives way.
#[test]
fn handle_gives_way_as_an_awaited_request_does() {
    let limiter: grmgr::Handle = with_patience(1, 1).into();
    let held = limiter.try_acquire().unwrap();
    let head = waiter(&limiter, 1);
    drop(held);
    let mut overtakes = 0;
    let back = loop {
        match limiter.clone().try_into_permit(1) {
            Ok(permit) => drop(permit),
            Err(back) => break back,
        }
        overtakes += 1;
        assert!(overtakes < bound(1), "it does not give way");
    };
    assert_eq!(limiter.available(), 1);
    let mut newcomer = Task::start(back.acquire_owned());
    assert!(newcomer.is_woken(), "it gives way once");
    assert!(newcomer.run(), "and no more");
    drop(newcomer);
    drop(head.granted());
    assert_at_rest(&limiter);
}

/// However the newcomer's request ends, it has neither a place nor a permit when it has given way.
#[test]
fn request_that_gave_way_may_be_dropped() {
    let limiter = with_patience(1, 1);
    let held = limiter.try_acquire().unwrap();
    let head = waiter(&limiter, 1);
    drop(held);
    let (_, newcomer) = overtake(&limiter);
    assert_eq!(newcomer.cancel(), 0);
    assert_eq!(limiter.waiting(), 1);
    drop(head.granted());
    assert_at_rest(&limiter);
}

/// I13: a head that is never polled delays others. Each gives way once, and few of them do.
#[test]
fn head_that_never_runs_only_delays_newcomers() {
    for patience in PATIENCES {
        let limiter = with_patience(1, patience);
        let held = limiter.try_acquire().unwrap();
        let head = waiter(&limiter, 1);
        drop(held);
        let mut delayed = 0;
        for _ in 0..10 * bound(patience) {
            let mut newcomer = Task::start(limiter.acquire());
            if !newcomer.is_done() {
                delayed += 1;
                assert!(newcomer.run(), "it gives way once and no more");
            }
        }
        // The last sixteenth of each period.
        assert_eq!(delayed, 10 * (patience as usize + 1));
        drop(head.granted());
        assert_at_rest(&limiter);
    }
}

/// Nothing of it where no waiter has been called.
#[test]
fn nobody_gives_way_without_a_called_head() {
    let limiter = with_patience(2, 1);
    let _held = limiter.try_acquire().unwrap();
    for _ in 0..10 * bound(1) {
        drop(Task::start(limiter.acquire()).output().unwrap());
    }
}

/// A head starts with all its patience, whatever the one before it has put up with.
#[test]
fn overtakes_are_counted_for_each_head() {
    let limiter = with_patience(1, 1);
    let mut counts = Vec::new();
    let mut held = limiter.try_acquire().unwrap();
    let mut line = [waiter(&limiter, 1), waiter(&limiter, 1), waiter(&limiter, 1)].into_iter();
    for head in line.by_ref() {
        drop(held);
        let (overtakes, newcomer) = overtake(&limiter);
        counts.push(overtakes);
        newcomer.cancel();
        held = head.granted();
    }
    assert!(counts.iter().all(|&count| count == counts[0]), "{counts:?}");
    drop(held);
    assert_at_rest(&limiter);
}

/// It has no way of giving way: the bound is that of the head's losses.
#[test]
fn try_acquire_does_not_give_way() {
    let limiter = with_patience(1, 1);
    let held = limiter.try_acquire().unwrap();
    let mut head = waiter(&limiter, 1);
    drop(held);
    for _ in 0..10 * bound(1) {
        drop(limiter.try_acquire().expect("the head has not run"));
    }
    let barger = limiter.try_acquire().unwrap();
    assert!(!head.run());
    drop(barger);
    assert!(limiter.try_acquire().is_err(), "the head has lost once");
    drop(head.granted());
}

/// One that loops, and waiters that were there first.
struct Scene {
    limiter: Limiter,
    served: AtomicUsize,
    /// The loop has overtaken as many times, before the last waiter was served.
    overtakes: AtomicUsize,
}

/// What a loop may do before it is stopped, and the test fails.
const FAR_TOO_OFTEN: usize = 200_000;

impl Scene {
    fn new(ceiling: usize, patience: u32) -> Arc<Self> {
        Arc::new(Self {
            limiter: with_patience(ceiling, patience),
            served: AtomicUsize::new(0),
            overtakes: AtomicUsize::new(0),
        })
    }

    async fn wait(self: Arc<Self>) {
        let permit = self.limiter.acquire().await.unwrap();
        self.served.fetch_add(1, SeqCst);
        drop(permit);
    }

    /// Never yields of its own accord, until all are served.
    async fn repeat(self: Arc<Self>, waiters: usize) {
        while self.served.load(SeqCst) < waiters {
            let permit = self.limiter.acquire().await.unwrap();
            let overtakes = self.overtakes.fetch_add(1, SeqCst);
            assert!(overtakes < FAR_TOO_OFTEN, "{:?} starves", self.limiter);
            drop(permit);
        }
    }

    fn overtakes(&self) -> usize {
        assert_at_rest(&self.limiter);
        self.overtakes.load(SeqCst)
    }
}

fn on_tokio(mut builder: runtime::Builder, ceiling: usize, patience: u32, waiters: usize) -> usize {
    let runtime = builder.build().unwrap();
    let scene = Scene::new(ceiling, patience);
    let main = runtime.spawn({
        let scene = scene.clone();
        async move {
            let permits = scene.limiter.try_acquire_many(ceiling).unwrap();
            let waiting: Vec<_> =
                (0..waiters).map(|_| tokio::spawn(scene.clone().wait())).collect();
            while scene.limiter.waiting() < waiters {
                tokio::task::yield_now().await;
            }
            drop(permits);
            scene.clone().repeat(waiters).await;
            for task in waiting {
                task.await.unwrap();
            }
        }
    });
    // On a worker, not beside it.
    runtime.block_on(main).unwrap();
    scene.overtakes()
}

#[test]
fn waiter_is_served_on_tokios_current_thread_runtime() {
    for patience in PATIENCES {
        let overtakes = on_tokio(runtime::Builder::new_current_thread(), 1, patience, 1);
        assert!(overtakes <= bound(patience), "{overtakes} with patience {patience}");
    }
}

/// How the two threads of the next tests meet is the system's to decide, so only that all are served
/// is asked of them; how soon is measured by the benchmarks.
#[test]
fn waiter_is_served_on_tokios_multi_thread_runtime() {
    for (ceiling, waiters) in [(1, 1), (4, 20)] {
        for patience in PATIENCES {
            must_end(move || {
                let mut builder = runtime::Builder::new_multi_thread();
                builder.worker_threads(2);
                on_tokio(builder, ceiling, patience, waiters);
            });
        }
    }
}

#[test]
fn twenty_waiters_are_served_on_tokios_current_thread_runtime() {
    for patience in PATIENCES {
        on_tokio(runtime::Builder::new_current_thread(), 4, patience, 20);
    }
}

/// smol's executor, with threads that run it.
fn on_smol(threads: usize, ceiling: usize, patience: u32, waiters: usize) -> usize {
    let scene = Scene::new(ceiling, patience);
    let executor = Arc::new(Executor::new());
    let main = executor.spawn({
        let (scene, executor) = (scene.clone(), executor.clone());
        async move {
            let permits = scene.limiter.try_acquire_many(ceiling).unwrap();
            let waiting: Vec<_> =
                (0..waiters).map(|_| executor.spawn(scene.clone().wait())).collect();
            while scene.limiter.waiting() < waiters {
                yield_now().await;
            }
            drop(permits);
            scene.clone().repeat(waiters).await;
            for task in waiting {
                task.await;
            }
        }
    });
    let done = Arc::new(AtomicBool::new(false));
    let helpers: Vec<_> = (1..threads)
        .map(|_| {
            let (executor, done) = (executor.clone(), done.clone());
            std::thread::spawn(move || {
                while !done.load(SeqCst) {
                    if !executor.try_tick() {
                        std::thread::yield_now();
                    }
                }
            })
        })
        .collect();
    block_on(executor.run(main));
    done.store(true, SeqCst);
    for helper in helpers {
        helper.join().unwrap();
    }
    scene.overtakes()
}

#[test]
fn waiter_is_served_on_smol() {
    for patience in PATIENCES {
        let overtakes = on_smol(1, 1, patience, 1);
        assert!(overtakes <= bound(patience), "{overtakes} with patience {patience}");
        on_smol(1, 4, patience, 20);
        must_end(move || assert!(on_smol(2, 1, patience, 1) < FAR_TOO_OFTEN));
        must_end(move || assert!(on_smol(2, 4, patience, 20) < FAR_TOO_OFTEN));
    }
}

/// A bare `block_on`: the waiter and the loop are two branches of one future.
#[test]
fn waiter_is_served_in_a_bare_block_on() {
    for patience in PATIENCES {
        let scene = Scene::new(1, patience);
        let held = scene.limiter.try_acquire().unwrap();
        let waiter = scene.clone().wait();
        let repeat = {
            let scene = scene.clone();
            async move {
                scene.repeat(1).await;
            }
        };
        block_on(async {
            let mut waiter = std::pin::pin!(waiter);
            assert!(smol::future::poll_once(waiter.as_mut()).await.is_none());
            drop(held);
            // In turns, the loop first.
            smol::future::zip(repeat, waiter).await;
        });
        let overtakes = scene.overtakes();
        assert!(overtakes <= bound(patience), "{overtakes} with patience {patience}");
    }
}

#[test]
fn blocked_thread_is_served_beside_threads_that_loop() {
    for (ceiling, loops, waiters) in [(1, 1, 1), (4, 4, 20)] {
        must_end(move || {
            let scene = Scene::new(ceiling, 16);
            let permits = scene.limiter.try_acquire_many(ceiling).unwrap();
            std::thread::scope(|scope| {
                for _ in 0..waiters {
                    scope.spawn(|| {
                        let permit = scene.limiter.acquire_blocking().unwrap();
                        scene.served.fetch_add(1, SeqCst);
                        drop(permit);
                    });
                }
                until(|| scene.limiter.waiting() == waiters);
                drop(permits);
                for _ in 0..loops {
                    scope.spawn(|| {
                        while scene.served.load(SeqCst) < waiters {
                            drop(scene.limiter.acquire_blocking().unwrap());
                        }
                    });
                }
            });
            assert_at_rest(&scene.limiter);
        });
    }
}
