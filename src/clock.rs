//! Clocks: the time for holds, for the terms of caps, and for statistics.

use core::time::Duration;

use alloc::sync::Arc;

use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Tells the time, from an arbitrary origin, without ever going back.
///
/// The origin lies no more than 584 years (2^64 ns) ago: after that, holds no longer apply.
///
/// A limiter asks its clock before a setting is changed and when a snapshot is taken. While a cap has a
/// term ([`set_until`](crate::CapOf#method.set_until)) it asks before each grant and each change; with
/// feature `stats` also when a cap moves, and when a request begins to wait or has waited; if it tracks
/// its holders, whenever a permit is granted or given back. Otherwise a request that finds a permit asks
/// no clock. A clock that stands still only makes holds last; one that goes backwards makes them
/// longer. A clock may use the limiter, except for operations that ask the clock again.
///
/// A clock for tests that run in tokio's paused time:
///
/// ```
/// use std::time::Duration;
/// use grmgr::{Clock, Limiter};
/// use tokio::time::Instant;
///
/// struct TokioClock(Instant);
///
/// impl Clock for TokioClock {
///     fn now(&self) -> Duration {
///         self.0.elapsed()
///     }
/// }
///
/// let clock = TokioClock(Instant::now());
/// let limiter = Limiter::builder("db").ceiling(20).clock(clock).build()?;
/// # Ok::<(), grmgr::ConfigError>(())
/// ```
pub trait Clock: Send + Sync {
    /// Returns the time since the clock's origin.
    fn now(&self) -> Duration;
}

/// The system's monotonic clock, with its origin at the first use in this process.
///
/// ```
/// use grmgr::{Clock, SystemClock};
///
/// let before = SystemClock.now();
/// assert!(before <= SystemClock.now());
/// ```
#[cfg(feature = "std")]
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[cfg(feature = "std")]
impl Clock for SystemClock {
    fn now(&self) -> Duration {
        use std::{sync::OnceLock, time::Instant};
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        ORIGIN.get_or_init(Instant::now).elapsed()
    }
}

/// A clock that moves only when told to, for tests. Its clones show the same time.
///
/// ```
/// use core::time::Duration;
/// use grmgr::{Adjustment, Limiter, ManualClock};
///
/// let clock = ManualClock::new();
/// let limiter = Limiter::builder("db").ceiling(10).clock(clock.clone()).build().unwrap();
/// assert_eq!(limiter.down(), Adjustment::Changed { from: 10, to: 8 });
/// assert_eq!(limiter.down(), Adjustment::Held { remaining: Duration::from_secs(30) });
/// clock.advance(Duration::from_secs(30));
/// assert_eq!(limiter.down(), Adjustment::Changed { from: 8, to: 6 });
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock {
    nanos: Arc<AtomicU64>,
}

impl ManualClock {
    /// Makes a clock that stands at zero.
    pub fn new() -> Self {
        Self { nanos: Arc::new(AtomicU64::new(0)) }
    }

    /// Moves the clock forward by `by`, at most to its end, 2^64 - 1 ns (584 years).
    pub fn advance(&self, by: Duration) {
        // Relaxed: the time is all there is to see.
        let _ =
            self.nanos.fetch_update(Relaxed, Relaxed, |now| Some(now.saturating_add(nanos(by))));
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.nanos.load(Relaxed))
    }
}

/// A duration in whole nanoseconds, at most `u64::MAX` of them.
pub(crate) const fn nanos(duration: Duration) -> u64 {
    let nanos = duration.as_nanos();
    if nanos > u64::MAX as u128 { u64::MAX } else { nanos as u64 }
}
