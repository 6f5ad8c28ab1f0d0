//! What can be read off a member.

use std::fmt;
use std::time::Duration;

use crate::{Risk, StoreError, Terms};

/// Whether a member has a lease. Times are those of the limiter's clock ([`grmgr::Limiter::now`]).
///
/// ```
/// # use std::time::Duration;
/// use grmgr_cluster::{State, Why};
///
/// let state = State::Alone { since: Duration::ZERO, why: Why::Starting, floor: 2 };
/// assert_eq!(state.to_string(), "alone at 2: no answer yet");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// It has a share of the total.
    Leased {
        /// The permits that this process may have in flight, the floor among them.
        share: u64,
        /// The permits of the whole pool.
        total: u64,
        /// The members with a lease.
        members: u64,
        /// The epoch: one more after each change of the server, of its clock or of what it knows.
        epoch: u64,
        /// When the lease ends if it is not refreshed.
        until: Duration,
    },
    /// It has no lease and runs at its floor.
    Alone {
        /// Since when.
        since: Duration,
        /// Why.
        why: Why,
        /// The floor.
        floor: u64,
    },
}

/// Why a member is alone.
///
/// ```
/// # use grmgr_cluster::{StoreError, Why};
/// let why = Why::Store(StoreError::Refused("WRONGPASS".into()));
/// assert_eq!(why.to_string(), "the server refuses: WRONGPASS");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// It has just started.
    Starting,
    /// The store has given no share in time, and this is what it said last.
    Store(StoreError),
    /// The lease has ended and nothing has been tried since: the process was stopped, for instance.
    Lapsed,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting => f.write_str("no answer yet"),
            Self::Store(error) => error.fmt(f),
            Self::Lapsed => f.write_str("the lease has ended"),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leased { share, total, members, .. } => {
                write!(f, "{share} of {total}, {members} members")
            }
            Self::Alone { why, floor, .. } => write!(f, "alone at {floor}: {why}"),
        }
    }
}

/// What is not as it should be though there is a lease. From [`Member::warnings`](crate::Member::warnings).
///
/// ```
/// # use grmgr_cluster::{StoreError, Warning};
/// let warning = Warning::NotRefreshed(StoreError::Unreachable("timed out".into()));
/// assert!(warning.to_string().contains("timed out"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// The last refresh has failed. The share ramps down to the floor before the lease ends.
    NotRefreshed(StoreError),
    /// Other members were started with other terms after this one, and those count.
    TermsDiffer {
        /// What this member was started with.
        own: Terms,
        /// What the pool goes by.
        pool: Terms,
    },
    /// There are more members than floors were set aside for: those of the others come out of what is leased.
    TooManyMembers {
        /// The members there are.
        members: u64,
        /// The members that a floor is set aside for.
        max_members: u64,
    },
    /// The store is dangerous.
    Risk(Risk),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRefreshed(error) => write!(f, "the share could not be refreshed: {error}"),
            Self::TermsDiffer { own, pool } => write!(
                f,
                "members of the pool were started with different terms; the newest count: total {} \
                 (floor {} for {}, ttl {} ms) instead of {} (floor {} for {}, ttl {} ms)",
                pool.total,
                pool.floor,
                pool.max_members,
                pool.ttl,
                own.total,
                own.floor,
                own.max_members,
                own.ttl
            ),
            Self::TooManyMembers { members, max_members } => write!(
                f,
                "there are {members} members, and floors are set aside for {max_members}: raise max_members"
            ),
            Self::Risk(risk) => risk.fmt(f),
        }
    }
}
