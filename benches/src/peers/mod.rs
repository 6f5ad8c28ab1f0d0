//! The limiters compared, each behind the same traits through its own idiomatic API.
//!
//! A permit is always the peer's own guard, given back by dropping it; where a peer has no guard
//! (saa, and the two semaphores made of a mutex and a condition variable) the adapter brings the
//! guard its users write themselves. Every measured loop is generic over these traits and so
//! compiled once for each peer: no call through a `dyn` is timed.

mod async_lock;
mod asyncband;
mod condvar;
mod floor;
mod futures_intrusive;
mod grmgr;
mod maitake;
mod saa;
mod tokio;

pub use self::async_lock::AsyncLock;
pub use self::asyncband::Asyncband;
pub use self::condvar::{ParkingLot, Std};
pub use self::floor::{LeastFuture, NoLimiter, TwoRmws};
pub use self::futures_intrusive::FuturesIntrusive;
pub use self::grmgr::{Grmgr, GrmgrPatience1, GrmgrStats, GrmgrStrict};
pub use self::maitake::Maitake;
pub use self::saa::Saa;
pub use self::tokio::Tokio;

use std::future::Future;

/// How a peer enters the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// This crate.
    Ours,
    /// A peer that "no peer ahead" is about.
    Counted,
    /// Shown for information. async-lock's semaphore loses wake-ups: of two releases before the
    /// first waiter runs, the second notifies no waiter. Being fast that way does not count.
    Shown,
    /// Not a limiter: the least that the same work can cost.
    Floor,
}

/// A limiter under comparison.
pub trait Peer: Sized + Send + Sync + 'static {
    /// Column heading.
    const NAME: &'static str;
    /// How it enters the comparison.
    const KIND: Kind;
    /// The guard: dropping it gives the permit back.
    type Permit<'a>: Send
    where
        Self: 'a;

    /// Whether it can let `ceiling` in; rows with more leave it out.
    #[must_use]
    fn takes(ceiling: usize) -> bool {
        let _ = ceiling;
        true
    }
    /// How many operations to do where the others do `ops`, when most of them wait.
    #[must_use]
    fn waits(ops: u64) -> u64 {
        ops
    }
    /// A limiter that lets `ceiling` in.
    fn new(ceiling: usize) -> Self;
    /// A permit, if one is free.
    fn try_acquire(&self) -> Option<Self::Permit<'_>>;
}

/// A peer whose permits can be awaited.
pub trait AsyncPeer: Peer {
    /// Waits for a permit.
    fn acquire(&self) -> impl Future<Output = Self::Permit<'_>> + Send;
    /// Size of the peer's own future, without what the adapter wraps around it.
    fn future_bytes(&self) -> usize;
}

/// A peer that hands out several permits at once.
pub trait Weighted: AsyncPeer {
    /// Waits for `n` permits, to be given back together.
    fn acquire_many(&self, n: usize) -> impl Future<Output = Self::Permit<'_>> + Send;
}

/// A peer with permits that own a share of the limiter instead of borrowing it.
pub trait OwnedPeer: AsyncPeer {
    /// The shared handle that permits are taken from.
    type Shared: Send + Sync + 'static;
    /// The owning guard.
    type OwnedPermit: Send;

    /// A shared limiter that lets `ceiling` in.
    fn shared(ceiling: usize) -> Self::Shared;
    /// An owning permit, if one is free.
    fn try_acquire_owned(shared: &Self::Shared) -> Option<Self::OwnedPermit>;
    /// Waits for an owning permit.
    fn acquire_owned(shared: &Self::Shared) -> impl Future<Output = Self::OwnedPermit> + Send;
}

/// A peer that can block a thread until a permit is free.
pub trait BlockingPeer: Peer {
    /// Blocks the thread until a permit is free.
    fn acquire_blocking(&self) -> Self::Permit<'_>;
}

/// A peer whose number of permits can grow.
pub trait Raise: AsyncPeer {
    /// Like [`Peer::new`], with room for raises up to `max`.
    fn new_raisable(ceiling: usize, max: usize) -> Self {
        let _ = max;
        Self::new(ceiling)
    }
    /// Adds `by` permits.
    fn raise(&self, by: usize);
}

/// A peer whose number of permits can shrink as well.
pub trait Lower: Raise {
    /// Takes `by` permits away.
    fn lower(&self, by: usize);
}

/// Runs a block once for each peer of a list, with `$peer` standing for its type.
///
/// The lists: `tried` (everything with `try_acquire`, floors included), `awaited`, `weighted`,
/// `owned`, `blocking`, `raised`, `lowered`, `ours`. saa has weighted permits too, but at most 63.
#[macro_export]
macro_rules! each_peer {
    (tried, $peer:ident => $block:block) => {
        $crate::each_peer!(awaited, $peer => $block);
        $crate::each_peer!(@[Std, ParkingLot, TwoRmws], $peer => $block);
    };
    (awaited, $peer:ident => $block:block) => {
        $crate::each_peer!(
            @[
                Grmgr, GrmgrStrict, Tokio, Asyncband, FuturesIntrusive, Maitake, Saa, AsyncLock
            ],
            $peer => $block
        );
    };
    (weighted, $peer:ident => $block:block) => {
        $crate::each_peer!(
            @[Grmgr, GrmgrStrict, Tokio, Asyncband, FuturesIntrusive, Maitake],
            $peer => $block
        );
    };
    (owned, $peer:ident => $block:block) => {
        $crate::each_peer!(
            @[Grmgr, GrmgrStrict, Tokio, Asyncband, FuturesIntrusive, Maitake, AsyncLock],
            $peer => $block
        );
    };
    (blocking, $peer:ident => $block:block) => {
        $crate::each_peer!(
            @[Grmgr, GrmgrStrict, Tokio, Asyncband, Saa, AsyncLock, Std, ParkingLot],
            $peer => $block
        );
    };
    (raised, $peer:ident => $block:block) => {
        $crate::each_peer!(
            @[Grmgr, GrmgrStrict, Tokio, Asyncband, FuturesIntrusive, Maitake, AsyncLock],
            $peer => $block
        );
    };
    (lowered, $peer:ident => $block:block) => {
        $crate::each_peer!(@[Grmgr, GrmgrStrict, Tokio, Asyncband, Maitake], $peer => $block);
    };
    (ours, $peer:ident => $block:block) => {
        $crate::each_peer!(@[Grmgr, GrmgrStrict], $peer => $block);
    };
    (@[$($name:ident),+], $peer:ident => $block:block) => {
        $({
            type $peer = $crate::peers::$name;
            $block
        })+
    };
}
