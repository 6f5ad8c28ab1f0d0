//! Names and jitter.

/// Numbers by splitmix64: spread well enough that members do not keep step.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// Seeded by the standard library's hash maps, which ask the system.
    #[cfg(not(test))]
    pub(crate) fn new() -> Self {
        use std::hash::{BuildHasher, RandomState};
        // The process and the time, for those that were forked.
        Self(RandomState::new().hash_one((std::process::id(), std::time::Instant::now())))
    }

    /// In tests the same in each run, and another each time.
    #[cfg(test)]
    pub(crate) fn new() -> Self {
        std::thread_local! {
            static SEEDS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
        }
        SEEDS.set(SEEDS.get() + 1);
        Self(SEEDS.get() << 32)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to below 1.
    pub(crate) fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}
