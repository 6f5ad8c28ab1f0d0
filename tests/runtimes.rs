//! One limiter, any executor (I12, I1): tokio with one and with several workers, smol's executor,
//! plain threads, and all of them at once. What is in flight is counted apart from the limiter.

#![cfg(feature = "std")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use common::{assert_at_rest, must_end};
use grmgr::Limiter;
use smol::Executor;
use smol::future::{block_on, yield_now};
use tokio::runtime;

const CEILING: usize = 3;
const TASKS: usize = 24;
const ROUNDS: usize = 20;

/// Work to be limited, which counts how much of it is at once.
struct Work {
    limiter: Arc<Limiter>,
    in_flight: AtomicUsize,
    finished: AtomicUsize,
}

impl Work {
    fn new() -> Arc<Self> {
        let limiter = Arc::new(Limiter::builder("work").ceiling(CEILING).min(0).build().unwrap());
        Arc::new(Self { limiter, in_flight: AtomicUsize::new(0), finished: AtomicUsize::new(0) })
    }

    fn begin(&self, n: usize) {
        let now = self.in_flight.fetch_add(n, SeqCst) + n;
        assert!(now <= CEILING, "{now} in flight");
    }

    fn end(&self, n: usize) {
        self.in_flight.fetch_sub(n, SeqCst);
    }

    /// One task: borrowed and owned permits, one and several.
    async fn task(self: Arc<Self>, id: usize) {
        for round in 0..ROUNDS {
            let n = if (id + round).is_multiple_of(8) { 2 } else { 1 };
            if round % 2 == 0 {
                let _permit = self.limiter.acquire_many(n).await.unwrap();
                self.begin(n);
                yield_now().await;
                self.end(n);
            } else {
                let _permit = self.limiter.acquire_many_owned(n).await.unwrap();
                self.begin(n);
                yield_now().await;
                self.end(n);
            }
        }
        self.finished.fetch_add(1, SeqCst);
    }

    /// The same as a thread.
    fn thread(&self) {
        for _ in 0..ROUNDS {
            let _permit = self.limiter.acquire_blocking().unwrap();
            self.begin(1);
            std::thread::yield_now();
            self.end(1);
        }
        self.finished.fetch_add(1, SeqCst);
    }

    fn on_tokio(self: &Arc<Self>, runtime: &runtime::Runtime) {
        runtime.block_on(async {
            let tasks: Vec<_> = (0..TASKS).map(|id| tokio::spawn(self.clone().task(id))).collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
    }

    fn on_smol(self: &Arc<Self>) {
        let executor = Executor::new();
        let tasks: Vec<_> = (0..TASKS).map(|id| executor.spawn(self.clone().task(id))).collect();
        block_on(executor.run(async {
            for task in tasks {
                task.await;
            }
        }));
    }

    /// No task is left behind, and no permit.
    fn is_finished(&self, tasks: usize) {
        assert_eq!(self.finished.load(SeqCst), tasks);
        assert_at_rest(&self.limiter);
    }
}

fn current_thread() -> runtime::Runtime {
    runtime::Builder::new_current_thread().build().unwrap()
}

fn multi_thread() -> runtime::Runtime {
    runtime::Builder::new_multi_thread().worker_threads(3).build().unwrap()
}

#[test]
fn tokio_with_one_thread() {
    must_end(|| {
        let work = Work::new();
        work.on_tokio(&current_thread());
        work.is_finished(TASKS);
    });
}

#[test]
fn tokio_with_several_workers() {
    must_end(|| {
        let work = Work::new();
        work.on_tokio(&multi_thread());
        work.is_finished(TASKS);
    });
}

#[test]
fn smol() {
    must_end(|| {
        let work = Work::new();
        work.on_smol();
        work.is_finished(TASKS);
    });
}

#[test]
fn bare_block_on_in_threads() {
    must_end(|| {
        let work = Work::new();
        std::thread::scope(|scope| {
            for id in 0..4 {
                let task = work.clone().task(id);
                scope.spawn(|| block_on(task));
            }
        });
        work.is_finished(4);
    });
}

#[test]
fn plain_threads() {
    must_end(|| {
        let work = Work::new();
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| work.thread());
            }
        });
        work.is_finished(6);
    });
}

/// I3, I11: while the ceiling is moved, paused and resumed under them, by yet another thread.
#[test]
fn all_of_them_share_one_limiter() {
    must_end(|| {
        let work = Work::new();
        let others = 2 * TASKS + TASKS + 4;
        std::thread::scope(|scope| {
            scope.spawn(|| work.on_tokio(&current_thread()));
            scope.spawn(|| work.on_tokio(&multi_thread()));
            scope.spawn(|| work.on_smol());
            for _ in 0..4 {
                scope.spawn(|| work.thread());
            }
            scope.spawn(|| {
                let limiter = &work.limiter;
                for round in 0.. {
                    if work.finished.load(SeqCst) == others {
                        break;
                    }
                    match round % 4 {
                        0 => _ = limiter.set_ceiling(round / 4 % (CEILING + 1)),
                        1 => limiter.pause(),
                        2 => limiter.resume(),
                        _ => _ = limiter.set_ceiling(CEILING),
                    }
                    std::thread::yield_now();
                }
                limiter.resume();
                let _ = limiter.set_ceiling(CEILING);
            });
        });
        work.limiter.wait_blocking();
        work.is_finished(others);
    });
}
