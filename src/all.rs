//! Permits of several limiters at once, without deadlock.

use core::fmt;
#[cfg(feature = "std")]
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
#[cfg(feature = "std")]
use core::time::Duration;
#[cfg(feature = "std")]
use std::time::Instant;

use alloc::borrow::Cow;

use crate::acquire::Acquire;
use crate::error::AcquireError;
use crate::limiter::Limiter;
use crate::permit::Permit;

/// Asks several limiters for permits, so that such calls never wait for each other in a circle.
///
/// Each entry is a limiter and how many of its permits are wanted; the permits come in the order
/// written. They are acquired in one order for the whole program, whatever order is written. Those
/// granted already are kept while the call waits for the next limiter, so a full one may leave permits of
/// another idle. Only calls of this function keep to that order: a task that already holds a permit of one
/// of these limiters may wait for itself.
///
/// ```
/// use grmgr::{Limiter, acquire_all};
///
/// static DB: Limiter = Limiter::const_new("db", 20);
/// static MEMORY: Limiter = Limiter::const_new("memory in MiB", 512);
///
/// # smol::block_on(async {
/// let [_connection, memory] = acquire_all([(&DB, 1), (&MEMORY, 64)]).await?;
/// assert_eq!(memory.count(), 64);
/// # Ok::<(), grmgr::AcquireError>(())
/// # })?;
/// # Ok::<(), grmgr::AcquireError>(())
/// ```
///
/// # Errors
///
/// An [`AcquireError`]: [`Repeated`](AcquireError::Repeated) if a limiter is named twice. That, and
/// refusals that are known beforehand ([`Closed`](AcquireError::Closed),
/// [`ExceedsMax`](AcquireError::ExceedsMax)), are found before anything is taken. If a limiter refuses
/// later, the permits of the others are given back at once.
///
/// # Cancel safety
///
/// Dropping the future loses its place in line and gives back what had been granted.
pub fn acquire_all<const N: usize>(wants: [(&Limiter, usize); N]) -> AcquireAll<'_, N> {
    let mut order = core::array::from_fn(|i| i);
    order.sort_unstable_by_key(|&i: &usize| core::ptr::from_ref(wants[i].0));
    let label = Cow::Borrowed("");
    AcquireAll { wants, order, label, stage: Stage::New, granted: [const { None }; N] }
}

/// The future of [`acquire_all`].
///
/// ```
/// # use grmgr::{AcquireAll, Limiter, acquire_all};
/// # let (db, api) = (Limiter::new("db", 20), Limiter::new("api", 8));
/// let request: AcquireAll<'_, 2> = acquire_all([(&db, 1), (&api, 2)]);
/// let [db_permit, api_permits] = request.blocking()?;
/// assert_eq!((db.in_flight(), api.in_flight()), (1, 2));
/// # drop((db_permit, api_permits));
/// # Ok::<(), grmgr::AcquireError>(())
/// ```
///
/// # Panics
///
/// If it is polled again after it was ready.
#[must_use = "futures do nothing unless polled"]
pub struct AcquireAll<'a, const N: usize> {
    wants: [(&'a Limiter, usize); N],
    /// The entries in the order in which they are acquired: by address, which no limiter changes
    /// while it is borrowed.
    order: [usize; N],
    /// Empty: none.
    label: Cow<'static, str>,
    /// Dropped before `granted`: it leaves the line before it gives anything back.
    stage: Stage<'a>,
    /// In the order written.
    granted: [Option<Permit<'a>>; N],
}

enum Stage<'a> {
    New,
    /// At this place of `order`.
    Waiting(usize, Acquire<'a>),
    Over,
}

impl<'a, const N: usize> AcquireAll<'a, N> {
    /// Labels the permits of all the limiters, as [`AcquireOf::label`](crate::AcquireOf::label) does.
    ///
    /// Permits that have been asked for already keep the label that they had.
    ///
    /// ```
    /// # use grmgr::{Limiter, acquire_all};
    /// # let (db, api) = (Limiter::new("db", 20), Limiter::new("api", 8));
    /// let permits = acquire_all([(&db, 1), (&api, 2)]).label("nightly report").blocking()?;
    /// # drop(permits);
    /// # Ok::<(), grmgr::AcquireError>(())
    /// ```
    pub fn label(mut self, label: impl Into<Cow<'static, str>>) -> Self {
        self.label = label.into();
        self
    }

    /// Finds the refusals that are known before anything is taken.
    fn check(&self) -> Result<(), AcquireError> {
        for pair in self.order.windows(2) {
            let (a, b) = (pair[0], pair[1]);
            if core::ptr::eq(self.wants[a].0, self.wants[b].0) {
                return Err(AcquireError::Repeated { first: a.min(b), again: a.max(b) });
            }
        }
        for (limiter, n) in self.wants {
            let error = match limiter.answer_without_waiting(n) {
                Some(Err(error)) => error,
                _ if limiter.is_closed() => AcquireError::Closed,
                _ => continue,
            };
            limiter.on_refused(error);
            return Err(error);
        }
        Ok(())
    }

    /// Begins with the first request, unless a refusal is known beforehand.
    fn begin(&mut self) -> Result<(), AcquireError> {
        self.stage = Stage::Over;
        self.check()?;
        self.stage = self.request(0);
        Ok(())
    }

    /// Takes a permit, and goes on with the next request.
    fn take(&mut self, place: usize, permit: Permit<'a>) {
        self.granted[self.order[place]] = Some(permit);
        self.stage = self.request(place + 1);
    }

    /// All permits, in the order written.
    fn permits(&mut self) -> [Permit<'a>; N] {
        self.granted.each_mut().map(|permit| permit.take().expect("all are granted"))
    }

    /// The request at this place of `order`, if there is one.
    fn request(&self, place: usize) -> Stage<'a> {
        let Some(&i) = self.order.get(place) else { return Stage::Over };
        let (limiter, n) = self.wants[i];
        let request = limiter.acquire_many(n);
        let labelled = !self.label.is_empty();
        let request = if labelled { request.label(self.label.clone()) } else { request };
        Stage::Waiting(place, request)
    }
}

const ANSWERED: &str = "an acquire_all future was polled again after it was ready";

impl<'a, const N: usize> Future for AcquireAll<'a, N> {
    type Output = Result<[Permit<'a>; N], AcquireError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        match this.stage {
            Stage::New => this.begin()?,
            Stage::Waiting(..) => {}
            Stage::Over => panic!("{ANSWERED}"),
        }
        while let Stage::Waiting(place, request) = &mut this.stage {
            let outcome = ready!(Pin::new(request).poll(cx));
            let place = *place;
            this.stage = Stage::Over;
            match outcome {
                Ok(permit) => this.take(place, permit),
                Err(refused) => {
                    this.granted = [const { None }; N];
                    return Poll::Ready(Err(refused));
                }
            }
        }
        Poll::Ready(Ok(this.permits()))
    }
}

#[cfg(feature = "std")]
impl<'a, const N: usize> AcquireAll<'a, N> {
    /// Waits by blocking the thread.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use grmgr::{AcquireError, Limiter, acquire_all};
    /// let (db, api) = (Limiter::new("db", 1), Limiter::new("api", 8));
    /// let both = acquire_all([(&db, 1), (&api, 2)]).blocking()?;
    /// let late = acquire_all([(&db, 1), (&api, 2)]).blocking_timeout(Duration::from_millis(1));
    /// assert_eq!(late.unwrap_err(), AcquireError::TimedOut);
    /// # drop(both);
    /// # Ok::<(), AcquireError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`acquire_all`].
    pub fn blocking(self) -> Result<[Permit<'a>; N], AcquireError> {
        self.block(None)
    }

    /// Waits by blocking the thread, but at most for `timeout` in all.
    ///
    /// [`Duration::MAX`] is as good as no limit.
    ///
    /// # Errors
    ///
    /// As [`acquire_all`], and [`TimedOut`](AcquireError::TimedOut).
    pub fn blocking_timeout(self, timeout: Duration) -> Result<[Permit<'a>; N], AcquireError> {
        self.block(Instant::now().checked_add(timeout))
    }

    /// Waits by blocking the thread, but at most until `deadline`.
    ///
    /// # Errors
    ///
    /// As [`acquire_all`], and [`TimedOut`](AcquireError::TimedOut).
    pub fn blocking_until(self, deadline: Instant) -> Result<[Permit<'a>; N], AcquireError> {
        self.block(Some(deadline))
    }

    /// One after another, each as a request of its own: it gives way by yielding the thread (I16).
    fn block(mut self, deadline: Option<Instant>) -> Result<[Permit<'a>; N], AcquireError> {
        match self.stage {
            Stage::New => self.begin()?,
            Stage::Waiting(..) => {}
            Stage::Over => panic!("{ANSWERED}"),
        }
        while let Stage::Waiting(place, request) = mem::replace(&mut self.stage, Stage::Over) {
            let permit = request.block(|| deadline)?;
            self.take(place, permit);
        }
        Ok(self.permits())
    }
}

impl<const N: usize> fmt::Debug for AcquireAll<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wants = self.wants.each_ref().map(|(limiter, n)| (limiter.name(), n));
        let granted = self.granted.iter().flatten().count();
        f.debug_struct("AcquireAll").field("wants", &wants).field("granted", &granted).finish()
    }
}
