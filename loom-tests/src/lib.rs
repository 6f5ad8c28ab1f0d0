//! What the models are written with. A model is a closure that is run over and over: under loom
//! once for each interleaving (up to a bound on preemptions), without it for many rounds on real
//! threads. Its source is the same.
//!
//! Tasks are polled by hand, and only when they have been woken: a lost wake-up shows as a task
//! that is never finished.

#![allow(missing_debug_implementations, reason = "nobody prints them")]

use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};

use grmgr::{Acquire, AcquireError, Limiter, Permit};

#[cfg(loom)]
pub use loom::thread::spawn;
#[cfg(not(loom))]
pub use std::thread::spawn;

/// Runs a model in every interleaving with at most `LOOM_MAX_PREEMPTIONS` (default: 2)
/// preemptions.
#[cfg(loom)]
pub fn model(f: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(2));
    builder.max_branches = 10_000;
    let executions = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = executions.clone();
    builder.check(move || {
        counter.fetch_add(1, SeqCst);
        f();
    });
    eprintln!("{} executions", executions.load(SeqCst));
}

/// Runs a model for `MODEL_ROUNDS` (default: 2,000) rounds. A round that does not end is a lost
/// wake-up: the process is aborted then.
#[cfg(not(loom))]
pub fn model(f: impl Fn() + Send + Sync + 'static) {
    use std::sync::mpsc::{RecvTimeoutError, channel};
    use std::time::Duration;

    let rounds = std::env::var("MODEL_ROUNDS").map_or(2_000, |n| n.parse().expect("a number"));
    let name = std::thread::current().name().unwrap_or("?").to_owned();
    let (alive, watch) = channel();
    let watchdog = std::thread::spawn(move || {
        loop {
            match watch.recv_timeout(Duration::from_secs(30)) {
                Ok(()) => {}
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    eprintln!("{name}: a round hangs");
                    std::process::abort();
                }
            }
        }
    });
    for _ in 0..rounds {
        f();
        alive.send(()).expect("the watchdog is there");
    }
    drop(alive);
    watchdog.join().expect("the watchdog does not panic");
}

/// A future with its output, polled by hand.
pub struct Task<F: Future> {
    future: Option<Pin<Box<F>>>,
    woken: Arc<Woken>,
    output: Cell<Option<F::Output>>,
}

/// Plain std atomics, which loom does not see: the flag is no part of what is modelled.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

impl<F: Future> Task<F> {
    /// A task that has been polled once.
    pub fn start(future: F) -> Self {
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let mut task = Self { future: Some(Box::pin(future)), woken, output: Cell::new(None) };
        task.run();
        task
    }

    /// Polls it as long as it is woken; returns whether it was.
    pub fn run(&mut self) -> bool {
        let mut ran = false;
        while self.future.is_some() && self.woken.0.swap(false, SeqCst) {
            // Woken by itself: another thread has to get on.
            #[cfg(loom)]
            if ran {
                loom::thread::yield_now();
            }
            ran = true;
            self.poll();
        }
        ran
    }

    /// Polls it though nobody has woken it.
    pub fn poll(&mut self) {
        let waker = Waker::from(self.woken.clone());
        if let Some(future) = &mut self.future
            && let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker))
        {
            self.output.set(Some(output));
            self.future = None;
        }
    }

    /// Whether it has been woken since it was polled last.
    pub fn is_woken(&self) -> bool {
        self.woken.0.load(SeqCst)
    }

    /// Whether it has finished.
    pub fn is_done(&self) -> bool {
        self.future.is_none()
    }

    /// Drops the future, finished or not.
    pub fn cancel(mut self) {
        self.future = None;
    }

    /// Its output, once.
    pub fn output(&self) -> F::Output {
        self.output.take().expect("the task has not finished: it was not woken")
    }
}

/// A request that has been polled once.
pub fn request(limiter: &Limiter, n: usize) -> Task<Acquire<'_>> {
    Task::start(limiter.acquire_many(n))
}

/// Runs all tasks that are woken until none is.
pub fn run_all(tasks: &mut [&mut Task<Acquire<'_>>]) {
    while tasks.iter_mut().fold(false, |ran, task| task.run() | ran) {}
}

/// Runs all tasks that are woken until none is, and drops the permits as they come. Each must be
/// finished in the end.
pub fn serve_all(tasks: &mut [&mut Task<Acquire<'_>>]) {
    serve(tasks);
    for task in tasks {
        assert!(task.is_done(), "a task was not woken (I3)");
    }
}

/// Runs all tasks that are woken until none is, and drops the permits as they come.
pub fn serve(tasks: &mut [&mut Task<Acquire<'_>>]) {
    let run = |task: &mut &mut Task<Acquire<'_>>| {
        let ran = task.run();
        if let Some(result) = task.output.take() {
            drop(result.expect("granted"));
        }
        ran
    };
    while tasks.iter_mut().fold(false, |ran, task| run(task) | ran) {}
}

/// Waits for `n` permits, blocking.
pub fn acquire(limiter: &Limiter, n: usize) -> Result<Permit<'_>, AcquireError> {
    limiter.acquire_many(n).wait()
}

/// Checks that nothing is left behind: no permit, no waiter, no flag (I2, I10, I11), and that
/// exactly `ceiling` permits can be had (I1).
pub fn assert_at_rest(limiter: &Limiter, ceiling: usize) {
    assert_eq!(limiter.in_flight(), 0, "a permit was lost: {limiter:?}");
    assert_eq!(limiter.waiting(), 0, "a waiter was left: {limiter:?}");
    assert!(Task::start(limiter.wait()).is_done(), "not idle: {limiter:?}");
    assert_eq!(limiter.ceiling(), ceiling);
    if !limiter.is_closed() {
        let permits: Vec<_> = (0..ceiling).map(|_| limiter.try_acquire().expect("free")).collect();
        assert!(limiter.try_acquire().is_err());
        drop(permits);
    }
}
