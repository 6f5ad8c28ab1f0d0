//! asyncband's semaphore: first in, first out.

use std::future::Future;
use std::sync::Arc;

use ::asyncband::blocking::FutureExt;
use ::asyncband::semaphore::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use super::{AsyncPeer, BlockingPeer, Kind, Lower, OwnedPeer, Peer, Raise, Weighted};

/// `asyncband::semaphore::Semaphore`.
#[derive(Debug)]
pub struct Asyncband(Semaphore);

impl Peer for Asyncband {
    const NAME: &'static str = "asyncband";
    const KIND: Kind = Kind::Counted;
    type Permit<'a> = SemaphorePermit<'a>;

    fn new(ceiling: usize) -> Self {
        Self(Semaphore::new(ceiling))
    }
    #[inline]
    fn try_acquire(&self) -> Option<SemaphorePermit<'_>> {
        self.0.try_acquire(1)
    }
}

impl AsyncPeer for Asyncband {
    #[inline]
    fn acquire(&self) -> impl Future<Output = SemaphorePermit<'_>> + Send {
        self.0.acquire(1)
    }
    fn future_bytes(&self) -> usize {
        size_of_val(&self.0.acquire(1))
    }
}

impl Weighted for Asyncband {
    #[inline]
    fn acquire_many(&self, n: usize) -> impl Future<Output = SemaphorePermit<'_>> + Send {
        self.0.acquire(n)
    }
}

impl OwnedPeer for Asyncband {
    type Shared = Arc<Semaphore>;
    type OwnedPermit = OwnedSemaphorePermit;

    fn shared(ceiling: usize) -> Arc<Semaphore> {
        Arc::new(Semaphore::new(ceiling))
    }
    #[inline]
    fn try_acquire_owned(shared: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
        Arc::clone(shared).try_acquire_owned(1)
    }
    #[inline]
    fn acquire_owned(shared: &Arc<Semaphore>) -> impl Future<Output = OwnedSemaphorePermit> + Send {
        Arc::clone(shared).acquire_owned(1)
    }
}

impl BlockingPeer for Asyncband {
    #[inline]
    fn acquire_blocking(&self) -> SemaphorePermit<'_> {
        self.0.acquire(1).block_on()
    }
}

impl Raise for Asyncband {
    #[inline]
    fn raise(&self, by: usize) {
        self.0.release(by);
    }
}

impl Lower for Asyncband {
    #[inline]
    fn lower(&self, by: usize) {
        self.0.reduce_permits(by);
    }
}
