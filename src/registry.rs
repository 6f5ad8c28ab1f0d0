//! Limiters by name.

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use crate::handle::Handle;
use crate::limiter::{Limiter, MANUAL};
use crate::snapshot::Snapshot;
use crate::throttle::{Adjust, Adjustment};

/// Finds limiters by their names, makes them on demand, and moves all of them at once.
///
/// A limiter works as well without a registry, and nothing on the way of a request touches one. An
/// operation on all limiters takes them one by one, in the order of their names: those registered when
/// the call began. No code of yours runs while the registry is locked: wakers, clocks, predicates and the
/// closures that make limiters may all use it.
///
/// ```
/// use grmgr::{Limiter, Registry};
///
/// let registry = Registry::new();
/// let db = registry.register(Limiter::new("db", 20))?;
/// let api = registry.register(Limiter::new("api", 8))?;
/// registry.down_all();
/// assert_eq!((db.ceiling(), api.ceiling()), (18, 6));
/// # Ok::<(), grmgr::NameTaken>(())
/// ```
///
/// # Many limiters
///
/// One for each tenant, host or user: made when first asked for, and evicted from time to time.
///
/// ```
/// use grmgr::{AcquireError, Limiter, Registry};
///
/// static TENANTS: Registry = Registry::new();
///
/// fn serve(tenant: &str) -> Result<(), AcquireError> {
///     let limiter =
///         TENANTS.get_or_register_with(tenant, || Limiter::new(tenant.to_owned(), 4));
///     let _permit = limiter.acquire_blocking()?;
///     // At most 4 for each tenant get here at once.
///     Ok(())
/// }
///
/// serve("acme")?;
/// serve("initech")?;
/// assert_eq!(TENANTS.remove_idle(), 2);
/// # Ok::<(), AcquireError>(())
/// ```
///
/// Eviction, by [`remove_idle`](Self::remove_idle) or [`retain`](Self::retain), takes only limiters
/// that nothing else keeps alive, neither a handle nor a permit, a request or a wait that owns one, and
/// of which no permit is in flight. So eviction never gives a request a closed limiter, and no two limiters
/// of one name are in use at once. The setting of an evicted limiter, and its counters, are lost. One in a
/// `static` always stays. A [`WeakHandle`](crate::WeakHandle) keeps no limiter alive: the one that it gives
/// may have been evicted.
#[derive(Default)]
pub struct Registry {
    // Held only while the map, and the counts of handles, are touched.
    limiters: Mutex<Limiters>,
}

type Limiters = BTreeMap<Cow<'static, str>, Handle>;

/// Another limiter is registered under this name. The refused one is given back.
///
/// ```
/// use grmgr::{Limiter, NameTaken, Registry};
///
/// let registry = Registry::new();
/// let db = registry.register(Limiter::new("db", 20))?;
/// let NameTaken(refused) = registry.register(Limiter::new("db", 8)).unwrap_err();
/// assert_eq!((refused.ceiling(), registry.get("db")), (8, Some(db)));
/// # Ok::<(), NameTaken>(())
/// ```
#[derive(Debug)]
pub struct NameTaken(
    /// The limiter that was not registered.
    pub Handle,
);

/// Adding, finding and removing.
impl Registry {
    /// Makes an empty registry.
    ///
    /// ```
    /// use grmgr::Registry;
    ///
    /// static TENANTS: Registry = Registry::new();
    /// assert!(TENANTS.is_empty());
    /// ```
    pub const fn new() -> Self {
        Self { limiters: Mutex::new(BTreeMap::new()) }
    }

    /// Returns the registry that a program shares.
    ///
    /// ```
    /// use grmgr::{Limiter, Registry};
    ///
    /// static DB: Limiter = Limiter::const_new("db", 20);
    /// Registry::global().register(&DB)?;
    /// # Ok::<(), grmgr::NameTaken>(())
    /// ```
    pub fn global() -> &'static Self {
        static GLOBAL: Registry = Registry::new();
        &GLOBAL
    }

    /// Adds a limiter under its name.
    ///
    /// It may be a new one, one in an [`Arc`](alloc::sync::Arc), a `static`, or one of which there is a
    /// handle.
    ///
    /// ```
    /// use grmgr::{Limiter, Registry};
    ///
    /// static DB: Limiter = Limiter::const_new("db", 20);
    ///
    /// let registry = Registry::new();
    /// registry.register(&DB)?;
    /// let api = registry.register(Limiter::new("api", 8))?;
    /// assert_eq!(registry.get("api"), Some(api));
    /// # Ok::<(), grmgr::NameTaken>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`NameTaken`], with the limiter, if another has the name, and if it is registered already.
    pub fn register(&self, limiter: impl Into<Handle>) -> Result<Handle, NameTaken> {
        let limiter = limiter.into();
        match self.lock().entry(limiter.name.clone()) {
            Entry::Occupied(_) => Err(NameTaken(limiter)),
            Entry::Vacant(place) => Ok(place.insert(limiter).clone()),
        }
    }

    /// Returns the limiter of this name.
    ///
    /// ```
    /// # use grmgr::{Limiter, Registry};
    /// let registry = Registry::new();
    /// let db = registry.register(Limiter::new("db", 20))?;
    /// assert_eq!(registry.get("db"), Some(db));
    /// assert_eq!(registry.get("api"), None);
    /// # Ok::<(), grmgr::NameTaken>(())
    /// ```
    pub fn get(&self, name: &str) -> Option<Handle> {
        self.lock().get(name).cloned()
    }

    /// Returns the limiter of this name, or registers the one that `make` returns.
    ///
    /// All calls for one name get the same limiter, however many come at once. `make` may run in several of
    /// them; the limiters that come too late are dropped. If it panics, nothing is registered.
    ///
    /// ```
    /// # use grmgr::{Limiter, Registry};
    /// # let registry = Registry::new();
    /// let host = String::from("example.org");
    /// let limiter = registry.get_or_register_with(&host, || Limiter::new(host.clone(), 6));
    /// assert_eq!(registry.get_or_register_with(&host, || unreachable!()), limiter);
    /// ```
    ///
    /// # Panics
    ///
    /// If the limiter that `make` returns has another name.
    #[track_caller]
    pub fn get_or_register_with(&self, name: &str, make: impl FnOnce() -> Limiter) -> Handle {
        if let Some(limiter) = self.get(name) {
            return limiter;
        }
        let limiter = Handle::from(make());
        assert!(
            limiter.name() == name,
            "get_or_register_with({name:?}, …) was given a limiter named {:?}: make one with the name \
             that is asked for",
            limiter.name(),
        );
        // The lock goes first, then, if it has come too late, the limiter.
        let mut limiters = self.lock();
        limiters.entry(limiter.name.clone()).or_insert_with(|| limiter.clone()).clone()
    }

    /// Returns all limiters, in the order of their names.
    ///
    /// ```
    /// # use grmgr::{Limiter, Registry};
    /// # let registry = Registry::new();
    /// registry.register(Limiter::new("db", 20))?;
    /// registry.register(Limiter::new("api", 8))?;
    /// let ceilings: Vec<_> = registry.limiters().iter().map(|limiter| limiter.ceiling()).collect();
    /// assert_eq!(ceilings, [8, 20]);
    /// # Ok::<(), grmgr::NameTaken>(())
    /// ```
    pub fn limiters(&self) -> Vec<Handle> {
        self.lock().values().cloned().collect()
    }

    /// Returns all names, in order.
    ///
    /// ```
    /// # use grmgr::{Limiter, Registry};
    /// # let registry = Registry::new();
    /// registry.register(Limiter::new("db", 20))?;
    /// registry.register(Limiter::new("api", 8))?;
    /// assert_eq!(registry.names(), ["api", "db"]);
    /// # Ok::<(), grmgr::NameTaken>(())
    /// ```
    pub fn names(&self) -> Vec<String> {
        self.lock().keys().map(|name| name.clone().into_owned()).collect()
    }

    /// Returns how many limiters are registered.
    ///
    /// ```
    /// # use grmgr::{Limiter, Registry};
    /// # let registry = Registry::new();
    /// registry.register(Limiter::new("db", 20))?;
    /// assert_eq!(registry.len(), 1);
    /// # Ok::<(), grmgr::NameTaken>(())
    /// ```
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Returns whether no limiter is registered.
    ///
    /// ```
    /// assert!(grmgr::Registry::new().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes a snapshot of each limiter.
    ///
    /// ```
    /// # use grmgr::{Limiter, Registry};
    /// # let registry = Registry::new();
    /// registry.register(Limiter::new("db", 20))?;
    /// for limiter in registry.snapshots() {
    ///     println!("{}: {} of {}", limiter.name, limiter.in_flight, limiter.ceiling);
    /// }
    /// # Ok::<(), grmgr::NameTaken>(())
    /// ```
    pub fn snapshots(&self) -> Vec<Snapshot> {
        self.limiters().iter().map(|limiter| limiter.snapshot()).collect()
    }

    /// Removes the limiter of this name, without closing it.
    ///
    /// The name is free then, also while the limiter is still in use.
    ///
    /// ```
    /// # use grmgr::{Limiter, Registry};
    /// # let registry = Registry::new();
    /// let db = registry.register(Limiter::new("db", 20))?;
    /// assert_eq!(registry.remove("db"), Some(db.clone()));
    /// assert!(registry.get("db").is_none() && !db.is_closed());
    /// # Ok::<(), grmgr::NameTaken>(())
    /// ```
    pub fn remove(&self, name: &str) -> Option<Handle> {
        self.lock().remove(name)
    }

    /// Closes the limiter of this name and removes it.
    ///
    /// Permits that are out stay valid; to see the last of them back, [`wait`](Limiter::wait) on the
    /// handle that is returned.
    ///
    /// ```
    /// # use grmgr::{Limiter, Registry};
    /// # let registry = Registry::new();
    /// registry.register(Limiter::new("db", 20))?;
    /// if let Some(db) = registry.delete("db") {
    ///     assert!(db.is_closed());
    ///     db.wait_blocking();
    /// }
    /// # Ok::<(), grmgr::NameTaken>(())
    /// ```
    pub fn delete(&self, name: &str) -> Option<Handle> {
        let limiter = self.remove(name)?;
        limiter.close();
        Some(limiter)
    }

    /// Evicts the limiters that are not in use, and returns how many.
    ///
    /// A limiter is not in use if nothing else keeps it alive and nothing is in flight: see
    /// [many limiters](Self#many-limiters).
    ///
    /// ```
    /// # use grmgr::{Limiter, Registry};
    /// # let registry = Registry::new();
    /// let used = registry.register(Limiter::new("used", 4))?;
    /// registry.register(Limiter::new("unused", 4))?;
    /// assert_eq!(registry.remove_idle(), 1);
    /// assert_eq!(registry.limiters(), [used]);
    /// # Ok::<(), grmgr::NameTaken>(())
    /// ```
    pub fn remove_idle(&self) -> usize {
        // One by one, so that others are not kept from the registry for long.
        self.limiters().into_iter().filter_map(|limiter| self.evict(limiter)).count()
    }

    /// Evicts the limiters for which `keep` returns false, unless they are in use.
    ///
    /// One stays if something else keeps it alive, or a permit of it is in flight: see
    /// [many limiters](Self#many-limiters).
    ///
    /// `keep` sees those registered when the call began, in the order of their names. It may use the
    /// registry, and the limiter; one of which it keeps a handle stays. One that it removes or replaces
    /// itself is left alone.
    ///
    /// ```
    /// # use grmgr::{Limiter, Registry};
    /// # let registry = Registry::new();
    /// for name in ["tenant/acme", "tenant/initech", "db"] {
    ///     registry.register(Limiter::new(name, 4))?;
    /// }
    /// registry.retain(|limiter| !limiter.name().starts_with("tenant/"));
    /// assert_eq!(registry.names(), ["db"]);
    /// # Ok::<(), grmgr::NameTaken>(())
    /// ```
    pub fn retain(&self, mut keep: impl FnMut(&Handle) -> bool) {
        for limiter in self.limiters() {
            if !keep(&limiter) {
                drop(self.evict(limiter));
            }
        }
    }

    /// Takes this limiter out if nothing but the registry, and the handle given, keeps it alive. The handle
    /// returned is the last one. The caller drops it, when the lock is free, because a limiter's clock is
    /// the user's code.
    fn evict(&self, limiter: Handle) -> Option<Handle> {
        let mut limiters = self.lock();
        let registered = limiters.get(limiter.name()).filter(|found| **found == limiter)?;
        // Not the last one: there is the registered one.
        drop(limiter);
        if !registered.is_unused() {
            return None;
        }
        let evicted = registered.clone();
        limiters.remove(evicted.name())
    }
}

/// All at once.
impl Registry {
    /// Raises each setting by one step, and returns the results: [`Limiter::up`].
    ///
    /// ```
    /// # use grmgr::{Adjust, Limiter, Registry};
    /// # let registry = Registry::new();
    /// let db = registry.register(Limiter::new("db", 20))?;
    /// registry.up_all();
    /// assert_eq!(db.setting(), 20);
    /// # Ok::<(), grmgr::NameTaken>(())
    /// ```
    pub fn up_all(&self) -> Vec<(Handle, Adjustment)> {
        self.adjust_all(Adjust::Up, MANUAL)
    }

    /// Lowers each setting by one step, and returns the results: [`Limiter::down`].
    ///
    /// ```
    /// # use grmgr::{Adjust, Limiter, Registry};
    /// # let registry = Registry::new();
    /// let db = registry.register(Limiter::new("db", 20))?;
    /// registry.down_all();
    /// assert_eq!(db.setting(), 18);
    /// # Ok::<(), grmgr::NameTaken>(())
    /// ```
    pub fn down_all(&self) -> Vec<(Handle, Adjustment)> {
        self.adjust_all(Adjust::Down, MANUAL)
    }

    /// Changes each setting, and returns the results: [`Limiter::adjust`].
    ///
    /// ```
    /// # use grmgr::{Adjust, Limiter, Registry};
    /// # let registry = Registry::new();
    /// let db = registry.register(Limiter::new("db", 20))?;
    /// registry.adjust_all(Adjust::To(5), "night shift");
    /// assert_eq!(db.setting(), 5);
    /// # Ok::<(), grmgr::NameTaken>(())
    /// ```
    pub fn adjust_all(
        &self,
        to: Adjust,
        cause: impl Into<Cow<'static, str>>,
    ) -> Vec<(Handle, Adjustment)> {
        let cause = cause.into();
        let adjust = |limiter: Handle| {
            let result = limiter.adjust(to, cause.clone());
            (limiter, result)
        };
        self.limiters().into_iter().map(adjust).collect()
    }

    /// Closes each limiter: [`Limiter::close`]. They stay registered.
    pub fn close_all(&self) {
        for limiter in self.limiters() {
            limiter.close();
        }
    }

    /// Waits until each limiter has been idle at some moment: [`Limiter::wait`].
    ///
    /// For a time limit, put your runtime's time-out around it.
    ///
    /// ```
    /// # use grmgr::{Limiter, Registry};
    /// # smol::block_on(async {
    /// # let registry = Registry::new();
    /// registry.register(Limiter::new("jobs", 4))?;
    /// registry.close_all();
    /// registry.wait_all().await;
    /// # Ok::<(), grmgr::NameTaken>(())
    /// # })?;
    /// # Ok::<(), grmgr::NameTaken>(())
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropping it changes nothing.
    pub async fn wait_all(&self) {
        for limiter in self.limiters() {
            limiter.wait().await;
        }
    }

    /// Waits by blocking the thread until each limiter has been idle at some moment.
    pub fn wait_all_blocking(&self) {
        for limiter in self.limiters() {
            limiter.wait_blocking();
        }
    }

    /// Waits by blocking the thread, at most for `timeout` in all; returns whether all were idle.
    ///
    /// Each at some moment, as with [`wait_all_blocking`](Self::wait_all_blocking). [`Duration::MAX`] is
    /// as good as no limit.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use grmgr::{Limiter, Registry};
    /// # let registry = Registry::new();
    /// let jobs = registry.register(Limiter::new("jobs", 4))?;
    /// let stuck = jobs.acquire_owned_blocking()?;
    /// registry.close_all();
    /// if !registry.wait_all_blocking_timeout(Duration::from_millis(1)) {
    ///     eprintln!("{} jobs have not ended in time", jobs.in_flight());
    /// }
    /// # drop(stuck);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use = "if it is false, work is still running"]
    pub fn wait_all_blocking_timeout(&self, timeout: Duration) -> bool {
        let deadline = Instant::now().checked_add(timeout);
        self.limiters().iter().all(|limiter| limiter.wait().block(deadline))
    }
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, Limiters> {
        self.limiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

impl fmt::Display for NameTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a limiter named {:?} is registered already: choose another name, or delete that one \
             first",
            self.0.name()
        )
    }
}

impl core::error::Error for NameTaken {}
