//! What the page and other programs are shown, as JSON.

use std::cmp::Reverse;

use grmgr::{Adjustment, Limiter, Snapshot};
use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::moment::unix_ms;
use crate::sampler::Tracked;
use crate::worker::lock;

/// Everything at one sample.
#[derive(Debug, Serialize)]
pub(crate) struct Frame {
    at_ms: i64,
    samples: u64,
    /// Limiters registered, and those of them that match the filter.
    total: usize,
    matching: usize,
    /// The first of those.
    limiters: Vec<View>,
    history: Option<HistoryView>,
    pressure: Option<PressureView>,
    token_needed: bool,
}

/// One limiter.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    name: String,
    in_flight: usize,
    ceiling: usize,
    min: usize,
    max: usize,
    up: usize,
    down: usize,
    waiting: usize,
    paused: bool,
    closed: bool,
    wait_p50_ms: Option<f64>,
    wait_p99_ms: Option<f64>,
    per_second: f64,
    acquired: u64,
    waited: u64,
    refused: u64,
    hold_ms: u64,
    last_change: Option<ChangeView>,
}

/// A change of a ceiling.
#[derive(Debug, Serialize)]
pub(crate) struct ChangeView {
    pub(crate) at_ms: i64,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) cause: String,
}

#[derive(Debug, Serialize)]
struct HistoryView {
    path: String,
    run_id: String,
    error: Option<String>,
    rows_waiting: usize,
    rows_lost: u64,
}

#[derive(Debug, Serialize)]
struct PressureView {
    verdict: &'static str,
    dry_run: bool,
    lowered: usize,
    source: Option<&'static str>,
    avg10: Option<f64>,
    avg60: Option<f64>,
    error: Option<String>,
}

/// What came of a press of a button.
#[derive(Debug, Serialize)]
#[serde(tag = "result", rename_all = "lowercase")]
pub(crate) enum Outcome {
    Changed { from: usize, to: usize },
    Held { remaining_ms: u64 },
    Unchanged { ceiling: usize },
    Paused,
    Resumed,
}

impl Outcome {
    pub(crate) fn of(adjustment: Adjustment) -> Self {
        match adjustment {
            Adjustment::Changed { from, to } => Self::Changed { from, to },
            // Rounded up: "held for 0 ms" would be a lie.
            Adjustment::Held { remaining } => {
                Self::Held { remaining_ms: remaining.as_nanos().div_ceil(1_000_000) as u64 }
            }
            Adjustment::Unchanged { ceiling } => Self::Unchanged { ceiling },
            _ => unreachable!("the dashboard is released with its primitive"),
        }
    }
}

/// How a limiter is at once after a press.
#[derive(Debug, Serialize)]
pub(crate) struct Pressed {
    name: String,
    #[serde(flatten)]
    outcome: Outcome,
    in_flight: usize,
    ceiling: usize,
    paused: bool,
    hold_ms: u64,
}

impl Pressed {
    pub(crate) fn new(limiter: &Limiter, outcome: Outcome) -> Self {
        let now = limiter.snapshot();
        Self {
            outcome,
            in_flight: now.in_flight,
            ceiling: now.ceiling,
            paused: now.paused,
            hold_ms: hold_ms(&now),
            name: now.name.into_owned(),
        }
    }
}

/// How long until no step is held back in either direction.
fn hold_ms(now: &Snapshot) -> u64 {
    now.hold_up_remaining.max(now.hold_down_remaining).as_millis() as u64
}

/// Which limiters to show.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// Part of the name, in lower case.
    pub(crate) part: String,
    pub(crate) limit: usize,
    pub(crate) order: Order,
}

/// Which of them come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Order {
    #[default]
    Name,
    /// Where most wait; among equals, where the most of the ceiling is in use.
    Full,
}

impl Frame {
    pub(crate) fn new(engine: &Engine, token_needed: bool, filter: &Filter) -> Self {
        let health = engine.health();
        let sampler = lock(&engine.sampler);
        let matches = |tracked: &&Tracked| {
            filter.part.is_empty() || tracked.name.to_lowercase().contains(&filter.part)
        };
        let mut matching: Vec<_> = sampler.limiters().filter(matches).collect();
        if filter.order == Order::Full {
            matching.sort_by_key(|tracked| {
                let last = &tracked.last;
                Reverse((last.waiting, last.in_flight * 1_000 / last.ceiling.max(1)))
            });
        }
        Self {
            at_ms: unix_ms(),
            samples: health.samples,
            total: sampler.limiters().len(),
            matching: matching.len(),
            limiters: matching.into_iter().take(filter.limit).map(View::new).collect(),
            history: health.history.map(|history| HistoryView {
                path: history.path.display().to_string(),
                run_id: history.run_id,
                error: history.error,
                rows_waiting: history.rows_waiting,
                rows_lost: history.rows_lost,
            }),
            pressure: pressure(engine),
            token_needed,
        }
    }
}

impl View {
    fn new(tracked: &Tracked) -> Self {
        let (last, stats, throttle) = (&tracked.last, &tracked.last.stats, tracked.throttle());
        let quantile = |q| tracked.recent.quantile(q).map(|wait| wait.as_secs_f64() * 1e3);
        Self {
            name: tracked.name.to_string(),
            in_flight: last.in_flight,
            ceiling: last.ceiling,
            min: last.min,
            max: last.max,
            up: throttle.up.of(last.setting),
            down: throttle.down.of(last.setting),
            waiting: last.waiting,
            paused: last.paused,
            closed: last.closed,
            wait_p50_ms: quantile(0.5),
            wait_p99_ms: quantile(0.99),
            per_second: tracked.rate,
            acquired: stats.acquired,
            waited: stats.waited,
            refused: tracked.refused(),
            hold_ms: hold_ms(last),
            last_change: tracked.last_change.as_ref().map(|dated| ChangeView {
                at_ms: dated.unix_ms,
                from: dated.change.from as u64,
                to: dated.change.to as u64,
                cause: dated.change.cause.to_string(),
            }),
        }
    }
}

#[cfg(feature = "pressure")]
fn pressure(engine: &Engine) -> Option<PressureView> {
    use crate::pressure::Verdict;
    let status = lock(&engine.pressure).clone()?;
    let (reading, error) = match status.signal {
        Ok(reading) => (Some(reading), None),
        Err(error) => (None, Some(error)),
    };
    Some(PressureView {
        verdict: match status.verdict {
            Verdict::Overload => "overload",
            Verdict::Between => "between",
            Verdict::Clear => "clear",
            Verdict::Unknown => "unknown",
        },
        dry_run: status.dry_run,
        lowered: status.lowered,
        source: reading.as_ref().map(|reading| reading.source),
        avg10: reading.as_ref().map(|reading| reading.avg10),
        avg60: reading.as_ref().map(|reading| reading.avg60),
        error,
    })
}

#[cfg(not(feature = "pressure"))]
fn pressure(_: &Engine) -> Option<PressureView> {
    None
}
