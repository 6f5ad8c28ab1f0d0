//! What happens at each sample: look, write down, publish. Driven by a thread of its own, or by a
//! test.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::health::Health;
#[cfg(feature = "history")]
use crate::history::{AverageRow, History};
use crate::moment::Moment;
use crate::mutex::lock;
use crate::sampler::{Sample, Sampler};

/// Everything the threads of a monitor share.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) start: Instant,
    pub(crate) sampler: Mutex<Sampler>,
    report_every: Duration,
    next_report: Mutex<Duration>,
    samples: AtomicU64,
    #[cfg(feature = "history")]
    pub(crate) history: Option<History>,
    #[cfg(feature = "metrics")]
    pub(crate) metrics: Option<Mutex<crate::metrics::Exporter>>,
    /// Tells the dashboard's event streams that there is a new sample.
    #[cfg(feature = "dashboard")]
    pub(crate) sampled: tokio::sync::watch::Sender<u64>,
    #[cfg(feature = "pressure")]
    pub(crate) pressure: Mutex<Option<crate::pressure::Status>>,
}

impl Engine {
    pub(crate) fn new(sampler: Sampler, report_every: Duration) -> Self {
        Self {
            start: Instant::now(),
            sampler: Mutex::new(sampler),
            report_every,
            next_report: Mutex::new(report_every),
            samples: AtomicU64::new(0),
            #[cfg(feature = "history")]
            history: None,
            #[cfg(feature = "metrics")]
            metrics: None,
            #[cfg(feature = "dashboard")]
            sampled: tokio::sync::watch::Sender::new(0),
            #[cfg(feature = "pressure")]
            pressure: Mutex::new(None),
        }
    }

    /// Takes a sample, and reports if that is due.
    pub(crate) fn tick(&self, now: Moment) {
        self.sample(now);
        let mut next = lock(&self.next_report);
        if now.elapsed >= *next {
            // Reports that came too late are left out.
            while *next <= now.elapsed {
                *next += self.report_every;
            }
            drop(next);
            self.report(now);
        }
    }

    fn sample(&self, now: Moment) {
        let mut sampler = lock(&self.sampler);
        let sample = sampler.sample(now);
        #[cfg(feature = "metrics")]
        if let Some(metrics) = &self.metrics {
            lock(metrics).publish(sampler.limiters(), &sample);
        }
        drop(sampler);
        self.keep(sample, now);
        // Relaxed: a number to look at.
        let samples = self.samples.fetch_add(1, Relaxed) + 1;
        #[cfg(feature = "dashboard")]
        self.sampled.send_replace(samples);
        let _ = samples;
    }

    #[cfg(feature = "history")]
    fn keep(&self, sample: Sample, now: Moment) {
        if let Some(history) = &self.history {
            history.push(sample, now.unix_ms);
        }
    }

    #[cfg(not(feature = "history"))]
    fn keep(&self, _: Sample, _: Moment) {}

    /// Hands the averages to the writer. The number of the report, if there is a history.
    fn report(&self, now: Moment) -> Option<u64> {
        #[cfg(feature = "history")]
        if let Some(history) = &self.history {
            let mut sampler = lock(&self.sampler);
            return Some(history.report(sampler.reports().map(|(of, counts)| {
                (of.name.clone(), AverageRow::new(of, counts, now.unix_ms, false))
            })));
        }
        let _ = now;
        None
    }

    /// Samples and reports now, and waits until that is on disk or could not be put there.
    pub(crate) fn flush(&self, now: Moment) -> std::io::Result<()> {
        self.sample(now);
        let report = self.report(now);
        #[cfg(feature = "history")]
        if let (Some(history), Some(report)) = (&self.history, report) {
            return history.wait(report);
        }
        let _ = report;
        Ok(())
    }

    /// Pauses or resumes a limiter for somebody, and keeps it in the history, however short it is.
    #[cfg(feature = "dashboard")]
    pub(crate) fn pause(&self, limiter: &grmgr::Limiter, paused: bool, cause: &'static str) {
        // Locked throughout: no sample sees it before it is noted.
        let mut sampler = lock(&self.sampler);
        match paused {
            true => limiter.pause(),
            false => limiter.resume(),
        }
        let now = Moment::since(self.start);
        let pause = sampler.note_pause(limiter.name(), paused, cause, now);
        #[cfg(feature = "history")]
        if let (Some(history), Some(pause)) = (&self.history, pause) {
            history.push_pause(pause);
        }
        #[cfg(not(feature = "history"))]
        let _ = pause;
    }

    pub(crate) fn health(&self) -> Health {
        Health {
            samples: self.samples.load(Relaxed),
            #[cfg(feature = "history")]
            history: self.history.as_ref().map(History::health),
            #[cfg(not(feature = "history"))]
            history: None,
        }
    }
}
