//! What is published of a limiter as it is, by every way.

use grmgr::Snapshot;

/// A name, what it says, and where to read it.
pub(crate) type Gauge = (&'static str, &'static str, fn(&Snapshot) -> usize);

pub(crate) const GAUGES: [Gauge; 9] = [
    ("limiter_in_flight", "Permits in flight.", |now| now.in_flight),
    ("limiter_ceiling", "The ceiling in force: the lowest of the setting and all caps.", |now| {
        now.ceiling
    }),
    ("limiter_setting", "The setting, which steps and absolute changes move.", |now| now.setting),
    ("limiter_ceiling_min", "The lowest setting.", |now| now.min),
    ("limiter_ceiling_max", "The highest setting.", |now| now.max),
    ("limiter_waiting", "Requests that wait.", |now| now.waiting),
    ("limiter_paused", "1 while it is paused.", |now| now.paused.into()),
    ("limiter_peak_in_flight", "The most permits that were ever in flight.", |now| {
        now.stats.peak_in_flight
    }),
    ("limiter_peak_waiting", "The most requests that ever waited.", |now| now.stats.peak_waiting),
];
