//! Waiting until a limiter is idle.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
#[cfg(feature = "std")]
use core::time::Duration;
#[cfg(feature = "std")]
use std::time::Instant;

use event_listener::{EventListener, Listener};

use crate::Limiter;
use crate::queue::{IdleListener, WakerId};

/// The future of [`Limiter::wait`].
///
/// # Cancel safety
///
/// Dropping it changes nothing.
#[must_use = "futures do nothing unless polled"]
pub struct Wait<'a> {
    limiter: &'a Limiter,
    /// Where it sleeps, with the waker that is registered there.
    listener: Option<(EventListener, WakerId)>,
}

impl<'a> Wait<'a> {
    pub(crate) fn new(limiter: &'a Limiter) -> Self {
        Self { limiter, listener: None }
    }
}

impl Future for Wait<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let queue = &self.limiter.queue;
        if self.listener.is_none() {
            match queue.listen_idle() {
                IdleListener::IsIdle => return Poll::Ready(()),
                IdleListener::TryAgain => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                IdleListener::Asleep(listener) => {
                    // The poll that follows registers this waker and replaces none.
                    self.listener = Some((listener, WakerId::of(cx.waker())));
                }
            }
        }
        if let Some((listener, registered)) = &mut self.listener {
            // I11, latched: the notification stays with the listener.
            ready!(queue.poll_listener(listener, registered, cx));
            self.listener = None;
        }
        Poll::Ready(())
    }
}

#[cfg(feature = "std")]
impl Wait<'_> {
    /// Waits by blocking the thread.
    pub fn wait(self) {
        crate::block::block_on(self, None).expect("no deadline");
    }

    /// [`wait`](Self::wait), but at most for `timeout`; `None` if that was not enough.
    pub fn wait_timeout(self, timeout: Duration) -> Option<()> {
        crate::block::block_on(self, Instant::now().checked_add(timeout))
    }

    /// [`wait`](Self::wait), but at most until `deadline`; `None` if that was not enough.
    pub fn wait_deadline(self, deadline: Instant) -> Option<()> {
        crate::block::block_on(self, Some(deadline))
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        // Dropped by itself it would pass its notification on, to somebody who has to wait for
        // a later moment.
        if let Some((listener, _)) = self.listener.take() {
            listener.discard();
        }
    }
}

impl fmt::Debug for Wait<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").field("limiter", &self.limiter.name()).finish_non_exhaustive()
    }
}
