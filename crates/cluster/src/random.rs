//! Names and jitter, from the seeds of the standard library's hash maps.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

#[derive(Debug)]
pub(crate) struct Random {
    seed: RandomState,
    count: u64,
}

impl Random {
    pub(crate) fn new() -> Self {
        Self { seed: RandomState::new(), count: 0 }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.count += 1;
        // The process, for those that were forked.
        self.seed.hash_one((std::process::id(), self.count))
    }

    /// From 0 to below 1.
    pub(crate) fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}
