//! What a member asks of the place where shares are kept, and what it is told.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Keeps the shares of a pool: a server, or the memory of this process.
///
/// The crate has two, [`RedisStore`](crate::RedisStore) and [`MemoryStore`](crate::MemoryStore). For
/// another kind of server the rules are those of the ledger that both keep: see the crate's `DESIGN.md`.
///
/// A store is used by one thread, that of its member. Each call should be over within a few seconds,
/// with an error if need be: while it lasts, the member can neither lower its share step by step nor
/// leave. (Its lease ends in time all the same.)
///
/// ```
/// use grmgr_cluster::{Answer, MemoryStore, Request, ShareStore, StoreError};
///
/// /// A store that is out of order every other time.
/// struct Flaky(MemoryStore, bool);
///
/// impl ShareStore for Flaky {
///     fn refresh(&mut self, request: &Request) -> Result<Answer, StoreError> {
///         self.1 = !self.1;
///         if self.1 { Err(StoreError::Unreachable("out of order".into())) } else { self.0.refresh(request) }
///     }
/// }
/// ```
pub trait ShareStore: Send {
    /// Takes the request into account and returns the share, in one step that nothing interrupts.
    ///
    /// # Errors
    ///
    /// A [`StoreError`]. The request may have been taken into account all the same.
    fn refresh(&mut self, request: &Request) -> Result<Answer, StoreError>;

    /// Returns what is known to be dangerous about the store. Asked for after each refresh.
    fn risk(&self) -> Option<Risk> {
        None
    }
}

impl<S: ShareStore + ?Sized> ShareStore for Box<S> {
    fn refresh(&mut self, request: &Request) -> Result<Answer, StoreError> {
        (**self).refresh(request)
    }

    fn risk(&self) -> Option<Risk> {
        (**self).risk()
    }
}

/// What all members of a pool should agree about. Times are in milliseconds.
///
/// ```
/// # use grmgr_cluster::Terms;
/// let terms = Terms { total: 100, floor: 1, max_members: 20, ttl: 15_000, max_hold: 0, max_lag: 2_000 };
/// assert_eq!(terms.to_lease(20), 80);
/// assert_eq!(terms.margin(), 1_500);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Terms {
    /// The permits there are.
    pub total: u64,
    /// The permits that each member has without a lease.
    pub floor: u64,
    /// For how many members a floor is set aside.
    pub max_members: u64,
    /// For how long a lease is good.
    pub ttl: u64,
    /// For how long work may go on after its lease has ended: what a lapsed member had is kept so long.
    pub max_hold: u64,
    /// Within which time a primary that has lost its replicas refuses to write.
    pub max_lag: u64,
}

impl Terms {
    /// Returns the permits that can be leased when there are so many members.
    pub fn to_lease(&self, members: u64) -> u64 {
        self.total.saturating_sub(self.floor.saturating_mul(self.max_members.max(members)))
    }

    /// Returns what clocks may be wrong by during one lease: a tenth of `ttl`.
    pub fn margin(&self) -> u64 {
        self.ttl / 10
    }
}

/// What a member tells the store. Permits are those above the floor, times are in milliseconds.
///
/// ```
/// # use grmgr_cluster::{MemoryStore, Request, ShareStore, Terms};
/// let terms = Terms { total: 10, floor: 0, max_members: 0, ttl: 15_000, max_hold: 0, max_lag: 0 };
/// let mut store = MemoryStore::new();
/// let answer = store.refresh(&Request::first("db", "member 1", 4, terms))?;
/// assert_eq!(answer.members, 1);
/// # Ok::<(), grmgr_cluster::StoreError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    /// The pool's name.
    pub pool: Arc<str>,
    /// The member's name, which no other has.
    pub member: Arc<str>,
    /// The number of the request, from 1. One that comes late, after its successor, is stale.
    pub seq: u64,
    /// The permits it could use.
    pub want: u64,
    /// The permits in flight.
    pub used: u64,
    /// The share in force, which the member does not raise before it has the answer.
    pub has: u64,
    /// How long the share in force lasts without an answer.
    pub left: u64,
    /// The server's time in the last answer; 0: there was none.
    pub seen: u64,
    /// The time since that answer came, by the member's clock.
    pub elapsed: u64,
    /// The time since the first answer of the present epoch came, by the member's clock.
    pub age: u64,
    /// The epoch of the last answer.
    pub epoch: u64,
    /// The terms of the last answer; before there was one, those that the member was started with.
    pub terms: Terms,
    /// When those terms were set, by the server's time; 0: this member brings them.
    pub since: u64,
    /// A random number.
    pub dice: u8,
    /// The member leaves.
    pub leaving: bool,
}

impl Request {
    /// Makes the request of a member that begins.
    pub fn first(pool: &str, member: &str, want: u64, terms: Terms) -> Self {
        Self {
            pool: pool.into(),
            member: member.into(),
            seq: 1,
            want,
            used: 0,
            has: 0,
            left: 0,
            seen: 0,
            elapsed: 0,
            age: 0,
            epoch: 0,
            terms,
            since: 0,
            dice: 255,
            leaving: false,
        }
    }
}

/// What the store tells a member. Permits are those above the floor, times are in milliseconds.
///
/// ```
/// # use grmgr_cluster::{MemoryStore, Request, ShareStore, Terms};
/// # let terms = Terms { total: 10, floor: 0, max_members: 0, ttl: 15_000, max_hold: 0, max_lag: 0 };
/// let mut store = MemoryStore::new();
/// let answer = store.refresh(&Request::first("db", "member 1", 4, terms))?;
/// // The store cannot know whether it is new or has lost all it knew: nobody grows for a while.
/// assert_eq!((answer.share, answer.quiet), (0, 15_000));
/// # Ok::<(), grmgr_cluster::StoreError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Answer {
    /// The share.
    pub share: u64,
    /// What it would be if nobody else had to shrink first.
    pub fair: u64,
    /// The members with a lease, this one among them.
    pub members: u64,
    /// The epoch: one more after each change of the server, of its clock or of what it knows.
    pub epoch: u64,
    /// For how long nobody's share grows.
    pub quiet: u64,
    /// The server's time.
    pub now: u64,
    /// The terms of the pool.
    pub terms: Terms,
    /// When those were set, by the server's time.
    pub since: u64,
}

/// Why the store has given no share.
///
/// The texts are for people. Passwords are in none of them.
///
/// ```
/// # use grmgr_cluster::StoreError;
/// let error = StoreError::TooOld("6.2.6".into());
/// assert_eq!(error.to_string(), "the server is of version 6.2.6: 7.0 or newer is needed");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// It cannot be reached, or has not answered in time.
    Unreachable(String),
    /// It does not accept the user, the password, or a command.
    Refused(String),
    /// It is older than 7.0.
    TooOld(String),
    /// It may not write: a replica, or a primary that has lost its replicas.
    ReadOnly(String),
    /// Its answer is not what was asked for.
    Garbage(String),
    /// The request came after a later one.
    Stale,
    /// The answer came when its lease was over.
    Late,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "the server cannot be reached: {why}"),
            Self::Refused(why) => write!(f, "the server refuses: {why}"),
            Self::TooOld(version) => {
                write!(f, "the server is of version {version}: 7.0 or newer is needed")
            }
            Self::ReadOnly(why) => write!(f, "the server may not write: {why}"),
            Self::Garbage(why) => write!(f, "the server's answer makes no sense: {why}"),
            Self::Stale => f.write_str("the request came after a later one"),
            Self::Late => f.write_str("the answer came when its lease was over"),
        }
    }
}

impl std::error::Error for StoreError {}

/// What is dangerous about a store that works.
///
/// ```
/// # use std::time::Duration;
/// # use grmgr_cluster::Risk;
/// let risk = Risk::Unguarded { max_lag: Duration::from_secs(2) };
/// assert!(risk.to_string().contains("min-replicas-to-write 1"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Risk {
    /// A primary that a replica has been promoted over goes on granting, to those that still reach it.
    Unguarded {
        /// What `min-replicas-max-lag` should be at most.
        max_lag: Duration,
    },
    /// The server does not tell whether it is guarded against that.
    Unknown,
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unguarded { max_lag } => write!(
                f,
                "the server has replicas, or is watched by Sentinel, and goes on granting after one of them \
                 has been promoted: up to twice the total may be in force then. Set `min-replicas-to-write 1` \
                 and `min-replicas-max-lag {}` on it and its replicas, and a `max_lag` of at least {} s on \
                 the members",
                max_lag.as_secs().max(1),
                max_lag.as_secs().max(1) + 2
            ),
            Self::Unknown => f.write_str(
                "the server does not tell its `min-replicas-to-write` (CONFIG GET, INFO replication): if it is \
                 0 and a replica is promoted while the old primary lives, up to twice the total may be in force",
            ),
        }
    }
}
