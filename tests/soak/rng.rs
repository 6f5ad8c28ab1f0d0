//! Random choices that a seed repeats.

use std::time::Duration;

/// A xorshift generator: small, and good enough to choose by.
pub(crate) struct Rng(u64);

impl Rng {
    /// The generator of one worker. Neighbouring numbers give unlike sequences.
    pub(crate) fn new(seed: u64, worker: u64) -> Self {
        let mixed =
            (seed ^ worker.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        // A xorshift generator never leaves 0.
        Self((mixed ^ mixed >> 31) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 16
    }

    /// 0 to `n - 1`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// Up to so many microseconds; now and then none at all.
    pub(crate) fn micros(&mut self, most: usize) -> Duration {
        if self.one_in(8) {
            return Duration::ZERO;
        }
        Duration::from_micros(self.below(most + 1) as u64)
    }

    /// A generator for another task.
    pub(crate) fn fork(&mut self) -> Self {
        Self::new(self.next(), 0)
    }
}
