//! One limiter, shared at the same time by tasks on tokio, tasks on smol and plain threads.
//!
//! The limiter belongs to no runtime: a task or thread that frees a permit wakes the waiter for it,
//! wherever that waiter runs.
//!
//! ```text
//! cargo run --example any_executor
//! ```

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use grmgr::Limiter;

const CEILING: usize = 4;
const WORKERS: usize = 8;
const ROUNDS: usize = 100;
const WORK: Duration = Duration::from_micros(500);

static LIMITER: Limiter = Limiter::const_new("shared", CEILING);

/// Counts what runs, apart from the limiter: a witness.
static RUNNING: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn main() {
    let done = thread::scope(|scope| {
        let sides = [
            ("tokio", scope.spawn(on_tokio)),
            ("smol", scope.spawn(on_smol)),
            ("threads", scope.spawn(on_threads)),
        ];
        sides.map(|(name, side)| (name, side.join().expect("a worker panicked")))
    });
    LIMITER.wait_blocking();

    for (name, pieces) in done {
        println!("{name:<8} {pieces} pieces of work");
        assert_eq!(pieces, WORKERS * ROUNDS);
    }
    let peak = PEAK.load(Relaxed);
    println!("at most {peak} at once, with a ceiling of {CEILING}");
    assert!(peak <= CEILING, "the ceiling was exceeded");
    assert_eq!((LIMITER.in_flight(), LIMITER.waiting()), (0, 0));
}

fn on_tokio() -> usize {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("threads to work with");
    runtime.block_on(async {
        let tasks = (0..WORKERS).map(|_| tokio::spawn(rounds(|| tokio::time::sleep(WORK))));
        let mut pieces = 0;
        for task in tasks.collect::<Vec<_>>() {
            pieces += task.await.expect("a task panicked");
        }
        pieces
    })
}

fn on_smol() -> usize {
    let nap = || async {
        smol::Timer::after(WORK).await;
    };
    smol::block_on(async {
        let tasks = (0..WORKERS).map(|_| smol::spawn(rounds(nap)));
        let mut pieces = 0;
        for task in tasks.collect::<Vec<_>>() {
            pieces += task.await;
        }
        pieces
    })
}

/// A worker in async code, on whatever executor. They differ only in how one sleeps there.
async fn rounds<F: Future<Output = ()>>(nap: impl Fn() -> F) -> usize {
    let mut pieces = 0;
    for _ in 0..ROUNDS {
        let _permit = LIMITER.acquire().await.expect("nobody closes it");
        let _seen = Seen::new();
        nap().await;
        pieces += 1;
    }
    pieces
}

fn on_threads() -> usize {
    let worker = || {
        let mut pieces = 0;
        for _ in 0..ROUNDS {
            let _permit = LIMITER.acquire_blocking().expect("nobody closes it");
            let _seen = Seen::new();
            thread::sleep(WORK);
            pieces += 1;
        }
        pieces
    };
    thread::scope(|scope| {
        let workers = (0..WORKERS).map(|_| scope.spawn(worker)).collect::<Vec<_>>();
        workers.into_iter().map(|worker| worker.join().expect("a thread panicked")).sum()
    })
}

/// One at work. Made after the permit, so that it is dropped before.
struct Seen;

impl Seen {
    fn new() -> Self {
        PEAK.fetch_max(RUNNING.fetch_add(1, Relaxed) + 1, Relaxed);
        Self
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Relaxed);
    }
}
