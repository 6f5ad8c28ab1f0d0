//! The watcher that lowers ceilings while the CPU is overloaded, and gives back what it took.
//!
//! [`signal`] reads how the CPU is, [`rule`] judges it, [`squeeze`] acts. Only the thread puts them
//! together.

mod rule;
mod signal;
mod squeeze;
#[cfg(all(test, target_os = "linux"))]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use grmgr::Limiter;

use rule::Judge;
use signal::Signal;
use squeeze::Squeeze;

use crate::StartError;
use crate::source::Source;

/// When the CPU counts as overloaded, and when as clear again; for
/// [`Builder::pressure`](crate::Builder::pressure).
///
/// On Linux the signals are the pressure stall information of the process's own control group
/// (version 2), with the throttling it suffers, or else of the whole system: the share of time in
/// which some task waited for a CPU, as averages over 10 s and 60 s in percent. Elsewhere it is
/// the share of polls at which the CPU was more than 95 % busy.
///
/// While it is overloaded, each poll [caps](grmgr::Limiter::cap) every limiter one of its own steps
/// down lower, with the cause `pressure`; between two steps it waits as long as the limiter's holds
/// say. Once it is clear, each poll raises the caps by one step, until they are no lower than the
/// setting and go. The setting itself is never touched: what somebody sets or pauses meanwhile
/// stays as it is. A signal that cannot be read moves nothing. When the monitor stops, its caps go.
/// A limiter that is capped is kept alive by it.
///
/// ```
/// use std::time::Duration;
/// use grmgr_monitor::Pressure;
///
/// let pressure = Pressure::default().overload(60.0, 40.0).clear(10.0, Duration::from_secs(60));
/// ```
#[derive(Clone)]
#[must_use = "thresholds do nothing by themselves"]
pub struct Pressure {
    poll_every: Duration,
    throttled: f64,
    avg10: f64,
    avg60: f64,
    clear_avg10: f64,
    clear_for: Duration,
    dry_run: bool,
    floor: Option<usize>,
    only: Option<Only>,
    root: PathBuf,
}

type Only = Arc<dyn Fn(&Limiter) -> bool + Send + Sync>;

/// The cause of its caps.
pub(crate) const CAUSE: &str = "pressure";

impl Default for Pressure {
    fn default() -> Self {
        Self {
            poll_every: Duration::from_secs(2),
            throttled: 0.5,
            avg10: 40.0,
            avg60: 25.0,
            clear_avg10: 20.0,
            clear_for: Duration::from_secs(30),
            dry_run: false,
            floor: None,
            only: None,
            root: "/".into(),
        }
    }
}

impl Pressure {
    /// How often to read the signal, and so how often to step at most. Default: 2 s.
    pub fn poll_every(mut self, interval: Duration) -> Self {
        self.poll_every = interval;
        self
    }

    /// Overloaded above these averages over 10 s and 60 s, in percent, both of them, and while
    /// the first is not falling (below 0.85 of the last reading). Default: 40 and 25.
    pub fn overload(mut self, avg10: f64, avg60: f64) -> Self {
        (self.avg10, self.avg60) = (avg10, avg60);
        self
    }

    /// Overloaded also when the control group was throttled in more than this share (0 to 1) of
    /// the scheduler's periods since the last poll. Default: 0.5.
    pub fn throttled(mut self, share: f64) -> Self {
        self.throttled = share;
        self
    }

    /// Clear when the average over 10 s, in percent, has been below this for so long. Default: 20
    /// for 30 s.
    pub fn clear(mut self, avg10: f64, stays: Duration) -> Self {
        (self.clear_avg10, self.clear_for) = (avg10, stays);
        self
    }

    /// Never caps a limiter lower than this, 1 at least. Default: each limiter's `min`.
    pub fn floor(mut self, ceiling: usize) -> Self {
        self.floor = Some(ceiling);
        self
    }

    /// Touches only the limiters for which this holds. It is asked at each step down. Default: all.
    ///
    /// ```
    /// use grmgr_monitor::Pressure;
    ///
    /// let pressure = Pressure::default().only(|limiter| limiter.name() != "health checks");
    /// ```
    pub fn only(mut self, holds: impl Fn(&Limiter) -> bool + Send + Sync + 'static) -> Self {
        self.only = Some(Arc::new(holds));
        self
    }

    /// Caps nothing, and tells what it would do: in the log each step that it would make, on the
    /// dashboard the ceiling that there would be. Default: no.
    pub fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// Looks for `proc/` and `sys/` in this folder instead of `/`: for tests, and for containers
    /// that have the host's mounted elsewhere.
    pub fn root(mut self, folder: impl Into<PathBuf>) -> Self {
        self.root = folder.into();
        self
    }

    pub(crate) fn check(&self) -> Result<(), StartError> {
        let percent = |value: f64| (0.0..=100.0).contains(&value);
        let wrong = |reason| Err(StartError::Interval { option: "pressure", reason });
        if !(percent(self.avg10) && percent(self.avg60) && percent(self.clear_avg10)) {
            return wrong("averages are percentages: 0 to 100");
        }
        if self.clear_avg10 > self.avg10 {
            return wrong("it cannot be clear above the average at which it is overloaded");
        }
        if !(0.0..=1.0).contains(&self.throttled) {
            return wrong("the throttled share is 0 to 1");
        }
        if self.floor == Some(0) {
            return wrong("the floor is 1 at least: a cap of 0 stops everything");
        }
        if self.poll_every < Duration::from_millis(10) {
            return wrong("poll_every is 10 ms at least");
        }
        Ok(())
    }

    fn touches(&self, limiter: &Limiter) -> bool {
        self.only.as_ref().is_none_or(|only| only(limiter))
    }

    pub(crate) fn interval(&self) -> Duration {
        self.poll_every
    }
}

impl fmt::Debug for Pressure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pressure")
            .field("poll_every", &self.poll_every)
            .field("throttled", &self.throttled)
            .field("avg10", &self.avg10)
            .field("avg60", &self.avg60)
            .field("clear_avg10", &self.clear_avg10)
            .field("clear_for", &self.clear_for)
            .field("dry_run", &self.dry_run)
            .field("floor", &self.floor)
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

/// What the CPU is found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Overload,
    /// Neither: nothing moves.
    Between,
    Clear,
    /// The signal cannot be read: nothing moves.
    Unknown,
}

/// The last poll, for the dashboard.
#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "dashboard"), allow(dead_code, reason = "only for the dashboard"))]
pub(crate) struct Status {
    pub(crate) verdict: Verdict,
    pub(crate) dry_run: bool,
    pub(crate) signal: Result<signal::Reading, String>,
    /// Where the cap of each limiter stands that has one; in a dry run, where it would.
    pub(crate) caps: Arc<BTreeMap<String, usize>>,
}

/// The watcher itself, without its thread.
#[derive(Debug)]
pub(crate) struct Watcher {
    config: Pressure,
    signal: Signal,
    judge: Judge,
    squeeze: Squeeze,
    /// Said once, until the signal is read again.
    told: bool,
    last: Verdict,
}

impl Watcher {
    pub(crate) fn new(config: Pressure, source: Source) -> Self {
        let signal = Signal::new(config.root.clone());
        let squeeze = Squeeze::new(source);
        let (judge, last) = (Judge::default(), Verdict::Between);
        Self { config, signal, judge, squeeze, told: false, last }
    }

    /// Reads the signal once, and acts on it.
    pub(crate) fn poll(&mut self, now: Duration) -> Status {
        let signal = self.signal.read();
        match &signal {
            Err(reason) if !self.told => {
                tracing::warn!(%reason, "CPU pressure cannot be read: ceilings stay as they are");
                self.told = true;
            }
            Err(_) => {}
            Ok(_) => self.told = false,
        }
        let verdict = self.judge.judge(&self.config, signal.as_ref().ok(), now);
        if verdict != self.last {
            tracing::info!(?verdict, ?signal, "CPU pressure");
            self.last = verdict;
        }
        match verdict {
            Verdict::Overload => self.squeeze.down(&self.config, now),
            Verdict::Clear => self.squeeze.up(now),
            Verdict::Between | Verdict::Unknown => self.squeeze.follow(),
        }
        Status { verdict, dry_run: self.config.dry_run, signal, caps: self.squeeze.caps() }
    }
}
