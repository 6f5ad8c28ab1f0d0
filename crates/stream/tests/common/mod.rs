//! Work that ends when it is told to.

#![allow(dead_code, unreachable_pub, reason = "each file of tests uses a part of it")]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};

use futures_core::Stream;
use grmgr::{Handle, Limiter};

pub fn handle(ceiling: usize, max: usize) -> Handle {
    Limiter::builder("test").ceiling(ceiling).max(max).build().expect("it makes sense").into()
}

/// Counts how often a task was woken.
#[derive(Debug, Default)]
pub struct Woken(AtomicUsize);

impl Woken {
    pub fn new() -> (Arc<Self>, Waker) {
        let woken = Arc::new(Self::default());
        (woken.clone(), woken.into())
    }

    pub fn take(&self) -> usize {
        self.0.swap(0, SeqCst)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// Polls a stream until it wakes itself no more.
pub fn next<S: Stream>(stream: &mut Pin<Box<S>>) -> Poll<Option<S::Item>> {
    let (woken, waker) = Woken::new();
    loop {
        let polled = stream.as_mut().poll_next(&mut Context::from_waker(&waker));
        if polled.is_ready() || woken.take() == 0 {
            return polled;
        }
    }
}

/// Jobs by number, each of which ends when it is told to.
#[derive(Clone, Default)]
pub struct Jobs(Rc<RefCell<State>>);

#[derive(Default)]
struct State {
    running: BTreeMap<u32, Option<Waker>>,
    told: BTreeSet<u32>,
}

impl Jobs {
    /// Begins when it is called, as a future of a client that connects at once.
    pub fn job(&self, n: u32) -> Job {
        self.0.borrow_mut().running.insert(n, None);
        Job { jobs: self.clone(), n }
    }

    /// Those that have been made and not dropped.
    pub fn running(&self) -> Vec<u32> {
        self.0.borrow().running.keys().copied().collect()
    }

    /// Those of them that have not been told to end.
    pub fn untold(&self) -> Vec<u32> {
        let state = self.0.borrow();
        state.running.keys().copied().filter(|n| !state.told.contains(n)).collect()
    }

    pub fn end(&self, n: u32) {
        let mut state = self.0.borrow_mut();
        state.told.insert(n);
        if let Some(waker) = state.running.get_mut(&n).and_then(Option::take) {
            drop(state);
            waker.wake();
        }
    }
}

pub struct Job {
    jobs: Jobs,
    n: u32,
}

impl Future for Job {
    type Output = u32;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u32> {
        let mut state = self.jobs.0.borrow_mut();
        if state.told.contains(&self.n) {
            return Poll::Ready(self.n);
        }
        state.running.insert(self.n, Some(cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.jobs.0.borrow_mut().running.remove(&self.n);
    }
}
