//! async-lock's semaphore: notify and retry on event-listener. Shown, not counted.

use std::future::Future;
use std::sync::Arc;

use ::async_lock::{Semaphore, SemaphoreGuard, SemaphoreGuardArc};

use super::{AsyncPeer, BlockingPeer, Kind, OwnedPeer, Peer, Raise};

/// `async_lock::Semaphore`.
#[derive(Debug)]
pub struct AsyncLock(Semaphore);

impl Peer for AsyncLock {
    const NAME: &'static str = "async-lock";
    const KIND: Kind = Kind::Shown;
    type Permit<'a> = SemaphoreGuard<'a>;

    fn new(ceiling: usize) -> Self {
        Self(Semaphore::new(ceiling))
    }
    #[inline]
    fn try_acquire(&self) -> Option<SemaphoreGuard<'_>> {
        self.0.try_acquire()
    }
}

impl AsyncPeer for AsyncLock {
    #[inline]
    fn acquire(&self) -> impl Future<Output = SemaphoreGuard<'_>> + Send {
        self.0.acquire()
    }
    fn future_bytes(&self) -> usize {
        size_of_val(&self.0.acquire())
    }
}

impl OwnedPeer for AsyncLock {
    type Shared = Arc<Semaphore>;
    type OwnedPermit = SemaphoreGuardArc;

    fn shared(ceiling: usize) -> Arc<Semaphore> {
        Arc::new(Semaphore::new(ceiling))
    }
    #[inline]
    fn try_acquire_owned(shared: &Arc<Semaphore>) -> Option<SemaphoreGuardArc> {
        shared.try_acquire_arc()
    }
    #[inline]
    fn acquire_owned(shared: &Arc<Semaphore>) -> impl Future<Output = SemaphoreGuardArc> + Send {
        shared.acquire_arc()
    }
}

impl BlockingPeer for AsyncLock {
    #[inline]
    fn acquire_blocking(&self) -> SemaphoreGuard<'_> {
        self.0.acquire_blocking()
    }
}

impl Raise for AsyncLock {
    #[inline]
    fn raise(&self, by: usize) {
        self.0.add_permits(by);
    }
}
