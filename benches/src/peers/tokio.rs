//! tokio's semaphore: first in, first out.

use std::future::Future;
use std::sync::Arc;

use ::tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use super::{AsyncPeer, BlockingPeer, Kind, Lower, OwnedPeer, Peer, Raise, Weighted};

const OPEN: &str = "no row closes the semaphore";

/// `tokio::sync::Semaphore`.
#[derive(Debug)]
pub struct Tokio(Semaphore);

impl Peer for Tokio {
    const NAME: &'static str = "tokio";
    const KIND: Kind = Kind::Counted;
    type Permit<'a> = SemaphorePermit<'a>;

    fn new(ceiling: usize) -> Self {
        Self(Semaphore::new(ceiling))
    }
    #[inline]
    fn try_acquire(&self) -> Option<SemaphorePermit<'_>> {
        self.0.try_acquire().ok()
    }
}

impl AsyncPeer for Tokio {
    #[inline]
    async fn acquire(&self) -> SemaphorePermit<'_> {
        self.0.acquire().await.expect(OPEN)
    }
    fn future_bytes(&self) -> usize {
        size_of_val(&self.0.acquire())
    }
}

impl Weighted for Tokio {
    #[inline]
    async fn acquire_many(&self, n: usize) -> SemaphorePermit<'_> {
        self.0.acquire_many(u32::try_from(n).expect("a small request")).await.expect(OPEN)
    }
}

impl OwnedPeer for Tokio {
    type Shared = Arc<Semaphore>;
    type OwnedPermit = OwnedSemaphorePermit;

    fn shared(ceiling: usize) -> Arc<Semaphore> {
        Arc::new(Semaphore::new(ceiling))
    }
    #[inline]
    fn try_acquire_owned(shared: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
        Arc::clone(shared).try_acquire_owned().ok()
    }
    #[inline]
    fn acquire_owned(shared: &Arc<Semaphore>) -> impl Future<Output = OwnedSemaphorePermit> + Send {
        let shared = Arc::clone(shared);
        async move { shared.acquire_owned().await.expect(OPEN) }
    }
}

impl BlockingPeer for Tokio {
    #[inline]
    fn acquire_blocking(&self) -> SemaphorePermit<'_> {
        self.0.blocking_acquire().expect(OPEN)
    }
}

impl Raise for Tokio {
    #[inline]
    fn raise(&self, by: usize) {
        self.0.add_permits(by);
    }
}

impl Lower for Tokio {
    #[inline]
    fn lower(&self, by: usize) {
        self.0.forget_permits(by);
    }
}
