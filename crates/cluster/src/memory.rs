//! A store in this process.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use grmgr::{Clock, SystemClock};

use crate::ledger::Ledger;
use crate::{Answer, Request, ShareStore, StoreError};

/// Keeps shares in the memory of this process. Its clones share them.
///
/// For tests, and for several limiters of one process that share a total.
///
/// ```
/// use std::time::Duration;
/// use grmgr::{Handle, Limiter};
/// use grmgr_cluster::{LeaseClock, Member, MemoryStore};
///
/// let store = MemoryStore::new();
/// let limiter = || -> Result<Handle, grmgr::ConfigError> {
///     Ok(Limiter::builder("db").ceiling(10).run_alone(false).clock(LeaseClock).build()?.into())
/// };
/// let [a, b] = [limiter()?, limiter()?];
/// let _a = Member::builder(a).store(store.clone()).total(10).start()?;
/// let _b = Member::builder(b).store(store).total(10).start()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct MemoryStore(Arc<Shared>);

struct Shared {
    pools: Mutex<HashMap<Arc<str>, Ledger>>,
    clock: Box<dyn Clock>,
}

/// The server's time is never 0: that stands for none.
const BEGIN: u64 = 1_000_000;

impl MemoryStore {
    /// Makes a store that knows nothing yet.
    pub fn new() -> Self {
        Self::with_clock(SystemClock)
    }

    /// Makes a store with a clock of its own: what stands for the server's.
    ///
    /// ```
    /// use grmgr::ManualClock;
    /// use grmgr_cluster::MemoryStore;
    ///
    /// let clock = ManualClock::new();
    /// let store = MemoryStore::with_clock(clock.clone());
    /// ```
    pub fn with_clock(clock: impl Clock + 'static) -> Self {
        Self(Arc::new(Shared { pools: Mutex::default(), clock: Box::new(clock) }))
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl ShareStore for MemoryStore {
    fn refresh(&mut self, request: &Request) -> Result<Answer, StoreError> {
        let now = BEGIN + self.0.clock.now().as_millis() as u64;
        let mut pools = self.0.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.entry(request.pool.clone()).or_default().refresh(now, "", request)
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}
