//! What is asked, and what is pressed.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Extension, Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::stream::unfold;
use grmgr::{Adjust, Handle};
use serde::Deserialize;

use super::answer::{fail, refuse};
use super::serve::Peer;
use super::view::{Filter, Frame, Order, Outcome, Pressed, Sparks};
use super::{App, CAUSE, chart, exposition, page};
use crate::mutex::lock;

/// The longest body of a request. A press of a button is a name and a number.
const BODY: usize = 16 * 1_024;
/// A request is to be answered by then; event streams begin by then.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
const SHOWN: usize = 200;
const SHOWN_AT_MOST: usize = 1_000;

pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/", get(page::page))
        .route("/limiter", get(page::page))
        .route(page::PLOT, get(page::plot))
        .route("/api/limiters", get(limiters))
        .route("/api/sparks", get(sparks))
        .route("/api/events", get(events))
        .route("/api/history", get(chart::chart))
        .route("/api/adjust", post(adjust))
        .route("/api/adjust-all", post(adjust_all))
        .route("/metrics", get(metrics))
        .fallback(|| async { fail(StatusCode::NOT_FOUND, "there is no such page") })
        .method_not_allowed_fallback(|| async {
            fail(StatusCode::METHOD_NOT_ALLOWED, "this page does not take that method")
        })
        .layer(DefaultBodyLimit::max(BODY))
        .layer(middleware::from_fn_with_state(app.clone(), around))
        .with_state(app)
}

/// Around every answer: who may ask, how long it may take, and how a browser is to treat it.
async fn around(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let (guard, headers) = (&app.guard, request.headers());
    let path = request.uri().path();
    // The page itself says nothing of the program: it asks for the token.
    let tells = path.starts_with("/api/") || path == "/metrics";
    let admitted = guard.admit(headers).and_then(|()| match request.method().is_safe() {
        true if tells => guard.admit_reading(headers),
        true => Ok(()),
        false => guard.admit_change(headers),
    });
    let mut response = match admitted {
        Err(refusal) => refuse(&refusal),
        Ok(()) => tokio::time::timeout(ANSWER_WITHIN, next.run(request))
            .await
            .unwrap_or_else(|_| fail(StatusCode::REQUEST_TIMEOUT, "the request took too long")),
    };
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    for (name, value) in [
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wanted {
    /// Part of the names.
    q: String,
    limit: Option<usize>,
    order: Order,
    reverse: bool,
    /// All about this one.
    limiter: Option<String>,
    minutes: Option<u32>,
}

impl Wanted {
    fn filter(self) -> Filter {
        let limit = self.limit.unwrap_or(SHOWN).min(SHOWN_AT_MOST);
        let (part, order, reverse) = (self.q.to_lowercase(), self.order, self.reverse);
        Filter { part, limit, order, reverse, detail: self.limiter }
    }
}

async fn limiters(State(app): State<Arc<App>>, Query(wanted): Query<Wanted>) -> Response {
    Json(app.frame(&wanted.filter())).into_response()
}

/// The last minutes of each limiter, for small charts: from memory, at most 2 h.
async fn sparks(State(app): State<Arc<App>>, Query(wanted): Query<Wanted>) -> Response {
    let minutes = wanted.minutes.unwrap_or(15).clamp(1, 120);
    Json(Sparks::new(&app.engine, &wanted.filter(), minutes)).into_response()
}

/// A frame now and one at every sample. Whoever is slow to read skips frames.
async fn events(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Query(wanted): Query<Wanted>,
) -> Response {
    let Some(place) = app.limits.stream(peer) else {
        return fail(StatusCode::SERVICE_UNAVAILABLE, "too many event streams are open");
    };
    let mut sampled = app.engine.sampled.subscribe();
    sampled.mark_changed();
    let filter = wanted.filter();
    let stream = unfold((app, sampled, filter, place), |mut state| async move {
        // An error: the monitor has ended, and with it the stream.
        state.1.changed().await.ok()?;
        let frame = serde_json::to_string(&state.0.frame(&state.2)).ok()?;
        let event = Bytes::from(format!("event: frame\ndata: {frame}\n\n"));
        Some((Ok::<_, Infallible>(event), state))
    });
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(stream)).into_response()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Press {
    limiter: String,
    action: Action,
    ceiling: Option<usize>,
    /// Only if the setting is this: nobody has changed it meanwhile.
    expect: Option<usize>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Up,
    Down,
    Set,
    Pause,
    Resume,
}

async fn adjust(
    State(app): State<Arc<App>>,
    press: Result<Json<Press>, JsonRejection>,
) -> Response {
    let press = match press {
        Ok(Json(press)) => press,
        Err(rejection) => return fail(rejection.status(), rejection.body_text()),
    };
    let Some(limiter) = app.source.get(&press.limiter) else {
        let error = format!("no limiter is named {:?}", press.limiter);
        return fail(StatusCode::NOT_FOUND, error);
    };
    if let Some(expected) = press.expect {
        let setting = limiter.setting();
        if setting != expected {
            let error = format!("it has been changed meanwhile: it is set to {setting}");
            return fail(StatusCode::CONFLICT, error);
        }
    }
    let to = |to| Outcome::of(limiter.adjust(to, CAUSE));
    let outcome = match (press.action, press.ceiling) {
        (Action::Set, Some(ceiling)) => {
            let throttle = limiter.throttle();
            let (min, max) = (throttle.min, throttle.max);
            if !(min..=max).contains(&ceiling) {
                let error = format!("{ceiling} is out of range: give a number from {min} to {max}");
                return fail(StatusCode::BAD_REQUEST, error);
            }
            to(Adjust::To(ceiling))
        }
        (Action::Set, None) => return fail(StatusCode::BAD_REQUEST, "set needs a ceiling"),
        (_, Some(_)) => return fail(StatusCode::BAD_REQUEST, "only set takes a ceiling"),
        (Action::Up, None) => to(Adjust::Up),
        (Action::Down, None) => to(Adjust::Down),
        (Action::Pause, None) => app.pause(&limiter, true),
        (Action::Resume, None) => app.pause(&limiter, false),
    };
    tracing::info!(limiter = limiter.name(), action = ?press.action, ?outcome, "dashboard");
    Json(Pressed::new(&limiter, outcome)).into_response()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PressAll {
    action: ActionAll,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ActionAll {
    Up,
    Down,
}

async fn adjust_all(
    State(app): State<Arc<App>>,
    press: Result<Json<PressAll>, JsonRejection>,
) -> Response {
    let action = match press {
        Ok(Json(press)) => press.action,
        Err(rejection) => return fail(rejection.status(), rejection.body_text()),
    };
    let to = match action {
        ActionAll::Up => Adjust::Up,
        ActionAll::Down => Adjust::Down,
    };
    let results = app.source.adjust_all(to, CAUSE);
    tracing::info!(?action, limiters = results.len(), "dashboard: all");
    let pressed =
        |(limiter, adjustment): (Handle, _)| Pressed::new(&limiter, Outcome::of(adjustment));
    Json(results.into_iter().map(pressed).collect::<Vec<_>>()).into_response()
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    let text = exposition::text(lock(&app.engine.sampler).limiters());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

impl App {
    fn frame(&self, filter: &Filter) -> Frame {
        Frame::new(&self.engine, self.guard.needs_token(), filter)
    }

    fn pause(&self, limiter: &grmgr::Limiter, paused: bool) -> Outcome {
        self.engine.pause(limiter, paused, CAUSE);
        if paused { Outcome::Paused } else { Outcome::Resumed }
    }
}
