//! Waiting until a limiter is idle.

use core::fmt;
use core::ops::Deref;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
#[cfg(feature = "std")]
use core::time::Duration;
#[cfg(feature = "std")]
use std::time::Instant;

use event_listener::{EventListener, Listener};

#[cfg(feature = "std")]
use crate::block::block_on;
use crate::cell::{IdleListener, WakerId};
use crate::handle::Handle;
use crate::limiter::Limiter;

/// The future of [`Limiter::wait`]; see [`WaitOf`].
pub type Wait<'a> = WaitOf<&'a Limiter>;

/// The future of [`Handle::wait_owned`]; see [`WaitOf`].
pub type WaitOwned = WaitOf<Handle>;

/// Resolves when the limiter is idle. Used under its names [`Wait`] and [`WaitOwned`].
///
/// ```
/// # use grmgr::{Limiter, Wait};
/// let db = Limiter::new("db", 20);
/// let idle: Wait<'_> = db.wait();
/// smol::block_on(idle);
/// ```
///
/// # Cancel safety
///
/// Dropping it changes nothing.
#[must_use = "futures do nothing unless polled"]
pub struct WaitOf<L: Deref<Target = Limiter>> {
    limiter: L,
    /// Where it sleeps, with the waker that is registered there.
    listener: Option<(EventListener, WakerId)>,
}

impl<L: Deref<Target = Limiter>> WaitOf<L> {
    pub(crate) fn new(limiter: L) -> Self {
        Self { limiter, listener: None }
    }
}

impl<L: Deref<Target = Limiter> + Unpin> Future for WaitOf<L> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { limiter, listener } = &mut *self;
        limiter.end_terms_if_any();
        let queue = &limiter.cell;
        if listener.is_none() {
            match queue.listen_idle() {
                IdleListener::IsIdle => return Poll::Ready(()),
                IdleListener::TryAgain => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                IdleListener::Asleep(asleep) => {
                    // The poll that follows registers this waker and replaces none.
                    *listener = Some((asleep, WakerId::of(cx.waker())));
                }
            }
        }
        if let Some((asleep, registered)) = listener {
            // I11, latched: the notification stays with the listener.
            ready!(queue.poll_listener(asleep, registered, cx));
            *listener = None;
        }
        Poll::Ready(())
    }
}

#[cfg(feature = "std")]
impl<L: Deref<Target = Limiter> + Unpin> WaitOf<L> {
    /// Waits by blocking the thread.
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// let db = Limiter::new("db", 20);
    /// db.wait().blocking(); // nothing runs
    /// ```
    pub fn blocking(self) {
        block_on(self, None).expect("no deadline");
    }

    /// Waits by blocking the thread, at most for `timeout`; returns whether the limiter was idle.
    ///
    /// [`Duration::MAX`] is as good as no limit.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use grmgr::Limiter;
    /// let db = Limiter::new("db", 20);
    /// let permit = db.try_acquire()?;
    /// assert!(!db.wait().blocking_timeout(Duration::from_millis(1)));
    /// drop(permit);
    /// assert!(db.wait().blocking_timeout(Duration::ZERO));
    /// # Ok::<(), grmgr::TryAcquireError>(())
    /// ```
    #[must_use = "if it is false, work is still running"]
    pub fn blocking_timeout(self, timeout: Duration) -> bool {
        self.block(Instant::now().checked_add(timeout))
    }

    /// Waits by blocking the thread, at most until `deadline`; returns whether the limiter was idle.
    ///
    /// ```
    /// # use std::time::{Duration, Instant};
    /// # use grmgr::Limiter;
    /// # let (db, api) = (Limiter::new("db", 20), Limiter::new("api", 8));
    /// let deadline = Instant::now() + Duration::from_secs(10);
    /// let drained = [&db, &api].iter().all(|limiter| limiter.wait().blocking_until(deadline));
    /// # assert!(drained);
    /// ```
    #[must_use = "if it is false, work is still running"]
    pub fn blocking_until(self, deadline: Instant) -> bool {
        self.block(Some(deadline))
    }

    pub(crate) fn block(self, deadline: Option<Instant>) -> bool {
        block_on(self, deadline).is_some()
    }
}

impl<L: Deref<Target = Limiter>> Drop for WaitOf<L> {
    fn drop(&mut self) {
        // A listener that is dropped passes its notification on. Here it would go to a `Wait` that has to
        // wait for a later moment.
        if let Some((listener, _)) = self.listener.take() {
            listener.discard();
        }
    }
}

impl<L: Deref<Target = Limiter>> fmt::Debug for WaitOf<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").field("limiter", &self.limiter.name()).finish_non_exhaustive()
    }
}
