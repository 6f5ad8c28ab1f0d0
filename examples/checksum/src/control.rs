//! What moves the ceilings while the work goes on: a script, keys, signals.

use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use grmgr::Adjust;

use crate::stage::Stage;

/// The names of the two limiters.
pub(crate) const STAGES: [&str; 2] = ["read", "hash"];

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Action {
    Adjust(Adjust),
    Pause,
    Resume,
}

/// When a step is due.
#[derive(Clone, Copy, Debug)]
enum When {
    /// So long after the start.
    Time(Duration),
    /// When so many percent of the bytes have been read.
    Percent(u8),
}

/// One step of a script: when, to which stage (`None`: to both), what.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    when: When,
    stage: Option<&'static str>,
    action: Action,
}

/// `3s down, 6s up, 8s set 4, 9s read pause, 10s resume`, or `25% down, 50% up`
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    steps: Vec<Step>,
}

/// How far the work is, and the steps of the script that wait for it.
///
/// What has read a block takes the steps that are due, so that each is taken before the work ends,
/// however short that is.
pub(crate) struct Progress {
    controls: Arc<Controls>,
    total: u64,
    /// Bytes read, and the steps that are left, the next one last.
    state: Mutex<(u64, Vec<(u8, Step)>)>,
}

pub(crate) struct Controls {
    pub(crate) stages: [Arc<Stage>; 2],
}

impl Controls {
    /// Does it to one stage, or to both.
    pub(crate) fn apply(&self, only: Option<&str>, action: Action, cause: &'static str) {
        for stage in &self.stages {
            if only.is_none_or(|name| name == stage.limiter().name()) {
                match action {
                    Action::Adjust(to) => stage.adjust(to, cause),
                    Action::Pause => stage.pause(),
                    Action::Resume => stage.resume(),
                }
            }
        }
    }

    /// Ends the work: files that wait for a place, or ask for one later, are turned away.
    pub(crate) fn stop(&self) {
        for stage in &self.stages {
            stage.limiter().close();
        }
    }

    /// Whether the work was ended.
    pub(crate) fn stopped(&self) -> bool {
        self.stages.iter().any(|stage| stage.limiter().is_closed())
    }
}

/// Plays the steps of a script that go by time.
pub(crate) async fn play(controls: Arc<Controls>, script: Script, started: Instant) {
    for Step { when, stage, action } in script.steps {
        let When::Time(at) = when else { continue };
        tokio::time::sleep_until((started + at).into()).await;
        controls.apply(stage, action, "script");
    }
}

impl Progress {
    /// Of work on so many bytes, of which none has been read.
    pub(crate) fn new(controls: Arc<Controls>, script: &Script, total: u64) -> Self {
        let steps = script.steps.iter().rev().filter_map(|step| match step.when {
            When::Percent(percent) => Some((percent, step.clone())),
            When::Time(_) => None,
        });
        let progress = Self { controls, total, state: Mutex::new((0, steps.collect())) };
        progress.add(0);
        progress
    }

    /// So many more bytes have been read.
    pub(crate) fn add(&self, bytes: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (done, steps) = &mut *state;
        *done += bytes;
        let reached =
            |percent: u8| u128::from(*done) * 100 >= u128::from(self.total) * u128::from(percent);
        while let Some((_, step)) = steps.pop_if(|(percent, _)| reached(*percent)) {
            self.controls.apply(step.stage, step.action, "script");
        }
    }

    /// How many steps have not been reached.
    pub(crate) fn steps_left(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1.len()
    }
}

/// Stops at Ctrl-C, or when told to terminate. By themselves they would leave a temporary file
/// behind, and a terminal that does not echo.
pub(crate) async fn stop_at_signal(controls: Arc<Controls>) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted?,
            _ = terminate.recv() => {}
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await?;
    controls.stop();
    Ok(())
}

impl Script {
    /// Refuses ceilings that the limiters would clamp: the author of the script wants to know.
    pub(crate) fn check(&self, stages: &[Arc<Stage>]) -> Result<(), String> {
        for step in &self.steps {
            let Action::Adjust(Adjust::To(n)) = step.action else { continue };
            for stage in stages {
                let max = stage.limiter().throttle().max;
                if n > max {
                    return Err(format!(
                        "the script says `set {n}`, but the ceilings end at {max}: set them to \
                         {max} or less, or give a larger --max"
                    ));
                }
            }
        }
        Ok(())
    }

    /// How many steps lie after this time.
    pub(crate) fn steps_after(&self, time: Duration) -> usize {
        self.steps.iter().filter(|step| matches!(step.when, When::Time(at) if at > time)).count()
    }

    /// Whether there are steps that go by progress, for which all bytes have to be counted first.
    pub(crate) fn asks_for_progress(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.when, When::Percent(_)))
    }

    /// Refuses a script that would leave the program standing for ever.
    fn check_resumed(&self) -> Result<(), String> {
        for name in STAGES {
            let of_stage = self.steps.iter().filter(|step| step.stage.is_none_or(|s| s == name));
            let last = of_stage.map(|step| step.action).rfind(|a| !matches!(a, Action::Adjust(_)));
            if last == Some(Action::Pause) {
                return Err(format!(
                    "`{name}` is paused and never resumed, so the work would not end: add a \
                     later `resume`"
                ));
            }
        }
        Ok(())
    }
}

impl FromStr for Script {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let steps = text.split(',').map(str::parse).collect::<Result<_, _>>();
        let mut script = Self { steps: steps? };
        // Those by time and those by progress do not meet: each kind in its own order.
        script.steps.sort_by_key(|step| match step.when {
            When::Time(at) => (at, 0),
            When::Percent(percent) => (Duration::ZERO, percent),
        });
        script.check_resumed()?;
        Ok(script)
    }
}

impl FromStr for Step {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| {
            format!(
                "{what} in step {:?}: a step is a time or a percentage, `read` or `hash` if it is for one of \
                 them only, and `up`, `down`, `set N`, `pause` or `resume`, as in \
                 \"3s down, 500ms hash set 4\" or \"25% down, 50% up\"",
                text.trim()
            )
        };
        let mut words = text.split_whitespace().peekable();
        let at = words.next().ok_or_else(|| wrong("nothing"))?;
        let when = when(at).ok_or_else(|| {
            wrong(&format!("`{at}` is no time (2s, 1.5s, 300ms, 1m) and no percentage (25%)"))
        })?;
        let stage = words.peek().and_then(|word| STAGES.into_iter().find(|name| name == word));
        if stage.is_some() {
            words.next();
        }
        let action = match words.next() {
            Some("up") => Action::Adjust(Adjust::Up),
            Some("down") => Action::Adjust(Adjust::Down),
            Some("pause") => Action::Pause,
            Some("resume") => Action::Resume,
            Some("set") => match words.next().and_then(|n| n.parse().ok()) {
                Some(0) => return Err(wrong("`set 0` (use `pause`)")),
                Some(n) => Action::Adjust(Adjust::To(n)),
                None => return Err(wrong("`set` without a number")),
            },
            Some(other) => return Err(wrong(&format!("unknown `{other}`"))),
            None => return Err(wrong("no action")),
        };
        if let (When::Percent(_), Action::Pause | Action::Resume) = (when, action) {
            return Err(wrong("a percentage for `pause` or `resume`, which need a time"));
        }
        match words.next() {
            Some(extra) => Err(wrong(&format!("`{extra}` too many"))),
            None => Ok(Self { when, stage, action }),
        }
    }
}

fn when(text: &str) -> Option<When> {
    match text.strip_suffix('%') {
        Some(number) => number.parse().ok().filter(|n| *n <= 100).map(When::Percent),
        None => time(text).map(When::Time),
    }
}

fn time(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic())?);
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        _ => return None,
    };
    // A day is longer than any script, and nothing that follows can overflow.
    let time = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
    (time <= Duration::from_secs(86_400)).then_some(time)
}
