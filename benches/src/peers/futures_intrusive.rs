//! futures-intrusive's semaphore in its fair mode, over parking_lot's mutex.

use std::future::Future;

use ::futures_intrusive::sync::{
    Semaphore, SemaphoreReleaser, SharedSemaphore, SharedSemaphoreReleaser,
};

use super::{AsyncPeer, Kind, OwnedPeer, Peer, Raise, Weighted};

/// The unfair mode wakes every waiter it has a permit for and lets them race; the fair mode is the
/// one that keeps the promises the other peers keep.
const FAIR: bool = true;

/// `futures_intrusive::sync::Semaphore`, fair.
#[derive(Debug)]
pub struct FuturesIntrusive(Semaphore);

impl Peer for FuturesIntrusive {
    const NAME: &'static str = "futures-intrusive";
    const KIND: Kind = Kind::Counted;
    type Permit<'a> = SemaphoreReleaser<'a>;

    fn new(ceiling: usize) -> Self {
        Self(Semaphore::new(FAIR, ceiling))
    }
    #[inline]
    fn try_acquire(&self) -> Option<SemaphoreReleaser<'_>> {
        self.0.try_acquire(1)
    }
}

impl AsyncPeer for FuturesIntrusive {
    #[inline]
    fn acquire(&self) -> impl Future<Output = SemaphoreReleaser<'_>> + Send {
        self.0.acquire(1)
    }
    fn future_bytes(&self) -> usize {
        size_of_val(&self.0.acquire(1))
    }
}

impl Weighted for FuturesIntrusive {
    #[inline]
    fn acquire_many(&self, n: usize) -> impl Future<Output = SemaphoreReleaser<'_>> + Send {
        self.0.acquire(n)
    }
}

impl OwnedPeer for FuturesIntrusive {
    type Shared = SharedSemaphore;
    type OwnedPermit = SharedSemaphoreReleaser;

    fn shared(ceiling: usize) -> SharedSemaphore {
        SharedSemaphore::new(FAIR, ceiling)
    }
    #[inline]
    fn try_acquire_owned(shared: &SharedSemaphore) -> Option<SharedSemaphoreReleaser> {
        shared.try_acquire(1)
    }
    #[inline]
    fn acquire_owned(
        shared: &SharedSemaphore,
    ) -> impl Future<Output = SharedSemaphoreReleaser> + Send {
        shared.acquire(1)
    }
}

impl Raise for FuturesIntrusive {
    #[inline]
    fn raise(&self, by: usize) {
        self.0.release(by);
    }
}
