//! maitake-sync's semaphore: first in, first out, over its own spinlock.

use std::future::Future;
use std::sync::Arc;

use maitake_sync::Semaphore;
use maitake_sync::semaphore::{OwnedPermit, Permit};

use super::{AsyncPeer, Kind, Lower, OwnedPeer, Peer, Raise, Weighted};

const OPEN: &str = "no row closes the semaphore";

/// `maitake_sync::Semaphore`.
#[derive(Debug)]
pub struct Maitake(Semaphore);

impl Peer for Maitake {
    const NAME: &'static str = "maitake-sync";
    const KIND: Kind = Kind::Counted;
    type Permit<'a> = Permit<'a>;

    fn new(ceiling: usize) -> Self {
        Self(Semaphore::new(ceiling))
    }
    #[inline]
    fn try_acquire(&self) -> Option<Permit<'_>> {
        self.0.try_acquire(1).ok()
    }
}

impl AsyncPeer for Maitake {
    #[inline]
    async fn acquire(&self) -> Permit<'_> {
        self.0.acquire(1).await.expect(OPEN)
    }
    fn future_bytes(&self) -> usize {
        size_of_val(&self.0.acquire(1))
    }
}

impl Weighted for Maitake {
    #[inline]
    async fn acquire_many(&self, n: usize) -> Permit<'_> {
        self.0.acquire(n).await.expect(OPEN)
    }
}

impl OwnedPeer for Maitake {
    type Shared = Arc<Semaphore>;
    type OwnedPermit = OwnedPermit;

    fn shared(ceiling: usize) -> Arc<Semaphore> {
        Arc::new(Semaphore::new(ceiling))
    }
    #[inline]
    fn try_acquire_owned(shared: &Arc<Semaphore>) -> Option<OwnedPermit> {
        shared.try_acquire_owned(1).ok()
    }
    #[inline]
    fn acquire_owned(shared: &Arc<Semaphore>) -> impl Future<Output = OwnedPermit> + Send {
        let future = shared.acquire_owned(1);
        async move { future.await.expect(OPEN) }
    }
}

impl Raise for Maitake {
    #[inline]
    fn raise(&self, by: usize) {
        self.0.add_permits(by);
    }
}

impl Lower for Maitake {
    /// Forgetting a permit is how its documentation says to shrink the semaphore.
    #[inline]
    fn lower(&self, by: usize) {
        if let Ok(permit) = self.0.try_acquire(by) {
            permit.forget();
        }
    }
}
