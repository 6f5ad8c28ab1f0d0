//! Time, as the monitor knows it.

use std::time::{Duration, Instant, SystemTime};

/// One moment, by two clocks: intervals and windows go by the monotonic one, what is written
/// down by the calendar.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// Since the monitor was started; never goes backwards.
    pub(crate) elapsed: Duration,
    /// Milliseconds since 1970.
    pub(crate) unix_ms: i64,
}

impl Moment {
    pub(crate) fn since(start: Instant) -> Self {
        Self { elapsed: start.elapsed(), unix_ms: unix_ms() }
    }

    #[cfg(test)]
    pub(crate) fn at(elapsed: Duration) -> Self {
        Self { elapsed, unix_ms: 1_700_000_000_000 + elapsed.as_millis() as i64 }
    }
}

/// Milliseconds since 1970 by the system's clock; 0 if that stands before.
pub(crate) fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
