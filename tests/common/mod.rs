//! What the tests are written with: futures polled by hand, with a waker that counts.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use grmgr::{Acquire, AcquireError, Clock, Limiter, Permit, TryAcquireError};

/// A waker that counts how often it is woken, and may do more.
#[derive(Default)]
pub(crate) struct Wakes {
    count: AtomicUsize,
    hook: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.count.fetch_add(1, SeqCst);
        if let Some(hook) = self.hook.get() {
            hook();
        }
    }
}

impl Wakes {
    pub(crate) fn count(&self) -> usize {
        self.count.load(SeqCst)
    }
}

/// A future, polled by hand, and its output.
pub(crate) struct Task<F: Future> {
    future: Option<Pin<Box<F>>>,
    wakes: Arc<Wakes>,
    /// Its wakes before the last poll.
    seen: usize,
    output: Option<F::Output>,
}

impl<F: Future> Task<F> {
    /// A task that has not been polled.
    pub(crate) fn new(future: F) -> Self {
        let wakes = Arc::default();
        Self { future: Some(Box::pin(future)), wakes, seen: 0, output: None }
    }

    /// A task that has been polled once.
    pub(crate) fn start(future: F) -> Self {
        let mut task = Self::new(future);
        task.poll();
        task
    }

    /// Polls it, woken or not; returns whether it is done.
    pub(crate) fn poll(&mut self) -> bool {
        let waker = Waker::from(self.wakes.clone());
        self.poll_with(&waker)
    }

    /// Polls it with another waker.
    pub(crate) fn poll_with(&mut self, waker: &Waker) -> bool {
        self.seen = self.wakes();
        if let Some(future) = &mut self.future
            && let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(waker))
        {
            self.output = Some(output);
            self.future = None;
        }
        self.is_done()
    }

    /// Polls it as an executor does: only if it has been woken. Returns whether it is done.
    pub(crate) fn run(&mut self) -> bool {
        if self.is_woken() {
            self.poll();
        }
        self.is_done()
    }

    pub(crate) fn is_done(&self) -> bool {
        self.future.is_none()
    }

    /// How often it has been woken in all.
    pub(crate) fn wakes(&self) -> usize {
        self.wakes.count()
    }

    /// What else is to be done, inside its waker, whenever it is woken.
    pub(crate) fn on_wake(&self, hook: impl Fn() + Send + Sync + 'static) {
        assert!(self.wakes.hook.set(Box::new(hook)).is_ok(), "one hook");
    }

    /// How many of its wakers are kept somewhere.
    pub(crate) fn wakers_kept(&self) -> usize {
        Arc::strong_count(&self.wakes) - 1
    }

    /// Whether it has been woken since its last poll, and not finished before.
    pub(crate) fn is_woken(&self) -> bool {
        !self.is_done() && self.wakes() > self.seen
    }

    /// Its output, once, if it is done.
    pub(crate) fn take(&mut self) -> Option<F::Output> {
        self.output.take()
    }

    /// Drops its future and tells how many of its wakers are kept nevertheless.
    pub(crate) fn cancel(mut self) -> usize {
        self.future = None;
        self.wakers_kept()
    }

    /// Its output. Panics if it is not done.
    #[track_caller]
    pub(crate) fn output(mut self) -> F::Output {
        self.output.take().expect("the task is not done")
    }
}

impl<F: Future> fmt::Debug for Task<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("done", &self.is_done())
            .field("woken", &self.is_woken())
            .finish_non_exhaustive()
    }
}

pub(crate) type Request<'a> = Task<Acquire<'a>>;

impl<'a> Request<'a> {
    /// Runs it, which must end it, and returns its permit.
    #[track_caller]
    pub(crate) fn granted(mut self) -> Permit<'a> {
        self.run();
        self.output().expect("granted")
    }

    /// Runs it, which must end it, and returns why it was refused.
    #[track_caller]
    pub(crate) fn refused(mut self) -> AcquireError {
        self.run();
        self.output().expect_err("refused")
    }
}

/// A request for `n` permits that has been polled once.
pub(crate) fn request(limiter: &Limiter, n: usize) -> Request<'_> {
    Task::start(limiter.acquire_many(n))
}

/// A request for `n` permits that has to wait.
#[track_caller]
pub(crate) fn waiter(limiter: &Limiter, n: usize) -> Request<'_> {
    let task = request(limiter, n);
    assert!(!task.is_done(), "it does not have to wait: {limiter:?}");
    task
}

/// Waiters for one permit each, in line in this order.
#[track_caller]
pub(crate) fn waiters<const N: usize>(limiter: &Limiter) -> [Request<'_>; N] {
    [(); N].map(|()| waiter(limiter, 1))
}

/// All permits of an idle limiter, one by one.
pub(crate) fn take_all(limiter: &Limiter) -> Vec<Permit<'_>> {
    std::iter::from_fn(|| limiter.try_acquire().ok()).collect()
}

/// Which of them are woken.
pub(crate) fn woken<F: Future>(tasks: &[Task<F>]) -> Vec<bool> {
    tasks.iter().map(Task::is_woken).collect()
}

/// Nothing is left behind: no permit in flight, no request in line, and exactly as many permits to be
/// had as the ceiling says (I1, I2, I10, I11).
#[track_caller]
pub(crate) fn assert_at_rest(limiter: &Limiter) {
    assert_eq!(limiter.in_flight(), 0, "a permit is lost: {limiter:?}");
    assert_eq!(limiter.waiting(), 0, "a waiter is left: {limiter:?}");
    assert!(Task::start(limiter.wait()).is_done(), "not idle: {limiter:?}");
    if !limiter.is_closed() && !limiter.is_paused() {
        let all = limiter.try_acquire_many(limiter.ceiling()).expect("all can be had");
        assert!(limiter.try_acquire().is_err(), "more can be had: {limiter:?}");
        drop(all);
        assert_eq!(limiter.in_flight(), 0, "a permit is kept: {limiter:?}");
    }
    if limiter.is_closed() {
        assert_eq!(limiter.try_acquire().unwrap_err(), TryAcquireError::Closed);
    }
}

/// Spins until `condition` holds: for what another thread is about to do.
pub(crate) fn until(condition: impl Fn() -> bool) {
    while !condition() {
        std::thread::yield_now();
    }
}

/// Runs something that hangs when it is wrong, and fails then: after far more time than any of them
/// takes on a busy machine.
#[track_caller]
pub(crate) fn must_end(f: impl FnOnce() + Send + 'static) {
    let (ended, watch) = channel::<()>();
    let thread = std::thread::spawn(move || {
        // Dropped when it ends, and when it panics.
        let _ended = ended;
        f();
    });
    if watch.recv_timeout(Duration::from_secs(60)) == Err(RecvTimeoutError::Timeout) {
        panic!("it hangs");
    }
    thread.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload));
}

/// What something panics with.
#[track_caller]
pub(crate) fn panic_of<R>(f: impl FnOnce() -> R) -> String {
    let Err(payload) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)) else {
        panic!("it does not panic")
    };
    match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => (*payload.downcast::<&str>().expect("a message")).to_owned(),
    }
}

/// A clock that can be told to panic.
#[derive(Clone, Default)]
pub(crate) struct Broken(pub(crate) Arc<AtomicBool>);

impl Clock for Broken {
    fn now(&self) -> Duration {
        assert!(!self.0.load(SeqCst), "the clock is broken");
        Duration::ZERO
    }
}
