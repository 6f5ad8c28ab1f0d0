//! Where Linux's files are not: the CPU's load.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use sysinfo::{CpuRefreshKind, RefreshKind, System};

use super::Reading;

/// Above this the CPU counts as one that is waited for.
const BUSY: f32 = 95.0;

/// The CPU's load by `sysinfo`, as the share of polls at which it was busy.
#[derive(Debug)]
pub(crate) struct Signal {
    system: System,
    last: Instant,
    busy: Busy,
}

/// The share of time in which the CPU was busy, in percent, over about 10 s and 60 s.
#[derive(Debug, Default)]
struct Busy {
    avg10: f64,
    avg60: f64,
}

impl Busy {
    fn add(&mut self, busy: bool, passed: Duration) {
        let now = if busy { 100.0 } else { 0.0 };
        for (average, span) in [(&mut self.avg10, 10.0), (&mut self.avg60, 60.0)] {
            *average += (now - *average) * (1.0 - (-passed.as_secs_f64() / span).exp());
        }
    }
}

impl Signal {
    pub(crate) fn new(_: PathBuf) -> Self {
        let cpu = RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing().with_cpu_usage());
        let mut system = System::new_with_specifics(cpu);
        // Load is what has happened between two looks; this is the first.
        system.refresh_cpu_usage();
        Self { system, last: Instant::now(), busy: Busy::default() }
    }

    pub(crate) fn read(&mut self) -> Result<Reading, String> {
        self.system.refresh_cpu_usage();
        let passed = self.last.elapsed();
        self.last += passed;
        self.busy.add(self.system.global_cpu_usage() > BUSY, passed);
        let Busy { avg10, avg60 } = self.busy;
        Ok(Reading { source: "CPU load", avg10, avg60, periods: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pressure;
    use crate::pressure::Verdict;
    use crate::pressure::rule::Judge;

    /// Polls every 2 s, the CPU busy or not; when the verdict comes.
    fn until(busy: &mut Busy, judge: &mut Judge, now: &mut u64, is: bool, verdict: Verdict) -> u64 {
        let began = *now;
        loop {
            busy.add(is, Duration::from_secs(2));
            let Busy { avg10, avg60 } = *busy;
            let reading = Reading { source: "test", avg10, avg60, periods: None };
            let judged =
                judge.judge(&Pressure::default(), Some(&reading), Duration::from_secs(*now));
            *now += 2;
            if judged == verdict {
                return *now - began;
            }
            assert!(*now - began < 300, "never {verdict:?}: {reading:?}");
        }
    }

    #[test]
    fn a_busy_cpu_is_overload_within_half_a_minute_and_an_idle_one_is_clear_after_a_minute() {
        let (mut busy, mut judge, mut now) = (Busy::default(), Judge::default(), 0);
        let overload = until(&mut busy, &mut judge, &mut now, true, Verdict::Overload);
        assert!((10..=30).contains(&overload), "{overload} s: not by one busy moment");
        let clear = until(&mut busy, &mut judge, &mut now, false, Verdict::Clear);
        assert!((30..=60).contains(&clear), "{clear} s");
    }

    #[test]
    fn the_load_of_this_machine_is_read() {
        let mut signal = Signal::new("/".into());
        for _ in 0..3 {
            let Reading { source, avg10, avg60, periods } = signal.read().unwrap();
            assert_eq!((source, periods), ("CPU load", None));
            assert!((0.0..=100.0).contains(&avg10) && (0.0..=100.0).contains(&avg60));
        }
    }

    #[test]
    #[ignore = "loads every CPU for some seconds: .ci/monitor runs this"]
    fn real_load_is_seen() {
        use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..std::thread::available_parallelism().map_or(2, |n| n.get()) * 2 {
                scope.spawn(|| {
                    while !stop.load(Relaxed) {
                        std::hint::spin_loop();
                    }
                });
            }
            let (mut signal, start) = (Signal::new("/".into()), Instant::now());
            let mut seen = 0.0;
            while seen < 10.0 && start.elapsed() < Duration::from_secs(60) {
                // How often it is read is what the averages are made of.
                std::thread::sleep(Duration::from_millis(250));
                seen = signal.read().unwrap().avg10;
            }
            stop.store(true, Relaxed);
            assert!(seen >= 10.0, "{seen} % busy in a minute of load");
        });
    }
}
