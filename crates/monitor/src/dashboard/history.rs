//! The last minutes or hours of one limiter, for its chart: from the database, or else from the
//! averages in memory.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::App;
use super::api::fail;
use super::view::ChangeView;
use crate::moment::Moment;
use crate::windows::BUCKET;
use crate::worker::lock;

/// Points of a chart at most.
const POINTS: usize = 600;
/// Rows of all limiters that are read for one chart. Beyond that, the averages in memory have to
/// do, as far as they reach: 2 h.
const ROWS: usize = 1_000_000;
const MEMORY_MINUTES: u32 = 120;
/// A week: what a history keeps unless told otherwise.
const MINUTES: u32 = 7 * 24 * 60;

#[derive(Debug, Deserialize)]
pub(crate) struct Wanted {
    limiter: String,
    #[serde(default = "fifteen")]
    minutes: u32,
}

fn fifteen() -> u32 {
    15
}

/// What a chart begins with.
#[derive(Debug, Serialize)]
pub(crate) struct Chart {
    /// `database` or `memory`.
    source: &'static str,
    /// Time, in flight, ceiling, waiting, paused.
    points: Vec<(i64, f64, f64, f64, bool)>,
    changes: Vec<ChangeView>,
    /// Why the database could not be asked.
    error: Option<String>,
}

pub(crate) async fn history(State(app): State<Arc<App>>, Query(wanted): Query<Wanted>) -> Response {
    if wanted.minutes == 0 || wanted.minutes > MINUTES {
        return fail(StatusCode::BAD_REQUEST, format!("minutes is 1 to {MINUTES}"));
    }
    let Some(memory) = app.memory_chart(&wanted) else {
        let error = format!("no limiter is named {:?}", wanted.limiter);
        return fail(StatusCode::NOT_FOUND, error);
    };
    if wanted.minutes <= MEMORY_MINUTES && app.rows(wanted.minutes) > ROWS {
        return Json(memory).into_response();
    }
    // Reading the disk may take its time.
    let read = tokio::task::spawn_blocking(move || app.database_chart(&wanted)).await;
    let chart = match read {
        Ok(Ok(Some(chart))) if chart.points.len() >= memory.points.len().min(2) => chart,
        Ok(Ok(_)) => memory,
        Ok(Err(error)) => Chart { error: Some(error), ..memory },
        Err(panicked) => Chart { error: Some(panicked.to_string()), ..memory },
    };
    Json(chart).into_response()
}

impl App {
    /// About how many samples so many minutes have: for the chart of one limiter, those of all are
    /// gone through.
    fn rows(&self, minutes: u32) -> usize {
        let health = self.engine.health();
        let seconds = self.engine.start.elapsed().as_secs_f64().max(1.0);
        let minutes = f64::from(minutes).min(seconds / 60.0);
        let limiters = lock(&self.engine.sampler).limiters().len() as f64;
        (health.samples as f64 / seconds * 60.0 * minutes * limiters) as usize
    }

    fn memory_chart(&self, wanted: &Wanted) -> Option<Chart> {
        let now = Moment::since(self.engine.start);
        let sampler = lock(&self.engine.sampler);
        let tracked = sampler.get(&wanted.limiter)?;
        let buckets = (wanted.minutes as usize).saturating_mul(60) / BUCKET.as_secs() as usize;
        let at_ms = |age| {
            let ago = now.elapsed.saturating_sub(tracked.first_seen() + age);
            now.unix_ms - ago.as_millis() as i64
        };
        let points = tracked.windows.recent(buckets).map(|(age, [in_flight, ceiling, waiting])| {
            (at_ms(age), in_flight.into(), ceiling.into(), waiting.into(), false)
        });
        let points = points.collect();
        Some(Chart { source: "memory", points, changes: Vec::new(), error: None })
    }

    #[cfg(feature = "history")]
    fn database_chart(&self, wanted: &Wanted) -> Result<Option<Chart>, String> {
        use crate::history::read::{ChangeRow, Point, Reader};
        use crate::moment::unix_ms;
        const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);
        const CHANGES: usize = 500;

        let Some(history) = &self.engine.history else { return Ok(None) };
        let options = history.options();
        // Before the database is read: what is written in between is then in both.
        let waiting = history.waiting_of(&wanted.limiter);
        let reader = Reader::open(&options.path, PATIENCE)?;
        let now = unix_ms();
        let from = now - i64::from(wanted.minutes) * 60_000;
        let read = || {
            let Some(id) = reader.limiter(&options.run_id, &wanted.limiter)? else {
                return Ok(None);
            };
            let points = reader.series(id, (from, now), POINTS)?;
            Ok(Some((points, reader.changes(id, from, CHANGES)?)))
        };
        let read: rusqlite::Result<_> = read();
        let Some((points, changes)) = read.map_err(|error| error.to_string())? else {
            return Ok(None);
        };
        let point = |p: Point| (p.unix_ms, p.in_flight, p.ceiling, p.waiting, p.paused);
        let change = |row: ChangeRow| ChangeView {
            at_ms: row.unix_ms,
            from: row.from.unsigned_abs(),
            to: row.to.unsigned_abs(),
            cause: row.cause,
        };
        let mut points: Vec<_> = points.into_iter().map(point).collect();
        let last = points.last().map_or(from, |(at, ..)| *at);
        let waiting = waiting.iter().filter(|row| row.unix_ms > last);
        points.extend(waiting.map(|row| {
            let [in_flight, ceiling, waiting] =
                [row.in_flight, row.ceiling, row.waiting].map(f64::from);
            (row.unix_ms, in_flight, ceiling, waiting, row.paused)
        }));
        Ok(Some(Chart {
            source: "database",
            points,
            changes: changes.into_iter().map(change).collect(),
            error: None,
        }))
    }

    #[cfg(not(feature = "history"))]
    fn database_chart(&self, _: &Wanted) -> Result<Option<Chart>, String> {
        Ok(None)
    }
}
