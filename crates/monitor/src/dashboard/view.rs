//! What the page and other programs are shown, as JSON.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;

use grmgr::{Adjustment, Change, Hand, Handle, Limiter, Snapshot, Step, Throttle};
use serde::{Deserialize, Serialize};

use crate::counts::REASONS;
use crate::engine::Engine;
use crate::moment::{Moment, unix_ms};
use crate::mutex::lock;
use crate::sampler::{Dated, Tracked};
use crate::windows::BUCKET;

/// Everything now.
#[derive(Debug, Serialize)]
pub(crate) struct Frame {
    at_ms: i64,
    samples: u64,
    /// Limiters registered, and those of them that match the filter.
    total: usize,
    matching: usize,
    /// Of all limiters.
    summary: Summary,
    /// The first of those that match.
    limiters: Vec<View>,
    /// All about one, if that is asked for and there is one of that name.
    detail: Option<Detail>,
    history: Option<HistoryView>,
    pressure: Option<PressureView>,
    token_needed: bool,
}

/// All limiters in a line.
#[derive(Debug, Default, Serialize)]
struct Summary {
    /// Limiters of which all permits are out.
    full: usize,
    /// Requests that wait.
    waiting: usize,
    /// Limiters that are paused.
    paused: usize,
    /// Limiters whose ceiling a cap keeps below the setting.
    capped: usize,
}

/// One limiter.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    name: String,
    in_flight: usize,
    ceiling: usize,
    setting: usize,
    min: usize,
    max: usize,
    /// How far a step goes.
    up: usize,
    down: usize,
    waiting: usize,
    paused: bool,
    closed: bool,
    /// The cause of the cap that binds.
    capped_by: Option<String>,
    /// The ceiling that pressure would have set, in a dry run.
    would_be: Option<usize>,
    /// Of about the last minute: the share of requests that had to wait, from 0 to 1, and of those
    /// that were granted, how long.
    share_waited: Option<f64>,
    wait_p50_ms: Option<f64>,
    wait_p99_ms: Option<f64>,
    /// Between the last two samples.
    sampled_p50_ms: Option<f64>,
    sampled_p99_ms: Option<f64>,
    per_second: f64,
    waited_per_second: f64,
    cancelled_per_second: f64,
    refused_per_second: f64,
    /// Since the limiter was made.
    acquired: u64,
    waited: u64,
    cancelled: u64,
    refused: u64,
    peak_in_flight: usize,
    peak_waiting: usize,
    hold_up_ms: u64,
    hold_down_ms: u64,
    last_change: Option<ChangeView>,
}

/// What a limiter's own page has beside its [`View`].
#[derive(Debug, Serialize)]
struct Detail {
    #[serde(flatten)]
    view: View,
    step_up: String,
    step_down: String,
    holds_up_ms: u64,
    holds_down_ms: u64,
    caps: Vec<CapView>,
    /// Requests refused since the limiter was made, by reason.
    reasons: BTreeMap<&'static str, u64>,
    holders: Vec<HolderView>,
    held_p50_ms: Option<f64>,
    held_p99_ms: Option<f64>,
}

#[derive(Debug, Serialize)]
struct CapView {
    cause: String,
    at: usize,
}

#[derive(Debug, Serialize)]
struct HolderView {
    label: String,
    count: usize,
    held_ms: u64,
}

/// A change of a setting or a cap.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ChangeView {
    pub(crate) at_ms: i64,
    pub(crate) cap: bool,
    /// `None`: a cap that is not set.
    pub(crate) from: Option<u64>,
    pub(crate) to: Option<u64>,
    /// In force afterwards, if that is known.
    pub(crate) ceiling: Option<u64>,
    pub(crate) cause: String,
    /// The same in words.
    pub(crate) said: String,
}

#[derive(Debug, Serialize)]
struct HistoryView {
    path: String,
    run_id: String,
    error: Option<String>,
    moved_aside: Option<String>,
    complaint: Option<String>,
    rows_waiting: usize,
    rows_lost: u64,
}

#[derive(Debug, Serialize)]
struct PressureView {
    verdict: &'static str,
    dry_run: bool,
    /// Limiters that it caps; in a dry run, that it would cap.
    capped: usize,
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
    Unchanged { setting: usize },
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
            Adjustment::Unchanged { ceiling } => Self::Unchanged { setting: ceiling },
            _ => unreachable!("the dashboard is released with its primitive"),
        }
    }

    /// In the words of the page, of `grmgr top` and of whoever else asks.
    fn said(&self) -> String {
        match *self {
            Self::Changed { from, to } if from < to => format!("raised from {from} to {to}"),
            Self::Changed { from, to } => format!("lowered from {from} to {to}"),
            Self::Held { remaining_ms } => {
                format!("held for another {} s", remaining_ms.div_ceil(1_000))
            }
            Self::Unchanged { setting } => format!("unchanged at {setting}"),
            Self::Paused => "paused: nothing is granted".into(),
            Self::Resumed => "resumed".into(),
        }
    }
}

/// How a limiter is at once after a press.
#[derive(Debug, Serialize)]
pub(crate) struct Pressed {
    name: String,
    #[serde(flatten)]
    outcome: Outcome,
    said: String,
    in_flight: usize,
    ceiling: usize,
    setting: usize,
    paused: bool,
    hold_up_ms: u64,
    hold_down_ms: u64,
}

impl Pressed {
    pub(crate) fn new(limiter: &Limiter, outcome: Outcome) -> Self {
        let now = limiter.snapshot();
        Self {
            said: outcome.said(),
            outcome,
            in_flight: now.in_flight,
            ceiling: now.ceiling,
            setting: now.setting,
            paused: now.paused,
            hold_up_ms: now.hold_up_remaining.as_millis() as u64,
            hold_down_ms: now.hold_down_remaining.as_millis() as u64,
            name: now.name.into_owned(),
        }
    }
}

/// Which limiters to show.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// Part of the name, in lower case.
    pub(crate) part: String,
    pub(crate) limit: usize,
    pub(crate) order: Order,
    pub(crate) reverse: bool,
    /// All about this one.
    pub(crate) detail: Option<String>,
}

/// Which of them come first: by name, or those that have most of something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Order {
    #[default]
    Name,
    /// Where most wait; among equals, where the most of the ceiling is in use.
    Full,
    Ceiling,
    Waiting,
    /// The share that had to wait.
    Share,
    /// How long the slowest 1 % waited.
    Wait,
    Rate,
    Refused,
}

impl Order {
    /// What is largest comes first.
    fn key(self, of: &Tracked) -> f64 {
        let last = &of.last;
        match self {
            Self::Name => 0.0,
            Self::Full => {
                let used = last.in_flight as f64 / last.ceiling.max(1) as f64;
                last.waiting as f64 * 1e3 + used
            }
            Self::Ceiling => last.ceiling as f64,
            Self::Waiting => last.waiting as f64,
            Self::Share => of.recent.share_waited().unwrap_or(-1.0),
            Self::Wait => of.recent.quantile(0.99).map_or(-1.0, |wait| wait.as_secs_f64()),
            Self::Rate => of.rate(),
            Self::Refused => of.refused().iter().sum::<u64>() as f64,
        }
    }
}

impl Filter {
    /// Those that match, in order.
    fn apply<'a>(&self, limiters: impl Iterator<Item = &'a Tracked>) -> Vec<&'a Tracked> {
        let matches = |tracked: &&Tracked| {
            self.part.is_empty() || tracked.name.to_lowercase().contains(&self.part)
        };
        let mut matching: Vec<_> = limiters.filter(matches).collect();
        if self.order != Order::Name {
            // Equals stay in the order of their names.
            let mut keyed: Vec<_> = matching.iter().map(|of| (self.order.key(of), *of)).collect();
            keyed.sort_by(|(a, _), (b, _)| match self.reverse {
                false => b.partial_cmp(a).unwrap_or(Ordering::Equal),
                true => a.partial_cmp(b).unwrap_or(Ordering::Equal),
            });
            matching = keyed.into_iter().map(|(_, of)| of).collect();
        } else if self.reverse {
            matching.sort_by_key(|of| Reverse(of.name.clone()));
        }
        matching
    }
}

impl Frame {
    pub(crate) fn new(engine: &Engine, token_needed: bool, filter: &Filter) -> Self {
        let health = engine.health();
        let pressure = pressure(engine);
        let now = Moment::since(engine.start);
        let sampler = lock(&engine.sampler);
        let matching = filter.apply(sampler.limiters());
        let detail = filter.detail.as_deref().and_then(|name| sampler.get(name));
        let view = |of: &Tracked| View::new(of, &pressure, now);
        Self {
            at_ms: unix_ms(),
            samples: health.samples,
            total: sampler.limiters().len(),
            matching: matching.len(),
            summary: Summary::new(sampler.limiters()),
            limiters: matching.into_iter().take(filter.limit).map(view).collect(),
            detail: detail.map(|of| Detail::new(of, view(of))),
            history: health.history.map(|history| HistoryView {
                path: history.path.display().to_string(),
                run_id: history.run_id,
                error: history.error,
                moved_aside: history.moved_aside.map(|to| to.display().to_string()),
                complaint: history.complaint,
                rows_waiting: history.rows_waiting,
                rows_lost: history.rows_lost,
            }),
            pressure: pressure.view,
            token_needed,
        }
    }
}

impl Summary {
    fn new<'a>(limiters: impl Iterator<Item = &'a Tracked>) -> Self {
        let mut sum = Self::default();
        for Tracked { last, .. } in limiters {
            sum.full += usize::from(last.in_flight >= last.ceiling && !last.paused);
            sum.waiting += last.waiting;
            sum.paused += usize::from(last.paused);
            sum.capped += usize::from(last.ceiling < last.setting);
        }
        sum
    }
}

fn ms(duration: std::time::Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

impl View {
    fn new(tracked: &Tracked, pressure: &PressureNow, moment: Moment) -> Self {
        let stats = &tracked.last.stats;
        let quantile = |share| tracked.recent.quantile(share).map(ms);
        let live = tracked.live();
        // As it is now: a change is to be seen by whoever has made it. What is counted is of the
        // last sample.
        let now = live.as_ref().map_or_else(|| tracked.last.clone(), |live| live.snapshot());
        let throttle = throttle(live.as_ref(), &now);
        let last_change = match &live {
            Some(live) => tracked.newest_change(live, &now, moment),
            None => tracked.last_change.clone(),
        };
        Self {
            name: tracked.name.to_string(),
            in_flight: now.in_flight,
            ceiling: now.ceiling,
            setting: now.setting,
            min: now.min,
            max: now.max,
            up: throttle.up.of(now.setting),
            down: throttle.down.of(now.setting),
            waiting: now.waiting,
            paused: now.paused,
            closed: now.closed,
            capped_by: now.bound_by().map(str::to_owned),
            would_be: pressure.would_be(&tracked.name),
            share_waited: tracked.recent.share_waited(),
            wait_p50_ms: quantile(0.5),
            wait_p99_ms: quantile(0.99),
            sampled_p50_ms: tracked.sampled_quantile(0.5).map(ms),
            sampled_p99_ms: tracked.sampled_quantile(0.99).map(ms),
            per_second: tracked.rate(),
            waited_per_second: tracked.per_second(|counts| counts.waited),
            cancelled_per_second: tracked.per_second(|counts| counts.cancelled),
            refused_per_second: tracked.per_second(|counts| counts.refused.iter().sum()),
            acquired: stats.acquired,
            waited: stats.waited,
            cancelled: stats.cancelled,
            refused: tracked.refused().iter().sum(),
            peak_in_flight: stats.peak_in_flight,
            peak_waiting: stats.peak_waiting,
            hold_up_ms: now.hold_up_remaining.as_millis() as u64,
            hold_down_ms: now.hold_down_remaining.as_millis() as u64,
            last_change: last_change.map(ChangeView::from),
        }
    }
}

impl Detail {
    fn new(tracked: &Tracked, view: View) -> Self {
        let live = tracked.live();
        let throttle = throttle(live.as_ref(), &tracked.last);
        let step = |step| match step {
            Step::Percent(percent) => format!("{percent} %"),
            step => step.of(1).to_string(),
        };
        let caps = live.as_ref().map(|live| live.caps()).unwrap_or_default();
        let holders = live.as_ref().map(|live| live.holders()).unwrap_or_default();
        let held = |share| tracked.last.stats.held.quantile(share).map(ms);
        Self {
            view,
            step_up: step(throttle.up),
            step_down: step(throttle.down),
            holds_up_ms: throttle.hold_up.as_millis() as u64,
            holds_down_ms: throttle.hold_down.as_millis() as u64,
            caps: caps
                .into_iter()
                .map(|(cause, at)| CapView { cause: cause.into_owned(), at })
                .collect(),
            reasons: REASONS.into_iter().zip(tracked.refused()).collect(),
            // The oldest are those that somebody will look for.
            holders: holders
                .into_iter()
                .take(HOLDERS)
                .map(|holder| HolderView {
                    label: holder.label.into_owned(),
                    count: holder.count,
                    held_ms: holder.held_for.as_millis() as u64,
                })
                .collect(),
            held_p50_ms: held(0.5),
            held_p99_ms: held(0.99),
        }
    }
}

/// The rule by which its setting moves; of one that has just gone, about that.
fn throttle(live: Option<&Handle>, last: &Snapshot) -> Throttle {
    live.map_or_else(|| Throttle::new(last.max).min(last.min), |live| live.throttle())
}

/// Holders that are shown.
const HOLDERS: usize = 100;

impl ChangeView {
    pub(crate) fn new(
        at_ms: i64,
        cap: bool,
        (from, to): (u64, u64),
        ceiling: Option<u64>,
        cause: String,
    ) -> Self {
        let set = |n: u64| (!cap || n < Limiter::MAX_CEILING as u64).then_some(n);
        let (from, to) = (set(from), set(to));
        let by = if cause.is_empty() { "nobody" } else { &cause };
        let said = match (cap, from, to) {
            (true, _, Some(to)) => format!("capped at {to} by {by}"),
            (true, _, None) => format!("cap of {by} lifted"),
            (false, from, to) => {
                format!("{} → {} by {by}", from.unwrap_or_default(), to.unwrap_or_default())
            }
        };
        Self { at_ms, cap, from, to, ceiling, cause, said }
    }
}

impl From<Dated> for ChangeView {
    fn from(dated: Dated) -> Self {
        let Change { hand, from, to, ceiling, cause, .. } = dated.change;
        Self::new(
            dated.unix_ms,
            hand == Hand::Cap,
            (from as u64, to as u64),
            Some(ceiling as u64),
            cause.into_owned(),
        )
    }
}

/// The last minutes of each limiter, in buckets of 10 s.
#[derive(Debug, Serialize)]
pub(crate) struct Sparks {
    every_ms: u64,
    limiters: BTreeMap<String, Spark>,
}

#[derive(Debug, Serialize)]
struct Spark {
    /// When each bucket ended.
    at_ms: Vec<i64>,
    in_flight: Vec<f32>,
    ceiling: Vec<f32>,
    waiting: Vec<f32>,
}

impl Sparks {
    pub(crate) fn new(engine: &Engine, filter: &Filter, minutes: u32) -> Self {
        let now = Moment::since(engine.start);
        let every = BUCKET.as_secs() as usize;
        let sampler = lock(&engine.sampler);
        let limiters = filter.apply(sampler.limiters()).into_iter().take(filter.limit);
        let spark = |of: &Tracked| {
            let mut spark =
                Spark { at_ms: vec![], in_flight: vec![], ceiling: vec![], waiting: vec![] };
            for (at_ms, mean) in of.remembered(minutes as usize * 60 / every, now) {
                let [in_flight, ceiling, waiting] = mean.map(|n| (n * 10.0).round() / 10.0);
                spark.at_ms.push(at_ms);
                spark.in_flight.push(in_flight);
                spark.ceiling.push(ceiling);
                spark.waiting.push(waiting);
            }
            (of.name.to_string(), spark)
        };
        Self { every_ms: BUCKET.as_millis() as u64, limiters: limiters.map(spark).collect() }
    }
}

/// How pressure is, and where its caps would be in a dry run.
#[derive(Default)]
struct PressureNow {
    view: Option<PressureView>,
    would_be: std::sync::Arc<BTreeMap<String, usize>>,
}

impl PressureNow {
    fn would_be(&self, name: &str) -> Option<usize> {
        self.would_be.get(name).copied()
    }
}

#[cfg(feature = "pressure")]
fn pressure(engine: &Engine) -> PressureNow {
    use crate::pressure::Verdict;
    let Some(status) = lock(&engine.pressure).clone() else { return PressureNow::default() };
    let (reading, error) = match status.signal {
        Ok(reading) => (Some(reading), None),
        Err(error) => (None, Some(error)),
    };
    let view = PressureView {
        verdict: match status.verdict {
            Verdict::Overload => "overload",
            Verdict::Between => "between",
            Verdict::Clear => "clear",
            Verdict::Unknown => "unknown",
        },
        dry_run: status.dry_run,
        capped: status.caps.len(),
        source: reading.as_ref().map(|reading| reading.source),
        avg10: reading.as_ref().map(|reading| reading.avg10),
        avg60: reading.as_ref().map(|reading| reading.avg60),
        error,
    };
    let would_be = if status.dry_run { status.caps } else { Default::default() };
    PressureNow { view: Some(view), would_be }
}

#[cfg(not(feature = "pressure"))]
fn pressure(_: &Engine) -> PressureNow {
    PressureNow::default()
}
