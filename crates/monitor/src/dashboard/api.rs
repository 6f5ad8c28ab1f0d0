//! The answers.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::stream::unfold;
use grmgr::{Adjust, Handle, Limiter};
use serde::Deserialize;
use serde_json::json;

use super::guard::Refusal;
use super::view::{Filter, Frame, Order, Outcome, Pressed};
use super::{App, exposition, page};
use crate::worker::lock;

const CAUSE: &str = "dashboard";
/// The longest body of a request. A press of a button is a name and a number.
const BODY: usize = 16 * 1_024;
/// A request is to be answered by then; event streams begin by then.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
const SHOWN: usize = 200;
const SHOWN_AT_MOST: usize = 1_000;

pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/", get(page::page))
        .route("/api/limiters", get(limiters))
        .route("/api/events", get(events))
        .route("/api/history", get(super::history::history))
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
    let admitted =
        app.guard.admit(request.headers()).and_then(|()| match request.method().is_safe() {
            true => Ok(()),
            false => app.guard.admit_change(request.headers()),
        });
    let mut response = match admitted {
        Err(refusal) => refuse(&refusal),
        Ok(()) => tokio::time::timeout(ANSWER_WITHIN, next.run(request))
            .await
            .unwrap_or_else(|_| fail(StatusCode::REQUEST_TIMEOUT, "the request took too long")),
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn refuse(refusal: &Refusal) -> Response {
    match refusal {
        Refusal::Host => fail(
            StatusCode::MISDIRECTED_REQUEST,
            "the dashboard does not know this host name: call it by its address in numbers, or \
             name the host with Builder::dashboard_host",
        ),
        Refusal::Origin => {
            fail(StatusCode::FORBIDDEN, "requests from pages of other sites are refused")
        }
        Refusal::Token => {
            fail(StatusCode::UNAUTHORIZED, "changes need the token: Authorization: Bearer <token>")
        }
    }
}

pub(crate) fn fail(status: StatusCode, error: impl Into<String>) -> Response {
    (status, Json(json!({ "error": error.into() }))).into_response()
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wanted {
    /// Part of the names.
    q: String,
    limit: Option<usize>,
    order: Order,
}

impl Wanted {
    fn filter(self) -> Filter {
        let limit = self.limit.unwrap_or(SHOWN).min(SHOWN_AT_MOST);
        Filter { part: self.q.to_lowercase(), limit, order: self.order }
    }
}

async fn limiters(State(app): State<Arc<App>>, Query(wanted): Query<Wanted>) -> Response {
    Json(app.frame(&wanted.filter())).into_response()
}

/// A frame now and one at every sample. Whoever is slow to read skips frames.
async fn events(State(app): State<Arc<App>>, Query(wanted): Query<Wanted>) -> Response {
    let Ok(permit) = app.limits.streams.try_acquire_owned() else {
        return fail(StatusCode::SERVICE_UNAVAILABLE, "too many event streams are open");
    };
    let mut sampled = app.engine.sampled.subscribe();
    sampled.mark_changed();
    let filter = wanted.filter();
    let stream = unfold((app, sampled, filter, permit), |mut state| async move {
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
    let to = |to| Outcome::of(limiter.adjust(to, CAUSE));
    let outcome = match (press.action, press.ceiling) {
        (Action::Set, Some(ceiling)) => to(Adjust::To(ceiling)),
        (Action::Set, None) => return fail(StatusCode::BAD_REQUEST, "set needs a ceiling"),
        (_, Some(_)) => return fail(StatusCode::BAD_REQUEST, "only set takes a ceiling"),
        (Action::Up, None) => to(Adjust::Up),
        (Action::Down, None) => to(Adjust::Down),
        (Action::Pause, None) => set_paused(&limiter, true),
        (Action::Resume, None) => set_paused(&limiter, false),
    };
    tracing::info!(limiter = limiter.name(), action = ?press.action, ?outcome, "dashboard");
    Json(Pressed::new(&limiter, outcome)).into_response()
}

fn set_paused(limiter: &Limiter, paused: bool) -> Outcome {
    if paused {
        limiter.pause();
        Outcome::Paused
    } else {
        limiter.resume();
        Outcome::Resumed
    }
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
}
