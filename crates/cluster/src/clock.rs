//! The clock by which leases end.

use std::time::Duration;

use grmgr::Clock;

/// The clock of a limiter whose ceiling is leased: it goes on while the machine is suspended.
///
/// [`grmgr::SystemClock`] stands still then on Linux, and a lease would seem to last for as much longer.
/// On Linux and Android this is `CLOCK_BOOTTIME`. Elsewhere it is `SystemClock`: on Windows that goes on
/// as well, on macOS and the BSDs it may not.
///
/// ```
/// use grmgr::Limiter;
/// use grmgr_cluster::LeaseClock;
///
/// let db = Limiter::builder("db").ceiling(100).run_alone(false).clock(LeaseClock).build()?;
/// # Ok::<(), grmgr::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct LeaseClock;

impl Clock for LeaseClock {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn now(&self) -> Duration {
        use rustix::time::{ClockId, clock_gettime};
        let time = clock_gettime(ClockId::Boottime);
        // Never negative: it begins at 0.
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn now(&self) -> Duration {
        grmgr::SystemClock.now()
    }
}
