//! The futures that acquire permits: one body for the borrowed and the owned form.

use core::fmt;
use core::mem;
use core::ops::Deref;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
#[cfg(feature = "std")]
use core::time::Duration;
#[cfg(feature = "std")]
use std::time::Instant;

use alloc::borrow::Cow;

use crate::observe::{Label, Since};
use crate::permit::PermitOf;
use crate::run::RunOf;
#[cfg(feature = "std")]
use crate::sync::thread::yield_now;
use crate::waiter::{Refusal, Waiter};
use crate::{AcquireError, Handle, Limiter};

/// The future of [`Limiter::acquire`] and [`Limiter::acquire_many`]; see [`AcquireOf`].
pub type Acquire<'a> = AcquireOf<&'a Limiter>;

/// The future of [`Handle::acquire_owned`] and [`Handle::acquire_many_owned`]; see [`AcquireOf`].
pub type AcquireOwned = AcquireOf<Handle>;

/// Asks for permits when it is awaited, or when a thread waits for it.
///
/// Used under its names [`Acquire`] and [`AcquireOwned`].
///
/// It takes its place in line when it is first polled, not when it is made.
///
/// ```
/// # use grmgr::{Acquire, Limiter};
/// let db = Limiter::new("db", 20);
/// let request: Acquire<'_> = db.acquire();
/// assert_eq!(db.in_flight(), 0, "not polled yet");
/// let permit = request.blocking()?;
/// assert_eq!(db.in_flight(), 1);
/// # drop(permit);
/// # Ok::<(), grmgr::AcquireError>(())
/// ```
///
/// # Errors
///
/// An [`AcquireError`].
///
/// # Panics
///
/// If it is polled again after it was ready.
///
/// # Cancel safety
///
/// Dropping it loses its place in line and nothing else: the next in line is considered at once,
/// and a permit that had been granted and not been seen yet is given back.
#[must_use = "futures do nothing unless polled"]
pub struct AcquireOf<L: Deref<Target = Limiter>> {
    /// `None` when the request has been answered.
    limiter: Option<L>,
    waiter: Waiter,
    since: Since,
    label: Label,
}

impl<L: Deref<Target = Limiter>> AcquireOf<L> {
    #[inline]
    pub(crate) fn new(limiter: L, n: usize) -> Self {
        Self {
            limiter: Some(limiter),
            waiter: Waiter::new(n),
            since: Since::default(),
            label: Label::default(),
        }
    }

    /// Labels the permits, for [`Limiter::holders`](Limiter#method.holders) to tell whose they are.
    ///
    /// Kept only by a limiter that tracks its holders (feature `stats`), and ignored by any other. At
    /// most 256 bytes are kept: a longer label is cut, between two characters.
    ///
    /// ```
    /// async fn work(db: &grmgr::Limiter) -> Result<(), grmgr::AcquireError> {
    ///     let _permit = db.acquire().label("nightly report").await?;
    ///     Ok(())
    /// }
    /// ```
    pub fn label(mut self, label: impl Into<Cow<'static, str>>) -> Self {
        if let Some(limiter) = self.limiter.as_deref() {
            self.label = limiter.on_labelled(label.into());
        }
        self
    }

    /// Runs `work` under the permits that it asks for, as [`Limiter::run`] does under one.
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// # smol::block_on(async {
    /// let memory = Limiter::new("memory in MiB", 512);
    /// let sum = memory.acquire_many(64).run(async { 20 + 22 }).await?;
    /// assert_eq!(sum, 42);
    /// # Ok::<(), grmgr::AcquireError>(())
    /// # })?;
    /// # Ok::<(), grmgr::AcquireError>(())
    /// ```
    #[inline]
    pub fn run<F: Future>(self, work: F) -> RunOf<L, F> {
        RunOf::new(self, work)
    }

    /// The limiter's name, unless the request has been answered.
    pub(crate) fn name(&self) -> Option<&str> {
        self.limiter.as_deref().map(Limiter::name)
    }

    /// Takes the permits if that needs no waiting. Who stands in line already does not go past it.
    #[inline]
    fn try_grant(&mut self) -> Option<PermitOf<L>> {
        // Taken out beforehand: between the two locked operations of an acquire and a drop nothing
        // has to be loaded or stored.
        let limiter = self.limiter.take().expect(ANSWERED);
        let n = self.waiter.n();
        if !self.waiter.is_waiting() && limiter.take(n, self.waiter.gives_way()) {
            return Some(PermitOf::labelled(limiter, n, || mem::take(&mut self.label)));
        }
        self.limiter = Some(limiter);
        None
    }

    /// The permits that have been granted.
    #[inline]
    fn permit(&mut self) -> PermitOf<L> {
        let limiter = self.limiter.take().expect(ANSWERED);
        PermitOf::labelled(limiter, self.waiter.n(), || mem::take(&mut self.label))
    }

    /// The way of a request that found no permit at once.
    #[cold]
    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<Result<PermitOf<L>, AcquireError>> {
        let limiter = self.limiter.as_deref().expect(ANSWERED);
        limiter.end_terms_if_any();
        let n = self.waiter.n();
        let waited = self.waiter.is_waiting();
        let answer = if waited { None } else { limiter.answer_without_waiting(n) };
        let outcome = if let Some(answer) = answer {
            answer
        } else if self.waiter.give_way(&limiter.cell) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        } else {
            let polled = self.waiter.poll(&limiter.cell, cx);
            if !waited && self.waiter.is_waiting() {
                self.since = limiter.on_waiting();
            }
            ready!(polled).map_err(|refusal| match refusal {
                Refusal::Closed => AcquireError::Closed,
                Refusal::QueueFull => {
                    AcquireError::QueueFull { max_waiting: limiter.cell.max_waiting() }
                }
            })
        };
        if let Err(error) = outcome {
            limiter.on_refused(error);
            self.limiter = None;
            return Poll::Ready(Err(error));
        }
        limiter.on_granted(n)(limiter.cell.word.load());
        // The guard first: a clock that panics must not cost the permit.
        let permit = self.permit();
        if waited {
            permit.get().on_waited(&self.since);
        }
        Poll::Ready(Ok(permit))
    }

    #[cold]
    fn cancel(&mut self) {
        if let Some(limiter) = self.limiter.as_deref() {
            // Also if the clock panics that is asked for the end of terms (I18).
            let mut leave = LeaveOnDrop { waiter: &mut self.waiter, limiter };
            limiter.end_terms_if_any();
            let given_back = leave.now();
            limiter.on_cancelled(given_back);
        }
    }
}

/// Takes a waiter out of the line.
struct LeaveOnDrop<'a> {
    waiter: &'a mut Waiter,
    limiter: &'a Limiter,
}

impl LeaveOnDrop<'_> {
    /// Returns how many permits it gave back that it had been given.
    fn now(&mut self) -> usize {
        self.waiter.cancel(&self.limiter.cell)
    }
}

impl Drop for LeaveOnDrop<'_> {
    fn drop(&mut self) {
        self.now();
    }
}

const ANSWERED: &str = "an acquire future was polled again after it was ready";

impl<L: Deref<Target = Limiter> + Unpin> Future for AcquireOf<L> {
    type Output = Result<PermitOf<L>, AcquireError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        match this.try_grant() {
            Some(permit) => Poll::Ready(Ok(permit)),
            None => this.poll_waiting(cx),
        }
    }
}

impl<L: Deref<Target = Limiter>> Drop for AcquireOf<L> {
    #[inline]
    fn drop(&mut self) {
        if self.waiter.is_waiting() {
            self.cancel();
        }
    }
}

/// Waiting by blocking the thread, in the same line as all others.
///
/// Must not be called where blocking is forbidden, as in an async task.
#[cfg(feature = "std")]
impl<L: Deref<Target = Limiter> + Unpin> AcquireOf<L> {
    /// Waits by blocking the thread.
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// let memory = Limiter::new("memory in MiB", 512);
    /// let permit = memory.acquire_many(100).blocking()?;
    /// assert_eq!(permit.count(), 100);
    /// # Ok::<(), grmgr::AcquireError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// An [`AcquireError`], but not [`TimedOut`](AcquireError::TimedOut).
    #[inline]
    pub fn blocking(self) -> Result<PermitOf<L>, AcquireError> {
        self.block(|| None)
    }

    /// Waits by blocking the thread, but at most for `timeout`.
    ///
    /// A permit that is free is taken whatever the timeout; [`Duration::MAX`] is as good as none.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use grmgr::{AcquireError, Limiter};
    /// let db = Limiter::new("db", 1);
    /// let permit = db.acquire().blocking_timeout(Duration::ZERO)?;
    /// let late = db.acquire().blocking_timeout(Duration::from_millis(1));
    /// assert_eq!(late.unwrap_err(), AcquireError::TimedOut);
    /// # drop(permit);
    /// # Ok::<(), AcquireError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// An [`AcquireError`]; [`TimedOut`](AcquireError::TimedOut) if that was not enough. The request
    /// has left the line then, as one that is dropped.
    pub fn blocking_timeout(self, timeout: Duration) -> Result<PermitOf<L>, AcquireError> {
        self.block(|| Instant::now().checked_add(timeout))
    }

    /// Waits by blocking the thread, but at most until `deadline`.
    ///
    /// ```
    /// # use std::time::{Duration, Instant};
    /// # use grmgr::Limiter;
    /// let (db, api) = (Limiter::new("db", 20), Limiter::new("api", 8));
    /// let deadline = Instant::now() + Duration::from_secs(1);
    /// let both = (db.acquire().blocking_until(deadline)?, api.acquire().blocking_until(deadline)?);
    /// # drop(both);
    /// # Ok::<(), grmgr::AcquireError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`blocking_timeout`](Self::blocking_timeout).
    pub fn blocking_until(self, deadline: Instant) -> Result<PermitOf<L>, AcquireError> {
        self.block(|| Some(deadline))
    }

    #[inline]
    pub(crate) fn block(
        mut self,
        deadline: impl FnOnce() -> Option<Instant>,
    ) -> Result<PermitOf<L>, AcquireError> {
        // A permit that is free needs neither a parker nor the time.
        if let Some(permit) = self.try_grant() {
            return Ok(permit);
        }
        let limiter = self.limiter.as_deref().expect(ANSWERED);
        let may_wait = limiter.answer_without_waiting(self.waiter.n()).is_none();
        if may_wait && self.waiter.give_way(&limiter.cell) {
            yield_now();
        }
        crate::block::acquire(self, deadline())
    }
}

impl<L: Deref<Target = Limiter>> fmt::Debug for AcquireOf<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire")
            .field("limiter", &self.name())
            .field("permits", &self.waiter.n())
            .field("waiting", &self.waiter.is_waiting())
            .finish()
    }
}
