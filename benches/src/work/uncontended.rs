//! Acquire and drop while permits are free: one thread, then two that share the word.

use futures_lite::future::block_on;

use super::threads::together;
use super::{Took, exec::timed};
use crate::peers::{AsyncPeer, OwnedPeer, Peer};

/// High enough that it is never reached, low enough for every peer.
const CEILING: usize = 32;

#[inline]
fn try_loop<P: Peer>(limiter: &P, ops: u64) {
    for _ in 0..ops {
        match limiter.try_acquire() {
            Some(permit) => drop(permit),
            None => unreachable!("the ceiling is not reached"),
        }
    }
}

#[inline]
async fn acquire_loop<P: AsyncPeer>(limiter: &P, ops: u64) {
    for _ in 0..ops {
        drop(limiter.acquire().await);
    }
}

/// `try_acquire` and drop.
pub fn try_acquire<P: Peer>(ops: u64) -> Took {
    let limiter = P::new(CEILING);
    timed(ops, || try_loop(&limiter, ops))
}

/// `acquire().await` and drop, on a bare `block_on`.
pub fn acquire<P: AsyncPeer>(ops: u64) -> Took {
    let limiter = P::new(CEILING);
    timed(ops, || block_on(acquire_loop(&limiter, ops)))
}

/// `try_acquire` of an owning permit, and drop.
pub fn try_acquire_owned<P: OwnedPeer>(ops: u64) -> Took {
    let shared = P::shared(CEILING);
    timed(ops, || {
        for _ in 0..ops {
            match P::try_acquire_owned(&shared) {
                Some(permit) => drop(permit),
                None => unreachable!("the ceiling is not reached"),
            }
        }
    })
}

/// `acquire().await` of an owning permit, and drop.
pub fn acquire_owned<P: OwnedPeer>(ops: u64) -> Took {
    let shared = P::shared(CEILING);
    timed(ops, || {
        block_on(async {
            for _ in 0..ops {
                drop(P::acquire_owned(&shared).await);
            }
        });
    })
}

/// Two threads in a tight loop of `try_acquire` and drop.
pub fn two_threads_try<P: Peer>(ops: u64) -> Took {
    let limiter = P::new(CEILING);
    let elapsed = together(2, || try_loop(&limiter, ops / 2));
    Took { elapsed, ops }
}

/// Two threads in a tight loop of `acquire().await` and drop.
pub fn two_threads_acquire<P: AsyncPeer>(ops: u64) -> Took {
    let limiter = P::new(CEILING);
    let elapsed = together(2, || block_on(acquire_loop(&limiter, ops / 2)));
    Took { elapsed, ops }
}
