//! Handles of a limiter: one that keeps it alive, and one that does not.

use core::fmt;
use core::hash::{Hash, Hasher};
use core::ops::Deref;
#[cfg(feature = "std")]
use core::sync::atomic::{Ordering::Acquire, fence};

use alloc::sync::{Arc, Weak};

use crate::acquire::{AcquireOf, AcquireOwned};
#[cfg(feature = "std")]
use crate::error::AcquireError;
use crate::error::TryAcquireError;
use crate::idle::{WaitOf, WaitOwned};
use crate::limiter::Limiter;
use crate::permit::{OwnedPermit, PermitOf};
use crate::run::{RunOf, RunOwned};

/// Keeps a limiter alive: one in an [`Arc`], or one in a `static`.
///
/// Everything that can be done with a limiter can be done with its handle, which derefs to it. The
/// methods named `…_owned` return a value that holds a handle of its own, and so may outlive this one:
/// in a task that is spawned, in a struct. They can be called on an `Arc<Limiter>` as well; for a
/// `static` there is [`Limiter::handle`]. Handles are equal, and hash alike, if they are of the same
/// limiter, whatever its name. So they can be keys of a map; clippy's `mutable_key_type` does not see that
/// and has to be allowed there.
///
/// ```
/// use grmgr::{Handle, Limiter};
///
/// static DB: Limiter = Limiter::const_new("db", 20);
///
/// let db: Handle = DB.handle();
/// let api = Handle::from(Limiter::new("api", 8));
/// let permit = api.try_acquire_owned()?;
/// assert_eq!(permit.limiter(), &api);
/// assert_ne!(api, db);
/// # Ok::<(), grmgr::TryAcquireError>(())
/// ```
#[derive(Clone)]
pub struct Handle(Kept);

#[derive(Clone)]
enum Kept {
    Static(&'static Limiter),
    Shared(Arc<Limiter>),
}

/// Remembers a limiter without keeping it alive; made by [`Handle::downgrade`].
///
/// For code that looks at limiters from time to time and must not keep them alive: one that is evicted
/// from its `Registry`, for instance.
///
/// ```
/// use grmgr::{Handle, Limiter};
///
/// let jobs = Handle::from(Limiter::new("jobs", 4));
/// let weak = jobs.downgrade();
/// assert_eq!(weak.upgrade(), Some(jobs.clone()));
/// drop(jobs);
/// assert_eq!(weak.upgrade(), None);
/// ```
#[derive(Clone)]
pub struct WeakHandle(Remembered);

#[derive(Clone)]
enum Remembered {
    Static(&'static Limiter),
    Shared(Weak<Limiter>),
}

impl Handle {
    /// Makes a handle that does not keep the limiter alive.
    ///
    /// ```
    /// # use grmgr::{Handle, Limiter};
    /// let jobs = Handle::from(Limiter::new("jobs", 4));
    /// let weak = jobs.downgrade();
    /// drop(jobs);
    /// assert!(weak.upgrade().is_none());
    /// ```
    pub fn downgrade(&self) -> WeakHandle {
        WeakHandle(match &self.0 {
            Kept::Static(limiter) => Remembered::Static(limiter),
            Kept::Shared(limiter) => Remembered::Shared(Arc::downgrade(limiter)),
        })
    }
}

impl WeakHandle {
    /// Returns the limiter, if something still keeps it alive. One in a `static` always lives.
    ///
    /// It may be closed, and removed from the registry in which it was.
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// static DB: Limiter = Limiter::const_new("db", 20);
    /// assert_eq!(DB.handle().downgrade().upgrade(), Some(DB.handle()));
    /// ```
    pub fn upgrade(&self) -> Option<Handle> {
        Some(Handle(match &self.0 {
            Remembered::Static(limiter) => Kept::Static(limiter),
            Remembered::Shared(limiter) => Kept::Shared(limiter.upgrade()?),
        }))
    }
}

/// The owned forms of the methods of a [`Limiter`].
impl Handle {
    /// Asks for one permit, with a guard that keeps the limiter alive: see [`Limiter::acquire`].
    ///
    /// ```
    /// # use grmgr::{AcquireError, Handle, Limiter};
    /// let jobs = Handle::from(Limiter::new("jobs", 4));
    /// let job = async move {
    ///     let _permit = jobs.acquire_owned().await?;
    ///     Ok::<(), AcquireError>(())
    /// };
    /// # smol::block_on(smol::spawn(job))?;
    /// # Ok::<(), AcquireError>(())
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses its place in line and nothing else.
    #[inline]
    pub fn acquire_owned(&self) -> AcquireOwned {
        self.acquire_many_owned(1)
    }

    /// Asks for `n` permits at once, with a guard that keeps the limiter alive.
    ///
    /// As [`Limiter::acquire_many`].
    ///
    /// ```
    /// # use grmgr::{Handle, Limiter};
    /// let memory = Handle::from(Limiter::new("memory in MiB", 512));
    /// let permit = memory.acquire_many_owned(100).blocking()?;
    /// assert_eq!(permit.count(), 100);
    /// # Ok::<(), grmgr::AcquireError>(())
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses its place in line and nothing else.
    #[inline]
    pub fn acquire_many_owned(&self, n: usize) -> AcquireOwned {
        AcquireOf::new(self.clone(), n)
    }

    /// Takes one permit without waiting, with a guard that keeps the limiter alive.
    ///
    /// As [`Limiter::try_acquire`].
    ///
    /// ```
    /// # use grmgr::{Handle, Limiter, TryAcquireError};
    /// let jobs = Handle::from(Limiter::new("jobs", 1));
    /// let permit = jobs.try_acquire_owned()?;
    /// assert_eq!(jobs.try_acquire_owned().unwrap_err(), TryAcquireError::NoPermits);
    /// # drop(permit);
    /// # Ok::<(), TryAcquireError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Limiter::try_acquire`].
    #[inline]
    pub fn try_acquire_owned(&self) -> Result<OwnedPermit, TryAcquireError> {
        self.try_acquire_many_owned(1)
    }

    /// Takes `n` permits without waiting, with a guard that keeps the limiter alive.
    ///
    /// As [`Limiter::try_acquire_many`].
    ///
    /// ```
    /// # use grmgr::{Handle, Limiter};
    /// let jobs = Handle::from(Limiter::new("jobs", 4));
    /// assert_eq!(jobs.try_acquire_many_owned(3)?.count(), 3);
    /// # Ok::<(), grmgr::TryAcquireError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Limiter::try_acquire`].
    #[inline]
    pub fn try_acquire_many_owned(&self, n: usize) -> Result<OwnedPermit, TryAcquireError> {
        self.try_take(n).map(|()| PermitOf::new(self.clone(), n))
    }

    /// Takes `n` permits if that needs no waiting, and makes their guard of this handle.
    ///
    /// For a handle that is there for one request: it need not be cloned. Where the request would have
    /// to wait, or would be refused, the handle comes back and nothing is counted. So it does where the
    /// request has to [give way](Limiter#order) to a waiter, though there are permits free. Ask with it in
    /// the usual way then: [`acquire_many_owned`](Self::acquire_many_owned) or
    /// [`try_acquire_many_owned`](Self::try_acquire_many_owned).
    ///
    /// ```
    /// # use grmgr::{AcquireError, Handle, Limiter, OwnedPermit};
    /// async fn permit(jobs: Handle) -> Result<OwnedPermit, AcquireError> {
    ///     match jobs.try_into_permit(1) {
    ///         Ok(permit) => Ok(permit),
    ///         Err(jobs) => jobs.acquire_owned().await,
    ///     }
    /// }
    /// # let jobs = Handle::from(Limiter::new("jobs", 1));
    /// # smol::block_on(permit(jobs.clone()))?;
    /// # assert_eq!(jobs.in_flight(), 0);
    /// # Ok::<(), AcquireError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The handle, unchanged.
    #[inline]
    pub fn try_into_permit(self, n: usize) -> Result<OwnedPermit, Self> {
        if self.take(n, true) { Ok(PermitOf::new(self, n)) } else { Err(self) }
    }

    /// Waits for one permit by blocking the thread, with a guard that keeps the limiter alive.
    ///
    /// As [`Limiter::acquire_blocking`].
    ///
    /// ```
    /// # use grmgr::{Handle, Limiter};
    /// let jobs = Handle::from(Limiter::new("jobs", 4));
    /// let permit = jobs.acquire_owned_blocking()?;
    /// std::thread::spawn(move || drop(permit)).join().unwrap();
    /// # Ok::<(), grmgr::AcquireError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// An [`AcquireError`].
    #[cfg(feature = "std")]
    #[inline]
    pub fn acquire_owned_blocking(&self) -> Result<OwnedPermit, AcquireError> {
        self.acquire_owned().blocking()
    }

    /// Runs `work` under a permit in a future that keeps the limiter alive: one to be spawned.
    ///
    /// As [`Limiter::run`].
    ///
    /// ```
    /// # use grmgr::{Handle, Limiter};
    /// let jobs = Handle::from(Limiter::new("jobs", 4));
    /// let job = smol::spawn(jobs.run_owned(async { 6 * 7 }));
    /// assert_eq!(smol::block_on(job)?, 42);
    /// # Ok::<(), grmgr::AcquireError>(())
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the work with it: see [`RunOf`].
    #[inline]
    pub fn run_owned<F: Future>(&self, work: F) -> RunOwned<F> {
        RunOf::new(self.acquire_owned(), work)
    }

    /// Waits until the limiter is idle, in a future that keeps it alive: see [`Limiter::wait`].
    ///
    /// ```
    /// # use grmgr::{Handle, Limiter};
    /// let jobs = Handle::from(Limiter::new("jobs", 4));
    /// let permit = jobs.acquire_owned_blocking()?;
    /// let idle = std::thread::spawn(move || jobs.wait_owned().blocking());
    /// drop(permit);
    /// idle.join().unwrap();
    /// # Ok::<(), grmgr::AcquireError>(())
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    #[inline]
    pub fn wait_owned(&self) -> WaitOwned {
        WaitOf::new(self.clone())
    }
}

/// A limiter in a `static`.
impl Limiter {
    /// Returns the handle of a limiter in a `static`.
    ///
    /// For functions that take a [`Handle`], and for methods named `…_owned`.
    ///
    /// A borrow of a static may go anywhere, too: its `acquire` gives a `Permit<'static>`.
    /// The handle of a limiter in an [`Arc`] is made with `Handle::from`.
    ///
    /// ```
    /// use grmgr::{Limiter, OwnedPermit};
    ///
    /// static DB: Limiter = Limiter::const_new("db", 20);
    ///
    /// let permit: OwnedPermit = DB.handle().try_acquire_owned()?;
    /// assert_eq!(DB.in_flight(), 1);
    /// # drop(permit);
    /// # Ok::<(), grmgr::TryAcquireError>(())
    /// ```
    #[inline]
    pub const fn handle(&'static self) -> Handle {
        Handle(Kept::Static(self))
    }
}

/// Owned forms for a limiter in an [`Arc`], the same as those of its [`Handle`].
///
/// ```
/// use std::sync::Arc;
/// use grmgr::Limiter;
///
/// let jobs = Arc::new(Limiter::new("jobs", 4));
/// let permit = jobs.try_acquire_owned()?;
/// drop(jobs);
/// assert_eq!(permit.limiter().in_flight(), 1);
/// # Ok::<(), grmgr::TryAcquireError>(())
/// ```
impl Limiter {
    /// Does for a limiter in an [`Arc`] what [`Handle::acquire_owned`] does.
    #[inline]
    pub fn acquire_owned(self: &Arc<Self>) -> AcquireOwned {
        self.acquire_many_owned(1)
    }

    /// Does for a limiter in an [`Arc`] what [`Handle::acquire_many_owned`] does.
    #[inline]
    pub fn acquire_many_owned(self: &Arc<Self>, n: usize) -> AcquireOwned {
        AcquireOf::new(self.into(), n)
    }

    /// Does for a limiter in an [`Arc`] what [`Handle::try_acquire_owned`] does.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire).
    #[inline]
    pub fn try_acquire_owned(self: &Arc<Self>) -> Result<OwnedPermit, TryAcquireError> {
        self.try_acquire_many_owned(1)
    }

    /// Does for a limiter in an [`Arc`] what [`Handle::try_acquire_many_owned`] does.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire).
    #[inline]
    pub fn try_acquire_many_owned(
        self: &Arc<Self>,
        n: usize,
    ) -> Result<OwnedPermit, TryAcquireError> {
        self.try_take(n).map(|()| PermitOf::new(self.into(), n))
    }

    /// Does for a limiter in an [`Arc`] what [`Handle::acquire_owned_blocking`] does.
    ///
    /// # Errors
    ///
    /// An [`AcquireError`].
    #[cfg(feature = "std")]
    #[inline]
    pub fn acquire_owned_blocking(self: &Arc<Self>) -> Result<OwnedPermit, AcquireError> {
        self.acquire_owned().blocking()
    }

    /// Does for a limiter in an [`Arc`] what [`Handle::run_owned`] does.
    #[inline]
    pub fn run_owned<F: Future>(self: &Arc<Self>, work: F) -> RunOwned<F> {
        RunOf::new(self.acquire_owned(), work)
    }

    /// Does for a limiter in an [`Arc`] what [`Handle::wait_owned`] does.
    #[inline]
    pub fn wait_owned(self: &Arc<Self>) -> WaitOwned {
        WaitOf::new(self.into())
    }
}

/// For the registry.
#[cfg(feature = "std")]
impl Handle {
    /// Whether this is the only thing that keeps the limiter alive, and nothing is in flight
    /// without a guard. A static is always kept alive by something else.
    pub(crate) fn is_unused(&self) -> bool {
        match &self.0 {
            Kept::Static(_) => false,
            Kept::Shared(limiter) => {
                let alone = Arc::strong_count(limiter) == 1;
                // The count is read Relaxed. Acquire pairs with the Release in the drop of the other
                // handles: what was done to the limiter through them is seen.
                fence(Acquire);
                alone && limiter.in_flight() == 0
            }
        }
    }
}

impl Deref for Handle {
    type Target = Limiter;

    #[inline]
    fn deref(&self) -> &Limiter {
        match &self.0 {
            Kept::Static(limiter) => limiter,
            Kept::Shared(limiter) => limiter,
        }
    }
}

impl From<Limiter> for Handle {
    fn from(limiter: Limiter) -> Self {
        Arc::new(limiter).into()
    }
}

impl From<Arc<Limiter>> for Handle {
    #[inline]
    fn from(limiter: Arc<Limiter>) -> Self {
        Self(Kept::Shared(limiter))
    }
}

impl From<&Arc<Limiter>> for Handle {
    #[inline]
    fn from(limiter: &Arc<Limiter>) -> Self {
        limiter.clone().into()
    }
}

/// A clone: for functions that take `impl Into<Handle>`.
impl From<&Handle> for Handle {
    #[inline]
    fn from(handle: &Handle) -> Self {
        handle.clone()
    }
}

impl From<&'static Limiter> for Handle {
    #[inline]
    fn from(limiter: &'static Limiter) -> Self {
        limiter.handle()
    }
}

impl PartialEq for Handle {
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(&raw const **self, &raw const **other)
    }
}

impl Eq for Handle {}

impl Hash for Handle {
    fn hash<H: Hasher>(&self, state: &mut H) {
        core::ptr::hash(&raw const **self, state);
    }
}

impl fmt::Debug for WeakHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WeakHandle").field(&self.upgrade().as_deref().map(Limiter::name)).finish()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").field(&**self).finish()
    }
}
