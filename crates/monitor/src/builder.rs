//! How a monitor is set up.

use std::sync::Arc;
use std::time::Duration;

use crate::StartError;
use crate::engine::Engine;
use crate::moment::Moment;
use crate::monitor::Monitor;
use crate::sampler::Sampler;
use crate::source::Source;
use crate::windows::BUCKET;
use crate::worker::Worker;

/// Sets up a [`Monitor`]; from [`Monitor::builder`].
#[derive(Debug)]
#[must_use = "a monitor does nothing until `start`"]
pub struct Builder {
    source: Source,
    sample_every: Duration,
    report_every: Duration,
    #[cfg(feature = "history")]
    history: Option<std::path::PathBuf>,
    #[cfg(feature = "history")]
    run_id: Option<String>,
    #[cfg(feature = "history")]
    retention: crate::history::Retention,
    #[cfg(feature = "metrics")]
    metrics: bool,
    #[cfg(feature = "dashboard")]
    dashboard: Option<crate::dashboard::Options>,
    #[cfg(feature = "pressure")]
    pressure: Option<crate::Pressure>,
}

impl Builder {
    pub(crate) fn new(source: Source) -> Self {
        Self {
            source,
            sample_every: Duration::from_secs(2),
            report_every: Duration::from_secs(10),
            #[cfg(feature = "history")]
            history: None,
            #[cfg(feature = "history")]
            run_id: None,
            #[cfg(feature = "history")]
            retention: Default::default(),
            #[cfg(feature = "metrics")]
            metrics: false,
            #[cfg(feature = "dashboard")]
            dashboard: None,
            #[cfg(feature = "pressure")]
            pressure: None,
        }
    }

    /// How often to sample the limiters: 10 ms to 10 s. Default: 2 s.
    pub fn sample_every(mut self, interval: Duration) -> Self {
        self.sample_every = interval;
        self
    }

    /// How often to write to the history, at least as long as between two samples. What a killed
    /// process loses is at most this. Default: 10 s.
    pub fn report_every(mut self, interval: Duration) -> Self {
        self.report_every = interval;
        self
    }

    /// Keeps the history in this SQLite file, which is made if missing. Several monitors, also
    /// of several processes, may write to one file under different run ids.
    #[cfg(feature = "history")]
    pub fn history(mut self, file: impl Into<std::path::PathBuf>) -> Self {
        self.history = Some(file.into());
        self
    }

    /// Under which name this run is written. A later run of the same name goes on with it; one at
    /// the same time is refused. Default: the program's name, process id and time of start.
    #[cfg(feature = "history")]
    pub fn run_id(mut self, run_id: impl Into<String>) -> Self {
        self.run_id = Some(run_id.into());
        self
    }

    /// For how long the history is kept. Default: 7 days.
    #[cfg(feature = "history")]
    pub fn keep_for(mut self, age: Duration) -> Self {
        self.retention.age = age;
        self
    }

    /// How many rows the history keeps, of all runs: a sample is one, and another one if something
    /// has happened since the sample before. Default: 10 million (some 300 MB).
    #[cfg(feature = "history")]
    pub fn keep_samples(mut self, samples: u64) -> Self {
        self.retention.rows = samples;
        self
    }

    /// After how long samples are thinned to one a minute. Default: a day.
    #[cfg(feature = "history")]
    pub fn thin_after(mut self, age: Duration) -> Self {
        self.retention.thin_after = age;
        self
    }

    /// Publishes through the `metrics` facade, at every sample, to whichever recorder the program
    /// has installed by then.
    #[cfg(feature = "metrics")]
    pub fn metrics(mut self) -> Self {
        self.metrics = true;
        self
    }

    /// Serves the dashboard at this address, such as `127.0.0.1:9187`, or with port 0 at any free
    /// port of it. Whoever reaches a loopback address may turn the limiters up and down; any other
    /// address needs a [token](Self::dashboard_token).
    #[cfg(feature = "dashboard")]
    pub fn dashboard(mut self, address: impl Into<String>) -> Self {
        self.dashboard.get_or_insert_default().address = address.into();
        self
    }

    /// The token that the dashboard asks for before it changes anything, of 16 characters or more.
    /// Needed unless the address is a loopback one; at any other, it is asked for before anything
    /// is told, too.
    #[cfg(feature = "dashboard")]
    pub fn dashboard_token(mut self, token: impl Into<String>) -> Self {
        self.dashboard.get_or_insert_default().token = Some(token.into());
        self
    }

    /// A name by which browsers may call the dashboard, such as that of a reverse proxy, beside
    /// `localhost` and addresses in numbers. Any other name is refused: it may be another site's,
    /// made to point here. Can be given more than once.
    #[cfg(feature = "dashboard")]
    pub fn dashboard_host(mut self, name: impl Into<String>) -> Self {
        self.dashboard.get_or_insert_default().hosts.push(name.into());
        self
    }

    /// Caps the ceilings while the CPU is overloaded.
    #[cfg(feature = "pressure")]
    pub fn pressure(mut self, pressure: crate::Pressure) -> Self {
        self.pressure = Some(pressure);
        self
    }

    /// Starts the monitor's threads. The first sample is taken at once.
    ///
    /// # Errors
    ///
    /// A [`StartError`] that says what to do. The limiters go on as they are, without a monitor.
    /// Only what the program itself has to mend: an interval, an address, a token, a run id that is
    /// taken. A history that cannot be written is no error, whatever is wrong with its file: it is
    /// retried, and told by [`Monitor::health`]; a damaged file is moved aside.
    pub fn start(self) -> Result<Monitor, StartError> {
        self.check()?;
        #[allow(unused_mut, reason = "without any part, there is nothing to add")]
        let mut sampler = Sampler::new(self.source.clone());
        #[cfg(feature = "dashboard")]
        if self.dashboard.is_some() {
            sampler.expect_cause(crate::dashboard::CAUSE);
        }
        #[cfg(feature = "pressure")]
        if self.pressure.is_some() {
            sampler.expect_cause(crate::pressure::CAUSE);
        }
        #[allow(unused_mut, reason = "without any part, there is nothing to add")]
        let mut engine = Engine::new(sampler, self.report_every);
        #[cfg(feature = "metrics")]
        if self.metrics {
            engine.metrics = Some(Default::default());
        }
        #[cfg(feature = "history")]
        if let Some(path) = self.history {
            let run_id = self.run_id.unwrap_or_else(default_run_id);
            let mut options = crate::history::Options::new(path, run_id);
            options.retention = self.retention;
            engine.history = Some(crate::history::History::start(options)?);
        }
        let engine = Arc::new(engine);
        // Before anything of this monitor's own can move a ceiling.
        engine.tick(Moment::since(engine.start));
        // From here on, what has been started stops by being dropped.
        #[cfg(feature = "dashboard")]
        let dashboard = match self.dashboard {
            Some(options) => Some(crate::dashboard::Dashboard::start(options, engine.clone())?),
            None => None,
        };
        #[cfg(feature = "pressure")]
        let pressure = match self.pressure {
            Some(config) => {
                let (engine, interval) = (engine.clone(), config.interval());
                let mut watcher = crate::pressure::Watcher::new(config, self.source);
                let poll = move || {
                    let status = watcher.poll(engine.start.elapsed());
                    *crate::mutex::lock(&engine.pressure) = Some(status);
                };
                let worker = Worker::every("grmgr-pressure", interval, poll);
                Some(worker.map_err(StartError::Thread)?)
            }
            None => None,
        };
        let ticking = engine.clone();
        let tick = move || ticking.tick(Moment::since(ticking.start));
        let sampler = Worker::every("grmgr-sampler", self.sample_every, tick);
        let sampler = sampler.map_err(StartError::Thread)?;
        Ok(Monitor {
            engine,
            sampler: Some(sampler),
            #[cfg(feature = "dashboard")]
            dashboard,
            #[cfg(feature = "pressure")]
            pressure,
        })
    }

    fn check(&self) -> Result<(), StartError> {
        let wrong = |option, reason| Err(StartError::Interval { option, reason });
        if self.sample_every < Duration::from_millis(10) || self.sample_every > BUCKET {
            return wrong(
                "sample_every",
                "choose 10 ms to 10 s: the shortest average is over 10 s",
            );
        }
        if self.report_every < self.sample_every {
            return wrong("report_every", "choose at least as long as sample_every");
        }
        #[cfg(feature = "pressure")]
        if let Some(pressure) = &self.pressure {
            pressure.check()?;
        }
        Ok(())
    }
}

#[cfg(feature = "history")]
fn default_run_id() -> String {
    let program = std::env::current_exe().ok();
    let program = program.as_deref().and_then(|path| path.file_stem());
    let program = program.map_or("program".into(), |name| name.to_string_lossy());
    format!("{program}-{}-{}", std::process::id(), crate::moment::unix_ms() / 1_000)
}
