//! Requests of different sizes in one line, through the work of [`hold`](super::hold).

use std::future::Future;

use super::hold::Ask;
use crate::peers::Weighted;

/// Which task asks for how many permits: by its number, so the same for every peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// One in so many asks for two permits, the others for one. It is the last of each stretch of
    /// that length: the very last in line is a large one too.
    TwoOneIn(usize),
    /// As many tasks of each size from 1 to 64, the sizes in no order.
    UpTo64,
}

const LARGEST: usize = 64;
/// Odd, so that its multiples go through all remainders of 64.
const STRIDE: usize = 37;

impl Mix {
    /// All mixes of the comparison.
    pub const ALL: [Self; 4] =
        [Self::TwoOneIn(1_000), Self::TwoOneIn(200), Self::TwoOneIn(20), Self::UpTo64];

    /// For row names.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::TwoOneIn(stretch) => format!("{} in 1000 ask for 2", 1_000 / stretch),
            Self::UpTo64 => format!("sizes 1 to {LARGEST}"),
        }
    }

    /// How many permits this task asks for.
    #[must_use]
    pub fn size(self, task: usize) -> usize {
        match self {
            Self::TwoOneIn(stretch) => 1 + usize::from(task % stretch == stretch - 1),
            Self::UpTo64 => 1 + task.wrapping_mul(STRIDE) % LARGEST,
        }
    }

    /// How many permits a request is for on average.
    #[must_use]
    pub fn mean(self) -> f64 {
        match self {
            Self::TwoOneIn(stretch) => 1.0 + 1.0 / stretch as f64,
            Self::UpTo64 => (1 + LARGEST) as f64 / 2.0,
        }
    }
}

impl<P: Weighted> Ask<P> for Mix {
    fn ask(self, limiter: &P, task: usize) -> impl Future<Output = P::Permit<'_>> + Send {
        limiter.acquire_many(self.size(task))
    }
}

#[cfg(test)]
mod tests {
    use super::Mix;

    #[test]
    fn sizes_are_as_frequent_as_the_name_says() {
        for (mix, large) in Mix::ALL.into_iter().zip([1, 5, 50]) {
            let twos: Vec<usize> = (0..1_000).filter(|&task| mix.size(task) == 2).collect();
            let ones = (0..1_000).filter(|&task| mix.size(task) == 1).count();
            assert_eq!((twos.len(), ones), (large, 1_000 - large));
            assert_eq!(twos.last(), Some(&999), "the last in line is large");
            assert!(mix.name().starts_with(&format!("{large} in 1000")));
        }
        let mut sizes: Vec<usize> = (0..64).map(|task| Mix::UpTo64.size(task)).collect();
        sizes.sort_unstable();
        assert!(sizes.into_iter().eq(1..=64));
    }

    #[test]
    fn the_mean_is_that_of_the_sizes() {
        for mix in Mix::ALL {
            let tasks = 64_000;
            let all: usize = (0..tasks).map(|task| mix.size(task)).sum();
            assert_eq!(all as f64 / tasks as f64, mix.mean());
        }
    }
}
