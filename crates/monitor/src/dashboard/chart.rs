//! What was, of one limiter: from the database and what is on its way there, or else from the
//! averages in memory.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::App;
use super::answer::fail;
use super::view::ChangeView;
use crate::moment::Moment;
use crate::mutex::lock;
use crate::windows::BUCKET;

/// Points of a chart at most.
const POINTS: usize = 600;
/// Rows of all limiters that are read for one chart. Beyond that, the averages in memory have to
/// do, as far as they reach: 2 h.
const ROWS: usize = 1_000_000;
const MINUTE_MS: i64 = 60_000;
const MEMORY_MS: i64 = 120 * MINUTE_MS;
/// What a history keeps unless told otherwise: a week.
const MINUTES: u32 = 7 * 24 * 60;

#[derive(Debug, Deserialize)]
pub(crate) struct Wanted {
    limiter: String,
    #[serde(default = "fifteen")]
    minutes: u32,
    /// Instead of minutes: from when to when, in milliseconds since 1970.
    from: Option<i64>,
    to: Option<i64>,
    points: Option<usize>,
}

fn fifteen() -> u32 {
    15
}

/// From when to when, and in how many points.
#[derive(Clone, Copy, Debug)]
struct Span {
    from_ms: i64,
    to_ms: i64,
    #[cfg_attr(not(feature = "history"), allow(dead_code, reason = "only for the history"))]
    points: usize,
}

#[derive(Debug, Serialize)]
pub(crate) struct Chart {
    /// `database` or `memory`.
    source: &'static str,
    from_ms: i64,
    to_ms: i64,
    points: Vec<PointView>,
    changes: Vec<ChangeView>,
    pauses: Vec<PauseView>,
    /// Why the database could not be asked.
    error: Option<String>,
}

/// A stretch of time that ends at `at_ms`. What the averages in memory do not know is missing.
#[derive(Debug, Default, Serialize)]
struct PointView {
    at_ms: i64,
    in_flight: f64,
    ceiling: f64,
    setting: Option<f64>,
    waiting: f64,
    peak_waiting: Option<f64>,
    paused: bool,
    granted_per_second: Option<f64>,
    waited_per_second: Option<f64>,
    cancelled_per_second: Option<f64>,
    refused_per_second: Option<f64>,
    wait_p50_ms: Option<f64>,
    wait_p99_ms: Option<f64>,
}

#[derive(Debug, Serialize)]
struct PauseView {
    at_ms: i64,
    paused: bool,
    cause: String,
}

pub(crate) async fn chart(State(app): State<Arc<App>>, Query(wanted): Query<Wanted>) -> Response {
    if wanted.minutes == 0 || wanted.minutes > MINUTES {
        return fail(StatusCode::BAD_REQUEST, format!("minutes is 1 to {MINUTES}"));
    }
    let now = Moment::since(app.engine.start);
    let to_ms = wanted.to.unwrap_or(now.unix_ms);
    let from_ms = wanted.from.unwrap_or(to_ms - i64::from(wanted.minutes) * MINUTE_MS);
    if !(1..=i64::from(MINUTES) * MINUTE_MS).contains(&to_ms.saturating_sub(from_ms)) {
        return fail(StatusCode::BAD_REQUEST, format!("from, then to, at most {MINUTES} minutes"));
    }
    let points = wanted.points.unwrap_or(POINTS).clamp(2, POINTS);
    let span = Span { from_ms, to_ms, points };
    let Some(memory) = app.memory_chart(&wanted.limiter, span, now) else {
        let error = format!("no limiter is named {:?}", wanted.limiter);
        return fail(StatusCode::NOT_FOUND, error);
    };
    let remembered = now.unix_ms.saturating_sub(from_ms) <= MEMORY_MS;
    if remembered && app.rows(span) > ROWS {
        return Json(memory).into_response();
    }
    // Reading the disk may take its time.
    let read = tokio::task::spawn_blocking(move || app.database_chart(&wanted.limiter, span)).await;
    let chart = match read {
        Ok(Ok(Some(chart))) if chart.points.len() >= memory.points.len().min(2) => chart,
        Ok(Ok(_)) => memory,
        Ok(Err(error)) => Chart { error: Some(error), ..memory },
        Err(panicked) => Chart { error: Some(panicked.to_string()), ..memory },
    };
    Json(chart).into_response()
}

impl App {
    /// About how many samples there are in a span: for the chart of one limiter, those of all are
    /// gone through.
    fn rows(&self, span: Span) -> usize {
        let health = self.engine.health();
        let running = self.engine.start.elapsed().as_secs_f64().max(1.0);
        let seconds = ((span.to_ms - span.from_ms) as f64 / 1e3).min(running);
        let limiters = lock(&self.engine.sampler).limiters().len() as f64;
        (health.samples as f64 / running * seconds * limiters) as usize
    }

    fn memory_chart(&self, name: &str, span: Span, now: Moment) -> Option<Chart> {
        let Span { from_ms, to_ms, .. } = span;
        let sampler = lock(&self.engine.sampler);
        let tracked = sampler.get(name)?;
        let buckets = (now.unix_ms - from_ms).max(0) / BUCKET.as_millis() as i64 + 1;
        let buckets = usize::try_from(buckets).unwrap_or(usize::MAX);
        let points = tracked.remembered(buckets, now);
        let points = points.filter(|(at_ms, _)| (from_ms..=to_ms).contains(at_ms));
        let points = points.map(|(at_ms, [in_flight, ceiling, waiting])| PointView {
            at_ms,
            in_flight: in_flight.into(),
            ceiling: ceiling.into(),
            waiting: waiting.into(),
            ..PointView::default()
        });
        let points = points.collect();
        let (changes, pauses) = (Vec::new(), Vec::new());
        Some(Chart { source: "memory", from_ms, to_ms, points, changes, pauses, error: None })
    }

    #[cfg(feature = "history")]
    fn database_chart(&self, name: &str, span: Span) -> Result<Option<Chart>, String> {
        use crate::history::reader::{ChangePoint, PausePoint, Point, Reader};
        const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);
        const MARKS: usize = 500;

        let Some(history) = &self.engine.history else { return Ok(None) };
        let options = history.options();
        let Span { from_ms, to_ms, points } = span;
        // Before the database is read: what is written in between is then in both.
        let waiting = history.waiting_of(name);
        let reader = Reader::open(&options.path, PATIENCE)?;
        let read = || {
            let Some(id) = reader.limiter(&options.run_id, name)? else { return Ok(None) };
            let series = reader.series(id, (from_ms, to_ms), points)?;
            let changes = reader.changes(id, (from_ms, to_ms), MARKS)?;
            Ok(Some((series, changes, reader.pauses(id, (from_ms, to_ms), MARKS)?)))
        };
        let read: rusqlite::Result<_> = read();
        let read = read.map_err(|error| error.to_string())?;
        if read.is_none() && waiting.rows.is_empty() {
            return Ok(None);
        }
        let (mut series, changes, pauses) = read.unwrap_or_default();
        let last = series.last().map_or(i64::MIN, |point| point.unix_ms);
        let fresh = waiting.rows.iter().filter(|row| row.unix_ms > last && !row.gone);
        for row in fresh.filter(|row| (from_ms..=to_ms).contains(&row.unix_ms)) {
            let before = series.last().map_or(row.unix_ms, |point| point.unix_ms);
            let mut point = Point {
                unix_ms: row.unix_ms,
                in_flight: row.in_flight.into(),
                ceiling: row.ceiling.into(),
                setting: Some(row.setting.into()),
                waiting: row.waiting.into(),
                paused: row.paused,
                peak_waiting: row.waiting.into(),
                seconds: (row.unix_ms - before) as f64 / 1e3,
                ..Point::default()
            };
            if let Some(counts) = &row.counts {
                point.count(counts);
            }
            series.push(point);
        }
        let point = |p: Point| {
            let per_second = |n: u64| (p.seconds > 0.0).then(|| n as f64 / p.seconds);
            PointView {
                at_ms: p.unix_ms,
                in_flight: p.in_flight,
                ceiling: p.ceiling,
                setting: p.setting,
                waiting: p.waiting,
                peak_waiting: Some(p.peak_waiting),
                paused: p.paused,
                granted_per_second: per_second(p.granted),
                waited_per_second: per_second(p.waited),
                cancelled_per_second: per_second(p.cancelled),
                refused_per_second: per_second(p.refused),
                wait_p50_ms: p.wait_p50.map(|wait| wait * 1e3),
                wait_p99_ms: p.wait_p99.map(|wait| wait * 1e3),
            }
        };
        let change = |row: ChangePoint| {
            ChangeView::new(
                row.unix_ms,
                row.cap,
                (row.from.unsigned_abs(), row.to.unsigned_abs()),
                row.ceiling.map(i64::unsigned_abs),
                row.cause,
            )
        };
        let pause = |row: PausePoint| PauseView {
            at_ms: row.unix_ms,
            paused: row.paused,
            cause: row.cause,
        };
        let mut changes: Vec<_> = changes.into_iter().map(change).collect();
        let last = changes.last().map_or(i64::MIN, |change| change.at_ms);
        let fresh = waiting.changes.into_iter().map(|(_, dated)| ChangeView::from(dated));
        changes.extend(fresh.filter(|change| change.at_ms > last));
        let mut pauses: Vec<_> = pauses.into_iter().map(pause).collect();
        let last = pauses.last().map_or(i64::MIN, |pause| pause.at_ms);
        let fresh = waiting.pauses.into_iter().filter(|(_, pause)| pause.unix_ms > last);
        pauses.extend(fresh.map(|(_, pause)| PauseView {
            at_ms: pause.unix_ms,
            paused: pause.paused,
            cause: pause.cause.into(),
        }));
        let points = series.into_iter().map(point).collect();
        Ok(Some(Chart { source: "database", from_ms, to_ms, points, changes, pauses, error: None }))
    }

    #[cfg(not(feature = "history"))]
    fn database_chart(&self, _: &str, _: Span) -> Result<Option<Chart>, String> {
        Ok(None)
    }
}
