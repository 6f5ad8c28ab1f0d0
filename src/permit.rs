//! The guards that hold permits.

use core::fmt;
use core::mem;
use core::ops::Deref;

use alloc::borrow::Cow;

use crate::handle::Handle;
use crate::limiter::Limiter;
use crate::observe::{Held, Label};

/// One or more permits of a limiter that the guard borrows; see [`PermitOf`].
pub type Permit<'a> = PermitOf<&'a Limiter>;

/// One or more permits, of a limiter that the guard keeps alive; see [`PermitOf`].
pub type OwnedPermit = PermitOf<Handle>;

/// Holds one or more permits, and gives them back when it is dropped, also because of a panic.
///
/// Used under its names [`Permit`] and [`OwnedPermit`].
///
/// ```
/// # use grmgr::{Limiter, Permit};
/// let db = Limiter::new("db", 20);
/// let permit: Permit<'_> = db.try_acquire_many(3)?;
/// assert_eq!((permit.count(), db.in_flight()), (3, 3));
/// drop(permit);
/// assert_eq!(db.in_flight(), 0);
/// # Ok::<(), grmgr::TryAcquireError>(())
/// ```
#[must_use = "a permit that is dropped at once limits nothing"]
pub struct PermitOf<L: Deref<Target = Limiter>> {
    limiter: L,
    held: Held,
}

impl<L: Deref<Target = Limiter>> PermitOf<L> {
    /// A guard for `count` permits that have been granted.
    #[inline]
    pub(crate) fn new(limiter: L, count: usize) -> Self {
        Self::labelled(limiter, count, Label::default)
    }

    /// The same, for a request that has this label.
    #[inline]
    pub(crate) fn labelled(limiter: L, count: usize, label: impl FnOnce() -> Label) -> Self {
        let tracked = limiter.tracks_holders();
        let held = if tracked { limiter.on_held(count, label()) } else { Held::new(count) };
        Self { limiter, held }
    }

    /// The limiter that granted them.
    #[inline]
    pub(crate) fn get(&self) -> &Limiter {
        &self.limiter
    }

    /// Returns how many permits the guard holds.
    #[inline]
    pub fn count(&self) -> usize {
        self.held.count()
    }

    /// Labels permits that are held already, as [`label`](crate::AcquireOf::label) does for a request.
    ///
    /// It replaces an earlier label. It is kept only by a limiter that tracks its holders (feature
    /// `stats`), and cut to 256 bytes. A guard without permits keeps none.
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// let jobs = Limiter::new("jobs", 4);
    /// let mut permit = jobs.try_acquire()?;
    /// permit.set_label("export: reading");
    /// // …
    /// permit.set_label("export: writing");
    /// # Ok::<(), grmgr::TryAcquireError>(())
    /// ```
    pub fn set_label(&mut self, label: impl Into<Cow<'static, str>>) {
        self.limiter.on_relabelled(self.held, label.into());
    }

    /// Keeps the permits in flight without the guard.
    ///
    /// They are given back one by one with [`Limiter::done`].
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// let db = Limiter::new("db", 20);
    /// db.try_acquire()?.forget();
    /// assert_eq!(db.in_flight(), 1);
    /// db.done();
    /// # Ok::<(), grmgr::TryAcquireError>(())
    /// ```
    pub fn forget(mut self) {
        self.limiter.remember_forgotten(mem::take(&mut self.held));
    }

    /// Gives `n` of the permits back at once, and returns how many the guard keeps.
    ///
    /// If it holds fewer, nothing is given back, and the result is `None`. `n` may be 0, or all of them.
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// let memory = Limiter::new("memory in MiB", 512);
    /// let mut permit = memory.try_acquire_many(500)?;
    /// assert_eq!(permit.release(400), Some(100));
    /// assert_eq!(permit.release(101), None);
    /// assert_eq!(memory.in_flight(), 100);
    /// # Ok::<(), grmgr::TryAcquireError>(())
    /// ```
    #[must_use = "if it is `None`, nothing has been given back"]
    pub fn release(&mut self, n: usize) -> Option<usize> {
        let left = self.count().checked_sub(n)?;
        let given_back = self.limiter.on_split(&mut self.held, n);
        drop(PermitOf { limiter: self.get(), held: given_back });
        Some(left)
    }

    /// Moves `n` of the permits into a guard of their own, or returns `None` if there are fewer.
    ///
    /// `n` may be 0, or all of them.
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// let db = Limiter::new("db", 20);
    /// let mut permit = db.try_acquire_many(3)?;
    /// let one = permit.split(1).unwrap();
    /// assert_eq!((permit.count(), one.count()), (2, 1));
    /// # Ok::<(), grmgr::TryAcquireError>(())
    /// ```
    pub fn split(&mut self, n: usize) -> Option<Self>
    where
        L: Clone,
    {
        self.count().checked_sub(n)?;
        let limiter = self.limiter.clone();
        let held = limiter.on_split(&mut self.held, n);
        Some(Self { limiter, held })
    }

    /// Takes over the permits of `other`.
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// let db = Limiter::new("db", 20);
    /// let mut permit = db.try_acquire()?;
    /// permit.merge(db.try_acquire_many(2)?);
    /// assert_eq!(permit.count(), 3);
    /// # Ok::<(), grmgr::TryAcquireError>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If `other` is of another limiter. Its permits are given back then.
    #[track_caller]
    pub fn merge(&mut self, mut other: Self) {
        assert!(
            core::ptr::eq(self.get(), other.get()),
            "a permit of limiter {:?} cannot be merged into one of {:?}: keep both, each gives \
             back its own",
            other.limiter.name(),
            self.limiter.name(),
        );
        self.limiter.on_merged(&mut self.held, mem::take(&mut other.held));
    }
}

impl<'a> PermitOf<&'a Limiter> {
    /// Returns the limiter that granted them.
    #[inline]
    pub fn limiter(&self) -> &'a Limiter {
        self.limiter
    }
}

impl PermitOf<Handle> {
    /// Returns the handle of the limiter that granted them.
    #[inline]
    pub fn limiter(&self) -> &Handle {
        &self.limiter
    }
}

impl<L: Deref<Target = Limiter>> Drop for PermitOf<L> {
    #[inline]
    fn drop(&mut self) {
        if self.held.is_tracked() {
            self.limiter.on_given_back(self.held);
        } else if self.count() > 0 {
            self.limiter.release(self.count());
        }
    }
}

impl<L: Deref<Target = Limiter>> fmt::Debug for PermitOf<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("limiter", &self.limiter.name())
            .field("count", &self.count())
            .finish()
    }
}
