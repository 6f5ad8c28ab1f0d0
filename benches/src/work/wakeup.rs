//! One release, one waiter admitted: the whole wait without an executor, and what two releases do.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use super::Took;
use super::threads::together;
use crate::peers::{AsyncPeer, BlockingPeer};

/// Polls a future that cannot be ready.
pub(crate) fn must_wait<F: Future>(future: Pin<&mut F>) {
    let poll = future.poll(&mut Context::from_waker(Waker::noop()));
    assert!(poll.is_pending(), "granted while the limiter was full");
}

pub(crate) fn must_wait_boxed<F: Future>(future: F) -> Pin<Box<F>> {
    let mut future = Box::pin(future);
    must_wait(future.as_mut());
    future
}

fn must_be_ready<F: Future>(future: Pin<&mut F>) -> F::Output {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a permit is free and the first waiter did not get it"),
    }
}

/// Wait, be released, be admitted, release: everything a wait costs but the executor.
pub fn hand_over<P: AsyncPeer>(ops: u64) -> Took {
    let limiter = P::new(1);
    let start = Instant::now();
    for _ in 0..ops {
        let held = limiter.try_acquire().expect("the permit is free");
        let mut waiter = pin!(limiter.acquire());
        must_wait(waiter.as_mut());
        drop(held);
        drop(must_be_ready(waiter.as_mut()));
    }
    Took { elapsed: start.elapsed(), ops }
}

/// The same with `waiting` waiters in line: the permit goes to the first, and a new one queues up
/// at the end.
pub fn hand_over_in_line<P: AsyncPeer>(waiting: usize, ops: u64) -> Took {
    let limiter = P::new(1);
    let mut held = Some(limiter.try_acquire().expect("the permit is free"));
    let mut line: VecDeque<_> = (0..waiting).map(|_| must_wait_boxed(limiter.acquire())).collect();
    let start = Instant::now();
    for _ in 0..ops {
        let mut first = line.pop_front().expect("a line of waiters");
        drop(held.take());
        held = Some(must_be_ready(first.as_mut()));
        // The same box again: allocating one is no limiter's doing.
        first.set(limiter.acquire());
        must_wait(first.as_mut());
        line.push_back(first);
    }
    let elapsed = start.elapsed();
    drop(line);
    drop(held);
    Took { elapsed, ops }
}

/// Two threads that block for the only permit in turns; each yields while it holds.
pub fn between_threads<P: BlockingPeer>(ops: u64) -> Took {
    let limiter = P::new(1);
    let per_thread = (ops / 2).max(1);
    let elapsed = together(2, || {
        for _ in 0..per_thread {
            let permit = limiter.acquire_blocking();
            thread::yield_now();
            drop(permit);
        }
    });
    Took { elapsed, ops: per_thread * 2 }
}

/// Two waiters, two releases before either runs: how many of them have been admitted once every
/// waiter that was woken has run, and those it woke in turn. Fewer than two is a lost wake-up.
pub fn admitted_by_two_releases<P: AsyncPeer>() -> f64 {
    let limiter = P::new(2);
    let first = limiter.try_acquire().expect("a free permit");
    let second = limiter.try_acquire().expect("a free permit");
    let wakes: [Arc<CountingWaker>; 2] = Default::default();
    let wakers = wakes.clone().map(Waker::from);
    let mut waiters: Vec<_> = (0..2).map(|_| Box::pin(limiter.acquire())).collect();
    let mut poll = |index: usize| {
        let mut context = Context::from_waker(&wakers[index]);
        waiters[index].as_mut().poll(&mut context)
    };
    assert!(poll(0).is_pending() && poll(1).is_pending());
    drop(first);
    drop(second);
    let mut admitted = Vec::new();
    let mut seen = [0, 0];
    while let Some(index) = (0..2).find(|&index| wakes[index].count() > seen[index]) {
        seen[index] = wakes[index].count();
        if let Poll::Ready(permit) = poll(index) {
            admitted.push(permit);
        }
    }
    admitted.len() as f64
}

/// Counts how often it is woken.
#[derive(Debug, Default)]
pub(crate) struct CountingWaker {
    count: AtomicUsize,
    thread: Option<thread::Thread>,
}

impl CountingWaker {
    /// One that also unparks this thread.
    pub(crate) fn for_this_thread() -> Arc<Self> {
        Arc::new(Self { count: AtomicUsize::new(0), thread: Some(thread::current()) })
    }

    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

impl Wake for CountingWaker {
    fn wake(self: Arc<Self>) {
        self.count.fetch_add(1, Ordering::SeqCst);
        if let Some(thread) = &self.thread {
            thread.unpark();
        }
    }
}

/// Polls on this thread as an executor does, once for each wake-up; until ready, `most` wake-ups, or
/// the time is over. The future has been polled with this waker.
pub(crate) fn drive<F: Future>(
    mut future: Pin<&mut F>,
    waker: &Arc<CountingWaker>,
    most: usize,
    time: Duration,
) -> Option<F::Output> {
    let end = Instant::now() + time;
    let as_waker = Waker::from(Arc::clone(waker));
    let mut context = Context::from_waker(&as_waker);
    let mut seen = 0;
    loop {
        while waker.count() == seen {
            let left = end.checked_duration_since(Instant::now())?;
            thread::park_timeout(left);
        }
        seen = waker.count();
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        if seen >= most {
            return None;
        }
    }
}
