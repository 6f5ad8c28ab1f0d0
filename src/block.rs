//! Waiting for a future by parking the thread, so that blocking code waits in the same line as async code.

use core::cell::RefCell;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::time::Instant;

use alloc::sync::Arc;
use alloc::task::Wake;

use crate::error::AcquireError;
use crate::sync::atomic::{
    AtomicBool,
    Ordering::{Acquire, Relaxed, Release},
};
use crate::sync::{thread, thread_local};

/// Wakes one thread. The flag tells its wake-ups from others: any code may park and unpark the thread for
/// reasons of its own.
struct Parker {
    thread: thread::Thread,
    woken: AtomicBool,
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Release pairs with the Acquire in `park`: what was done before the wake is seen after.
        if !self.woken.swap(true, Release) {
            self.thread.unpark();
        }
    }
}

impl Parker {
    fn new() -> Arc<Self> {
        Arc::new(Self { thread: thread::current(), woken: AtomicBool::new(false) })
    }

    fn is_woken(&self) -> bool {
        // Relaxed: a guess will do.
        self.woken.load(Relaxed)
    }

    /// Sleeps until woken, or until `deadline`; returns whether woken.
    fn park(&self, deadline: Option<Instant>) -> bool {
        loop {
            if self.woken.swap(false, Acquire) {
                return true;
            }
            match deadline {
                None => thread::park(),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return false;
                    }
                    park_timeout(left);
                }
            }
        }
    }
}

#[cfg(not(loom))]
use std::thread::park_timeout;

#[cfg(loom)]
fn park_timeout(_: core::time::Duration) {
    unimplemented!("loom has no time");
}

thread_local! {
    /// The thread's parker, while it is not in use. A wait inside a wait (in a waker, or in a
    /// future's poll) finds none and makes its own.
    #[allow(clippy::missing_const_for_thread_local, reason = "not accepted by loom's macro")]
    static PARKER: RefCell<Option<(Arc<Parker>, Waker)>> = RefCell::new(None);
}

/// Waits for the outcome of a request, at most until `deadline`.
pub(crate) fn acquire<T>(
    request: impl Future<Output = Result<T, AcquireError>>,
    deadline: Option<Instant>,
) -> Result<T, AcquireError> {
    block_on(request, deadline).unwrap_or(Err(AcquireError::TimedOut))
}

/// Runs `future` to its end, or until `deadline` (then `None`, and the future is dropped).
pub(crate) fn block_on<F: Future>(future: F, deadline: Option<Instant>) -> Option<F::Output> {
    let mut future = pin!(future);
    let cached = PARKER.try_with(RefCell::take).ok().flatten();
    let (parker, waker) = cached.unwrap_or_else(|| {
        let parker = Parker::new();
        (parker.clone(), Waker::from(parker))
    });
    // A wake-up may be left over from the last use.
    parker.woken.swap(false, Acquire);
    let mut cx = Context::from_waker(&waker);
    let mut polled_in_vain = 0;
    let output = loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            break Some(output);
        }
        // A future that waits for another thread to get on wakes itself.
        polled_in_vain += 1;
        if polled_in_vain > 1 && parker.is_woken() {
            thread::yield_now();
        }
        if !parker.park(deadline) {
            break None;
        }
    };
    let _ = PARKER.try_with(|cache| cache.replace(Some((parker, waker))));
    output
}
