//! Reading how the CPU is.

/// How the CPU is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reading {
    /// Where it was read.
    pub(crate) source: &'static str,
    /// The share of the last 10 s in which some task waited for a CPU, in percent.
    pub(crate) avg10: f64,
    /// The same of the last 60 s.
    pub(crate) avg60: f64,
    /// The scheduler's periods so far, and those of them in which the control group was throttled.
    pub(crate) periods: Option<(u64, u64)>,
}

#[cfg(target_os = "linux")]
mod linux;
// On Linux only tried.
#[cfg(any(test, not(target_os = "linux")))]
mod portable;

#[cfg(target_os = "linux")]
pub(crate) use linux::Signal;
#[cfg(not(target_os = "linux"))]
pub(crate) use portable::Signal;
