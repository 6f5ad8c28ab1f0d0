//! The watcher that lowers ceilings while the CPU is overloaded, and gives back what it took.
//!
//! [`signal`] reads how the CPU is, [`rule`] judges it, [`steps`] acts. Only the thread puts them
//! together.

mod rule;
mod signal;
mod steps;
#[cfg(all(test, target_os = "linux"))]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use rule::Judge;
use signal::Signal;
use steps::Steps;

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
/// While it is overloaded, each poll lowers every limiter by one step, cause `pressure`; each
/// limiter's hold is respected, and those paused are left alone. Once it is clear, each poll
/// raises by one step those that were lowered, as far as pressure itself lowered them. What
/// somebody else has lowered meanwhile stays so, and nothing more is given back to that limiter;
/// what somebody else has raised is taken off. A signal that cannot be read moves nothing.
/// Ceilings that are still lowered when the monitor stops stay so.
///
/// ```
/// use std::time::Duration;
/// use grmgr_monitor::Pressure;
///
/// let pressure = Pressure::default().overload(60.0, 40.0).clear(10.0, Duration::from_secs(60));
/// ```
#[derive(Clone, Debug)]
#[must_use = "thresholds do nothing by themselves"]
pub struct Pressure {
    poll_every: Duration,
    throttled: f64,
    avg10: f64,
    avg60: f64,
    clear_avg10: f64,
    clear_for: Duration,
    dry_run: bool,
    root: PathBuf,
}

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
            root: "/".into(),
        }
    }
}

impl Pressure {
    /// How often to look, and so how often to step at most. Default: 2 s.
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

    /// Only logs what it would do: each step that it would make, by what it would have made of the
    /// ceiling so far. Default: no.
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
        if self.poll_every < Duration::from_millis(10) {
            return wrong("poll_every is 10 ms at least");
        }
        Ok(())
    }

    pub(crate) fn interval(&self) -> Duration {
        self.poll_every
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
pub(crate) struct Status {
    pub(crate) verdict: Verdict,
    pub(crate) dry_run: bool,
    pub(crate) signal: Result<signal::Reading, String>,
    /// Limiters that have something to get back; in a dry run, that would have.
    pub(crate) lowered: usize,
}

/// The watcher itself, without its thread.
#[derive(Debug)]
pub(crate) struct Watcher {
    config: Pressure,
    signal: Signal,
    judge: Judge,
    steps: Steps,
    /// Said once, until the signal is read again.
    told: bool,
    last: Verdict,
}

impl Watcher {
    pub(crate) fn new(config: Pressure, source: Source) -> Self {
        let signal = Signal::new(config.root.clone());
        let steps = Steps::new(source, config.dry_run);
        let (judge, last) = (Judge::default(), Verdict::Between);
        Self { config, signal, judge, steps, told: false, last }
    }

    /// Looks once, and steps if it must.
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
            Verdict::Overload => self.steps.down(now),
            Verdict::Clear => self.steps.up(now),
            Verdict::Between | Verdict::Unknown => self.steps.follow(),
        }
        Status { verdict, dry_run: self.config.dry_run, signal, lowered: self.steps.lowered() }
    }
}
