//! Plain threads that block for a permit.

use std::thread;

use super::Took;
use super::threads::together;
use crate::peers::BlockingPeer;

/// What a thread does with its permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Gives it back at once: the threads seldom meet.
    Nothing,
    /// Yields its time slice first: the others run and find the limiter full.
    Yield,
}

/// About `ops` operations, shared evenly among the threads.
pub fn run<P: BlockingPeer>(threads: usize, ceiling: usize, hold: Hold, ops: u64) -> Took {
    let limiter = P::new(ceiling);
    let per_thread = (ops / threads as u64).max(1);
    let elapsed = together(threads, || {
        for _ in 0..per_thread {
            let permit = limiter.acquire_blocking();
            if hold == Hold::Yield {
                thread::yield_now();
            }
            drop(permit);
        }
    });
    Took { elapsed, ops: per_thread * threads as u64 }
}
