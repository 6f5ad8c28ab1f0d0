//! What is measured: one module a theme, every function generic over the peer.

pub mod blocking;
pub mod cancel;
pub mod contended;
pub mod drops;
pub mod exec;
pub mod fairness;
pub mod hold;
pub mod memory;
pub mod mixed;
pub mod resize;
pub mod starvation;
pub mod threads;
pub mod uncontended;
pub mod wakeup;

use std::time::Duration;

/// How long a number of operations took.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    /// From the start of the first to the end of the last.
    pub elapsed: Duration,
    /// Operations done.
    pub ops: u64,
}

impl Took {
    /// Nanoseconds an operation.
    #[must_use]
    pub fn ns(self) -> f64 {
        self.elapsed.as_secs_f64() * 1e9 / self.ops as f64
    }

    /// The time `ops` operations would have taken, for criterion, which asks for exact counts.
    #[must_use]
    pub fn scaled_to(self, ops: u64) -> Duration {
        self.elapsed.mul_f64(ops as f64 / self.ops as f64)
    }
}
