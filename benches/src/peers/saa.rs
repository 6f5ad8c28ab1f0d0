//! saa's semaphore: one word, at most 63 permits, released by hand.

use ::saa::Semaphore;

use super::{AsyncPeer, BlockingPeer, Kind, Peer};

/// `saa::Semaphore`.
#[derive(Debug)]
pub struct Saa(Semaphore);

/// saa has no guard; this is the one its users write.
#[derive(Debug)]
pub struct SaaPermit<'a>(&'a Semaphore);

impl Drop for SaaPermit<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.release();
    }
}

impl Peer for Saa {
    const NAME: &'static str = "saa";
    const KIND: Kind = Kind::Counted;
    type Permit<'a> = SaaPermit<'a>;

    fn takes(ceiling: usize) -> bool {
        ceiling <= Semaphore::MAX_PERMITS
    }
    /// saa spins for 32 µs before a waiter sleeps, be it a thread or a task: at the full count one
    /// cell would take ten seconds.
    fn waits(ops: u64) -> u64 {
        (ops / 100).max(64)
    }
    fn new(ceiling: usize) -> Self {
        Self(Semaphore::with_permits(ceiling))
    }
    #[inline]
    fn try_acquire(&self) -> Option<SaaPermit<'_>> {
        self.0.try_acquire().then(|| SaaPermit(&self.0))
    }
}

impl AsyncPeer for Saa {
    #[inline]
    async fn acquire(&self) -> SaaPermit<'_> {
        self.0.acquire_async().await;
        SaaPermit(&self.0)
    }
    fn future_bytes(&self) -> usize {
        size_of_val(&self.0.acquire_async())
    }
}

impl BlockingPeer for Saa {
    #[inline]
    fn acquire_blocking(&self) -> SaaPermit<'_> {
        self.0.acquire_sync();
        SaaPermit(&self.0)
    }
}
