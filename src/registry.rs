//! Limiters by name.

use core::fmt;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::{Adjust, Adjustment, Limiter, Snapshot};

/// Limiters by their names, to find them and to turn all of them up and down at once.
///
/// A limiter works as well without a registry, and nothing on the way of a request touches one.
/// What is done to all is done one by one, in the order of their names, to those registered when
/// the call began; the registry is not locked meanwhile.
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
#[derive(Default)]
pub struct Registry {
    // Never held while anything but the map is touched.
    limiters: Mutex<BTreeMap<String, Arc<Limiter>>>,
}

/// Another limiter is registered under this name. It gives the refused one back.
#[derive(Debug)]
pub struct NameTaken(
    /// The limiter that was not registered.
    pub Arc<Limiter>,
);

impl Registry {
    /// An empty registry.
    pub const fn new() -> Self {
        Self { limiters: Mutex::new(BTreeMap::new()) }
    }

    /// The registry that a program shares.
    pub fn global() -> &'static Self {
        static GLOBAL: Registry = Registry::new();
        &GLOBAL
    }

    /// Adds a limiter under its name.
    ///
    /// # Errors
    ///
    /// [`NameTaken`], with the limiter, if another has the name.
    pub fn register(&self, limiter: impl Into<Arc<Limiter>>) -> Result<Arc<Limiter>, NameTaken> {
        let limiter = limiter.into();
        match self.lock().entry(limiter.name().into()) {
            Entry::Occupied(_) => Err(NameTaken(limiter)),
            Entry::Vacant(place) => Ok(place.insert(limiter).clone()),
        }
    }

    /// The limiter of this name.
    pub fn get(&self, name: &str) -> Option<Arc<Limiter>> {
        self.lock().get(name).cloned()
    }

    /// All names, in order.
    pub fn names(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// A snapshot of each limiter.
    pub fn snapshots(&self) -> Vec<Snapshot> {
        self.all().iter().map(|limiter| limiter.snapshot()).collect()
    }

    /// Closes the limiter of this name and removes it. Permits that are out stay valid; to see
    /// the last of them back, [`wait`](Limiter::wait) on what is returned.
    pub fn delete(&self, name: &str) -> Option<Arc<Limiter>> {
        let limiter = self.lock().remove(name)?;
        limiter.close();
        Some(limiter)
    }

    /// [`Limiter::up`] on each.
    pub fn up_all(&self) -> Vec<(Arc<Limiter>, Adjustment)> {
        self.adjust_all(Adjust::Up, crate::limiter::MANUAL)
    }

    /// [`Limiter::down`] on each.
    pub fn down_all(&self) -> Vec<(Arc<Limiter>, Adjustment)> {
        self.adjust_all(Adjust::Down, crate::limiter::MANUAL)
    }

    /// [`Limiter::adjust`] on each, with what came of it.
    pub fn adjust_all(&self, to: Adjust, cause: &'static str) -> Vec<(Arc<Limiter>, Adjustment)> {
        let adjust = |limiter: Arc<Limiter>| {
            let result = limiter.adjust(to, cause);
            (limiter, result)
        };
        self.all().into_iter().map(adjust).collect()
    }

    /// [`Limiter::close`] on each. They stay registered.
    pub fn close_all(&self) {
        for limiter in self.all() {
            limiter.close();
        }
    }

    /// [`Limiter::wait`] on each: resolves when each has been idle at some moment.
    ///
    /// # Cancel safety
    ///
    /// Dropping it changes nothing.
    pub async fn wait_all(&self) {
        for limiter in self.all() {
            limiter.wait().await;
        }
    }

    /// [`Limiter::wait_blocking`] on each.
    pub fn wait_all_blocking(&self) {
        for limiter in self.all() {
            limiter.wait_blocking();
        }
    }

    fn all(&self) -> Vec<Arc<Limiter>> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Limiter>>> {
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
