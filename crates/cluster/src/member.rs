//! The public type: one process's part in a pool.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use grmgr::{Clock, Handle, Limiter, OwnedCap, TooManyCaps};

use crate::core::{Board, Core, LONGEST, Parts};
use crate::{LeaseClock, ShareStore, State, Terms, Warning, observe};

/// The cause of the cap that a share is.
const CAUSE: &str = "cluster";

/// Leases a share of a total that many processes have in common, and keeps a limiter's ceiling at it.
///
/// It has a thread of its own, which asks the store for the share every now and then. Nothing of it runs
/// when a permit is taken or given back, but for one look at the clock: the share is a
/// [cap](grmgr::CapOf) named "cluster" that ends by itself with its lease.
///
/// Dropping it leaves the pool, as [`leave`](Self::leave) does, but for good: the limiter grants nothing
/// any more.
///
/// ```no_run
/// use grmgr::{Handle, Limiter};
/// use grmgr_cluster::{LeaseClock, Member};
///
/// let db = Limiter::builder("db").ceiling(100).run_alone(false).clock(LeaseClock).build()?;
/// let db = Handle::from(db);
/// let member = Member::builder(db.clone()).redis("redis://cache.internal").total(100).start()?;
/// let _permit = db.acquire_blocking()?;
/// println!("{}", member.state());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a member that is dropped at once leaves at once"]
pub struct Member {
    limiter: Handle,
    board: Arc<Board>,
    signal: Arc<Signal>,
    /// `None`: it has left.
    thread: Option<JoinHandle<OwnedCap>>,
}

#[derive(Default)]
struct Signal {
    leave: Mutex<bool>,
    left: Condvar,
}

impl Signal {
    /// Whether it is time to leave; waits for that at most so long.
    fn wait(&self, timeout: Duration) -> bool {
        let leave = self.leave.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.left.wait_timeout_while(leave, timeout, |leave| !*leave);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Member {
    /// Begins a member for this limiter.
    ///
    /// The limiter needs [`run_alone(false)`](grmgr::Builder::run_alone), as otherwise a request above the
    /// share would run, and the clock [`LeaseClock`].
    ///
    /// ```
    /// use grmgr::Limiter;
    /// use grmgr_cluster::{LeaseClock, Member, MemoryStore};
    ///
    /// let db = Limiter::builder("db").ceiling(9).run_alone(false).clock(LeaseClock).build()?;
    /// let member = Member::builder(db).store(MemoryStore::new()).total(9).start()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder(limiter: impl Into<Handle>) -> Builder {
        Builder {
            limiter: limiter.into(),
            store: Chosen::None,
            #[cfg(feature = "redis")]
            sentinel: None,
            pool: None,
            total: 0,
            floor: 0,
            max_members: 0,
            ttl: Duration::from_secs(15),
            refresh: None,
            #[cfg(feature = "redis")]
            timeout: None,
            max_lag: Duration::from_secs(4),
            max_hold: Duration::ZERO,
            any_clock: false,
        }
    }

    /// Returns whether it has a lease.
    ///
    /// True also in a process that was stopped past the end of its lease and has just been woken.
    ///
    /// ```
    /// use grmgr::{Handle, Limiter};
    /// use grmgr_cluster::{LeaseClock, Member, MemoryStore, State};
    ///
    /// let db = Limiter::builder("db").ceiling(9).run_alone(false).clock(LeaseClock).build()?;
    /// let member = Member::builder(db).store(MemoryStore::new()).total(9).start()?;
    /// match member.state() {
    ///     State::Leased { share, total, .. } => println!("{share} of {total}"),
    ///     State::Alone { why, .. } => println!("{why}"),
    ///     _ => {}
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn state(&self) -> State {
        self.board.state(self.limiter.now().unwrap_or_default())
    }

    /// Returns what is not as it should be. Each is also logged when it begins (feature `tracing`).
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// # use grmgr_cluster::{LeaseClock, Member, MemoryStore};
    /// # let db = Limiter::builder("db").ceiling(9).run_alone(false).clock(LeaseClock).build()?;
    /// # let member = Member::builder(db).store(MemoryStore::new()).total(9).start()?;
    /// for warning in member.warnings() {
    ///     eprintln!("{warning}");
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn warnings(&self) -> Vec<Warning> {
        self.board.warnings()
    }

    /// Returns the limiter.
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// # use grmgr_cluster::{LeaseClock, Member, MemoryStore};
    /// # let db = Limiter::builder("db").ceiling(9).run_alone(false).clock(LeaseClock).build()?;
    /// # let member = Member::builder(db).store(MemoryStore::new()).total(9).start()?;
    /// assert_eq!(member.limiter().name(), "db");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn limiter(&self) -> &Handle {
        &self.limiter
    }

    /// Leaves the pool: gives the share and the floor back. The limiter grants nothing from then on.
    ///
    /// Returns the cap that keeps it from that; dropping that sets the limiter free. Work that is running goes
    /// on; with [`max_hold`](Builder::max_hold) it is taken into account for that time. Takes as long as
    /// the store needs to answer, or its timeout.
    ///
    /// ```
    /// use grmgr::{Handle, Limiter};
    /// use grmgr_cluster::{LeaseClock, Member, MemoryStore};
    ///
    /// let db = Limiter::builder("db").ceiling(9).run_alone(false).clock(LeaseClock).build()?;
    /// let db = Handle::from(db);
    /// let member = Member::builder(db.clone()).store(MemoryStore::new()).total(9).start()?;
    /// let cap = member.leave();
    /// assert_eq!(db.ceiling(), 0);
    /// drop(cap);
    /// assert_eq!(db.ceiling(), 9);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn leave(mut self) -> OwnedCap {
        self.stop().expect("it leaves once")
    }

    fn stop(&mut self) -> Option<OwnedCap> {
        let thread = self.thread.take()?;
        *self.signal.leave.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.signal.left.notify_all();
        Some(thread.join().expect("its thread catches what panics"))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // Lifted, the cap would let this process have the whole total.
        std::mem::forget(self.stop());
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member")
            .field("limiter", &self.limiter.name())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

enum Chosen {
    None,
    #[cfg(feature = "redis")]
    Redis(String),
    Own(Box<dyn ShareStore>),
}

/// Starts a [`Member`]; from [`Member::builder`].
///
/// ```no_run
/// use std::time::Duration;
/// use grmgr::Limiter;
/// use grmgr_cluster::{LeaseClock, Member};
///
/// let db = Limiter::builder("db").ceiling(100).run_alone(false).clock(LeaseClock).build()?;
/// let member = Member::builder(db)
///     .redis("redis://cache.internal")
///     .pool("db")
///     .total(100)
///     .floor(1)
///     .max_members(20)
///     .ttl(Duration::from_secs(15))
///     .refresh(Duration::from_secs(5))
///     .timeout(Duration::from_millis(500)) // for each call
///     .max_lag(Duration::from_secs(4))     // the server's min-replicas-max-lag, and 2 s
///     .max_hold(Duration::from_secs(60))   // no work takes longer
///     .start()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a builder does nothing until `start`"]
pub struct Builder {
    limiter: Handle,
    store: Chosen,
    #[cfg(feature = "redis")]
    sentinel: Option<(String, Vec<String>)>,
    pool: Option<String>,
    total: u64,
    floor: u64,
    max_members: u64,
    ttl: Duration,
    refresh: Option<Duration>,
    #[cfg(feature = "redis")]
    timeout: Option<Duration>,
    max_lag: Duration,
    max_hold: Duration,
    any_clock: bool,
}

impl Builder {
    /// Sets the server: `redis://[user][:password@]host[:port][/database]`, `rediss://` for TLS.
    ///
    /// What it needs is said at [`RedisStore`](crate::RedisStore).
    #[cfg(feature = "redis")]
    pub fn redis(mut self, address: impl Into<String>) -> Self {
        self.store = Chosen::Redis(address.into());
        self
    }

    /// Sets Sentinels to ask for the server, and the name of its group.
    ///
    /// As [`RedisStore::sentinel`](crate::RedisStore::sentinel); goes with [`redis`](Self::redis).
    #[cfg(feature = "redis")]
    pub fn sentinel<S: Into<String>>(
        mut self,
        group: impl Into<String>,
        sentinels: impl IntoIterator<Item = S>,
    ) -> Self {
        self.sentinel = Some((group.into(), sentinels.into_iter().map(Into::into).collect()));
        self
    }

    /// Sets another store.
    pub fn store(mut self, store: impl ShareStore + 'static) -> Self {
        self.store = Chosen::Own(Box::new(store));
        self
    }

    /// Sets the name that all members of the pool have in common. Any text. Default: the limiter's name.
    pub fn pool(mut self, pool: impl Into<String>) -> Self {
        self.pool = Some(pool.into());
        self
    }

    /// Sets the total, which has to be given: 1 to [`Limiter::MAX_CEILING`].
    ///
    /// All members should be started with the same. If they are not, that of the member that joined last
    /// counts, and the others [warn](Warning::TermsDiffer).
    pub fn total(mut self, total: usize) -> Self {
        self.total = total as u64;
        self
    }

    /// Sets how many permits this process has without a lease. Default: 0.
    ///
    /// They are set aside for [`max_members`](Self::max_members), whether those are there or not.
    pub fn floor(mut self, floor: usize) -> Self {
        self.floor = floor as u64;
        self
    }

    /// Sets how many members a floor is set aside for. Has to be given with a floor.
    ///
    /// `floor` times this is at most the total. With more members than this, more than the total may be in
    /// force.
    pub fn max_members(mut self, max_members: usize) -> Self {
        self.max_members = max_members as u64;
        self
    }

    /// Sets for how long a lease is good. 100 ms to a day. Default: 15 s.
    ///
    /// It is how long the share of a process that was killed is lost to the others. The share ends a tenth
    /// of it earlier, for clocks that drift.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Sets how often the share is refreshed; at most half the `ttl`. Default: a third of it.
    pub fn refresh(mut self, refresh: Duration) -> Self {
        self.refresh = Some(refresh);
        self
    }

    /// Sets how long the server may take to connect, and to answer. Default: a tenth of `ttl`, at most 1 s.
    ///
    /// Looking up the server's name takes as long as the system lets it.
    #[cfg(feature = "redis")]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets within which time a primary that has lost its replicas stops answering. Default: 4 s.
    ///
    /// The server's `min-replicas-max-lag` and 2 s: it looks once a second, and counts whole ones. After a
    /// change of the server nobody grows for `ttl` and this. Zero if there are no replicas. At most a day.
    pub fn max_lag(mut self, max_lag: Duration) -> Self {
        self.max_lag = max_lag;
        self
    }

    /// Sets for how long work may go on when its lease is over. Default: zero. At most a day.
    ///
    /// What a member had whose lease has ended is kept for it so long.
    pub fn max_hold(mut self, max_hold: Duration) -> Self {
        self.max_hold = max_hold;
        self
    }

    /// Accepts a limiter with another clock than [`LeaseClock`].
    ///
    /// For tests with a [`ManualClock`](grmgr::ManualClock), and for machines that are never suspended: a
    /// limiter in a `static` has no clock of its own.
    pub fn any_clock(mut self) -> Self {
        self.any_clock = true;
        self
    }

    /// Caps the limiter at the floor and starts the member's thread.
    ///
    /// To be called before the limiter is used: what is in flight by then was not granted by the pool. It
    /// returns at once, whether the store can be reached or not: see [`Member::state`].
    ///
    /// # Errors
    ///
    /// A [`StartError`] that says what to do. The limiter is as it was then.
    pub fn start(self) -> Result<Member, StartError> {
        let (mut core, limiter) = self.core()?;
        let (board, signal) = (core.board(), Arc::new(Signal::default()));
        let seen = signal.clone();
        let name = limiter.clone();
        let run = move || {
            loop {
                // The limiter's clock, its wakers and a recorder of metrics are somebody else's.
                let wait = catch_unwind(AssertUnwindSafe(|| core.tick())).unwrap_or_else(|_| {
                    observe::panicked(name.name());
                    core.poll()
                });
                if seen.wait(wait) {
                    return core.leave();
                }
            }
        };
        let thread = thread::Builder::new().name("grmgr-cluster".into()).spawn(run);
        let thread = Some(thread.map_err(StartError::Thread)?);
        Ok(Member { limiter, board, signal, thread })
    }

    /// What the thread runs.
    pub(crate) fn core(self) -> Result<(Core, Handle), StartError> {
        let max = Limiter::MAX_CEILING as u64;
        let millis = |time: Duration| time.as_millis() as u64;
        let refresh = self.refresh.unwrap_or(self.ttl / 3);
        if !(1..=max).contains(&self.total) {
            return Err(StartError::Total { total: self.total });
        }
        let aside = self.floor.saturating_mul(self.max_members);
        if self.floor > 0 && (self.max_members == 0 || aside > self.total) {
            let Self { floor, max_members, total, .. } = self;
            return Err(StartError::Floor { floor, max_members, total });
        }
        if self.ttl < Duration::from_millis(100)
            || self.ttl.max(self.max_lag).max(self.max_hold) > LONGEST
            || refresh.is_zero()
            || refresh > self.ttl / 2
        {
            return Err(StartError::Times { ttl: self.ttl, refresh });
        }
        if self.limiter.runs_alone() {
            return Err(StartError::RunsAlone);
        }
        if !self.any_clock {
            let (before, its, after) = (LeaseClock.now(), self.limiter.now(), LeaseClock.now());
            if !its.is_some_and(|its| before <= its && its <= after) {
                return Err(StartError::Clock);
            }
        }
        let pool = self.pool.unwrap_or_else(|| self.limiter.name().to_owned());
        let store: Box<dyn ShareStore> = match self.store {
            Chosen::None => return Err(StartError::NoStore),
            Chosen::Own(store) => store,
            #[cfg(feature = "redis")]
            Chosen::Redis(address) => {
                let timeout = self.timeout.unwrap_or((self.ttl / 10).min(Duration::from_secs(1)));
                let invalid = |_| StartError::Address;
                let store = crate::RedisStore::new(&address).map_err(invalid)?.timeout(timeout);
                Box::new(match self.sentinel {
                    Some((group, sentinels)) => {
                        store.sentinel(&group, sentinels).map_err(invalid)?
                    }
                    None => store,
                })
            }
        };
        let terms = Terms {
            total: self.total,
            floor: self.floor,
            max_members: self.max_members,
            ttl: millis(self.ttl),
            max_hold: millis(self.max_hold),
            max_lag: millis(self.max_lag),
        };
        let limiter = self.limiter;
        let cap = limiter.cap_owned(CAUSE).map_err(StartError::Caps)?;
        let parts =
            Parts { cap, limiter: limiter.clone(), store, pool: pool.into(), terms, refresh };
        Ok((Core::new(parts), limiter))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the address: it may have a password.
        f.debug_struct("Builder")
            .field("limiter", &self.limiter.name())
            .field("pool", &self.pool)
            .field("total", &self.total)
            .field("floor", &self.floor)
            .field("max_members", &self.max_members)
            .field("ttl", &self.ttl)
            .field("refresh", &self.refresh)
            .finish_non_exhaustive()
    }
}

/// Why a member could not start.
///
/// ```
/// use grmgr::Limiter;
/// use grmgr_cluster::{Member, MemoryStore, StartError};
///
/// let db = Limiter::new("db", 20);
/// let error = Member::builder(db).store(MemoryStore::new()).total(20).start().unwrap_err();
/// assert!(matches!(error, StartError::RunsAlone));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// There is neither a server nor another store.
    NoStore,
    /// The server's address cannot be read. It is not shown: it may have a password.
    Address,
    /// The total is 0, was not given, or is above [`Limiter::MAX_CEILING`].
    Total {
        /// The total.
        total: u64,
    },
    /// There is a floor without `max_members`, or the floors of all are more than the total.
    Floor {
        /// The floor of each.
        floor: u64,
        /// How many have one.
        max_members: u64,
        /// The total.
        total: u64,
    },
    /// The times are out of range.
    Times {
        /// For how long a lease is good.
        ttl: Duration,
        /// How often it is refreshed.
        refresh: Duration,
    },
    /// On the limiter, a request above the share would run alone.
    RunsAlone,
    /// The limiter's clock is not [`LeaseClock`].
    Clock,
    /// The limiter has as many caps as it can have.
    Caps(TooManyCaps),
    /// The system has no thread for it.
    Thread(std::io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoStore => f.write_str("no store: call `redis` or `store`"),
            Self::Address => f.write_str(
                "the server's address cannot be read: it should be like redis://user:password@host:6379/0, \
                 or with rediss:// for TLS (feature `tls`)",
            ),
            Self::Total { total } => {
                write!(f, "a total of {total}: use 1 to {}", Limiter::MAX_CEILING)
            }
            Self::Floor { floor, max_members, total } => write!(
                f,
                "a floor of {floor} for {max_members} members of a total of {total}: give `max_members`, and \
                 floors that are no more than the total together"
            ),
            Self::Times { ttl, refresh } => write!(
                f,
                "a ttl of {ttl:?} and a refresh every {refresh:?}: the ttl is 100 ms to a day and at least two \
                 refreshes long; max_lag and max_hold are at most a day"
            ),
            Self::RunsAlone => f.write_str(
                "a request above the share would run alone: build the limiter with `run_alone(false)`",
            ),
            Self::Clock => f.write_str(
                "the limiter's clock may stand still while the machine is suspended: build it with \
                 `clock(LeaseClock)`, or start with `any_clock()`",
            ),
            Self::Caps(caps) => caps.fmt(f),
            Self::Thread(error) => write!(f, "no thread for the member: {error}"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Caps(caps) => Some(caps),
            Self::Thread(error) => Some(error),
            _ => None,
        }
    }
}
