//! The watcher that lowers ceilings while the CPU is overloaded, and gives back what it took.
//!
//! [`signal`] reads how the CPU is, [`rule`] judges it, [`steps`] acts. Only the thread puts them
//! together.

mod rule;
mod signal;
mod steps;

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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use grmgr::{Limiter, Registry};
    use std::fs;
    use std::sync::Arc;

    struct Bench {
        root: tempfile::TempDir,
        limiter: Arc<Limiter>,
        watcher: Watcher,
        now: Duration,
    }

    impl Bench {
        fn new(with: impl FnOnce(Pressure) -> Pressure) -> Self {
            let root = tempfile::tempdir().unwrap();
            fs::create_dir_all(root.path().join("proc/pressure")).unwrap();
            let registry = Arc::new(Registry::new());
            let limiter = Limiter::builder("a").ceiling(10).hold(Duration::ZERO).build().unwrap();
            let limiter = registry.register(limiter).unwrap();
            let config = with(Pressure::default().root(root.path()));
            let watcher = Watcher::new(config, registry.into());
            Self { root, limiter, watcher, now: Duration::ZERO }
        }

        fn signal(&self, avg10: f64, avg60: f64) {
            let line = format!("some avg10={avg10} avg60={avg60} avg300=0.00 total=1\n");
            fs::write(self.root.path().join("proc/pressure/cpu"), line).unwrap();
        }

        /// So many polls, 2 s apart; the ceiling after them.
        fn poll(&mut self, polls: usize) -> usize {
            for _ in 0..polls {
                self.watcher.poll(self.now);
                self.now += Duration::from_secs(2);
            }
            self.limiter.ceiling()
        }
    }

    #[test]
    fn ceilings_fall_with_the_first_poll_and_come_back_to_where_they_were() {
        let mut bench = Bench::new(|pressure| pressure);
        bench.signal(10.0, 10.0);
        assert_eq!(bench.poll(3), 10);
        bench.signal(80.0, 30.0);
        assert_eq!(bench.poll(1), 8);
        assert_eq!(bench.poll(1), 6);
        bench.signal(30.0, 40.0);
        assert_eq!(bench.poll(20), 6, "neither overloaded nor clear");
        bench.signal(5.0, 30.0);
        assert_eq!(bench.poll(15), 6, "clear, but not for 30 s yet");
        assert_eq!(bench.poll(1), 7);
        assert_eq!(bench.poll(20), 10);
        assert!(bench.limiter.changes().iter().all(|change| change.cause == "pressure"));
    }

    #[test]
    fn without_a_signal_nothing_moves() {
        let mut bench = Bench::new(|pressure| pressure);
        bench.signal(80.0, 30.0);
        assert_eq!(bench.poll(1), 8);
        fs::remove_file(bench.root.path().join("proc/pressure/cpu")).unwrap();
        assert_eq!(bench.poll(100), 8);
        assert!(bench.watcher.told, "said once");
        bench.signal(1.0, 1.0);
        assert_eq!(bench.poll(15), 8);
        assert!(!bench.watcher.told);
        assert_eq!(bench.poll(10), 10);
    }

    #[test]
    fn a_dry_run_only_says_what_it_would_do() {
        let mut bench = Bench::new(|pressure| pressure.dry_run(true));
        bench.signal(80.0, 30.0);
        assert_eq!(bench.poll(10), 10);
        let status = bench.watcher.poll(bench.now);
        assert_eq!((status.verdict, status.lowered), (Verdict::Overload, 1));
        bench.signal(1.0, 1.0);
        assert_eq!(bench.poll(40), 10);
        assert!(bench.limiter.changes().is_empty());
        assert_eq!(bench.watcher.poll(bench.now).lowered, 0, "imagined to be given back");
    }

    #[test]
    fn thresholds_that_cannot_be_are_refused() {
        let wrong = |pressure: Pressure| pressure.check().unwrap_err().to_string();
        let pressure = Pressure::default;
        assert!(wrong(pressure().overload(140.0, 20.0)).contains("0 to 100"));
        assert!(wrong(pressure().overload(f64::NAN, 20.0)).contains("0 to 100"));
        assert!(wrong(pressure().clear(50.0, Duration::ZERO)).contains("cannot be clear above"));
        assert!(wrong(pressure().throttled(1.5)).contains("0 to 1"));
        assert!(wrong(pressure().poll_every(Duration::ZERO)).contains("10 ms at least"));
        assert!(pressure().check().is_ok());
    }
}
