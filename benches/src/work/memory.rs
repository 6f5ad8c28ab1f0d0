//! Bytes and allocations, counted.

use super::wakeup::must_wait_boxed;
use crate::alloc::counted;
use crate::peers::{AsyncPeer, Peer};

/// How many wait at once.
pub const WAITERS: usize = 1_000;

/// Bytes of one limiter: the struct itself, and the heap it takes before anyone waits.
pub fn limiter<P: Peer>() -> Vec<f64> {
    let (counts, _limiter) = counted(|| P::new(32));
    vec![size_of::<P>() as f64, counts.live_bytes as f64]
}

/// Bytes of one permit.
pub fn permit<P: Peer>() -> Vec<f64> {
    vec![size_of::<P::Permit<'_>>() as f64]
}

/// Of one waiter among a thousand: the bytes of its future, the heap it takes beside it, and the
/// allocations it makes. Last, the bytes of heap that the limiter keeps once they are gone.
pub fn waiter<P: AsyncPeer>() -> Vec<f64> {
    let limiter = P::new(1);
    let held = limiter.try_acquire();
    // The adapter's future may be wider than the peer's own, and its box is no limiter's doing.
    let boxed = size_of_val(&limiter.acquire()) as f64;
    let mut waiters = Vec::with_capacity(WAITERS);
    let (counts, ()) = counted(|| {
        waiters.extend((0..WAITERS).map(|_| must_wait_boxed(limiter.acquire())));
    });
    let (left, ()) = counted(|| drop(waiters));
    drop(held);
    // The vector was there before and is freed with the waiters.
    let vector = (WAITERS * size_of::<usize>()) as f64;
    let kept = counts.live_bytes as f64 + left.live_bytes as f64 + vector;
    let each = |total: f64| total / WAITERS as f64;
    vec![
        limiter.future_bytes() as f64,
        each(counts.live_bytes as f64) - boxed,
        each(counts.allocations as f64) - 1.0,
        kept,
    ]
}

/// Allocations of one acquire and drop while permits are free.
pub fn uncontended<P: AsyncPeer>() -> Vec<f64> {
    let limiter = P::new(32);
    let (counts, ()) = counted(|| {
        futures_lite::future::block_on(async {
            for _ in 0..WAITERS {
                drop(limiter.acquire().await);
            }
        });
    });
    vec![counts.allocations as f64 / WAITERS as f64]
}
