//! Adjustable concurrency limits for tower services: axum, hyper, tonic, and clients.
//!
//! A [`LimitLayer`] puts a service under a [`grmgr`] limiter, whose ceiling moves while the program
//! runs. The permit is acquired in the future of a request, not when the service is asked whether it
//! is ready, and can be held until the body of the response has ended.
//!
#![cfg_attr(feature = "tokio", doc = "```")]
#![cfg_attr(not(feature = "tokio"), doc = "```ignore")]
//! use std::time::Duration;
//! use axum::{Router, routing::get};
//! use grmgr::Limiter;
//! use grmgr_tower::LimitLayer;
//!
//! static SEARCH: Limiter = Limiter::const_new("search", 20).with_max_waiting(100);
//! static EXPORT: Limiter = Limiter::const_new("export", 2);
//!
//! let app: Router = Router::new()
//!     .route("/search", get(async || "…"))
//!     // At most 20 at once, 100 in line, each for 500 ms. Further ones get 503 and `Retry-After`.
//!     .route_layer(LimitLayer::new(&SEARCH).queue_for(Duration::from_millis(500)).respond())
//!     .route("/export", get(async || "…").layer(LimitLayer::new(&EXPORT).shed().respond()));
//! ```
//!
//! - *Which limiter*: [`LimitLayer::new`], [`per_key`](LimitLayer::per_key) for tenants, hosts, routes;
//!   [`weight`](LimitLayer::weight) for requests that need more than one permit.
//! - *No permit*: wait, [`queue_for`](LimitLayer::queue_for_with) some time, or
//!   [`shed`](LimitLayer::shed). How many may wait is up to the limiter.
//! - *Turned away*: an [`Overloaded`] error; with [`respond`](LimitLayer::respond) an HTTP answer, and
//!   the status RESOURCE_EXHAUSTED to gRPC.
//! - *Until when*: [`hold`](LimitLayer::hold). With `hold` or `respond` until the body ends; with neither,
//!   until the response is there.
//! - *Whose*: `LimitLayer::label`, with feature `stats`, names each request among the holders of permits.
//! - *How many*: up to you, or to the requests themselves: `LimitLayer::adaptive`, with feature `adaptive`.
//!
//! # Features
//!
//! `tokio` (default): `queue_for` with tokio's timer. `tonic`: a limited tonic service keeps its name
//! (`NamedService`), tonic answers an [`Overloaded`] error with its status, and `adaptive` counts an error that
//! is a `tonic::Status` by its code. `adaptive`: `LimitLayer::adaptive`, a ceiling that moves itself. `stats`:
//! `LimitLayer::label`, and the feature of that name of [`grmgr`].

#![forbid(unsafe_code)]
#![warn(missing_docs)]

#[cfg(feature = "adaptive")]
mod adaptive;
mod body;
mod error;
mod future;
mod layer;
mod meter;
mod mode;
mod pick;
mod queue;
mod service;

#[cfg(feature = "adaptive")]
pub use adaptive::{Measured, Usual};
pub use body::LimitBody;
pub use error::{Overloaded, Reason};
pub use future::ResponseFuture;
pub use layer::LimitLayer;
pub use meter::Meter;
pub use mode::{Answer, Answers, BoxError, Errors, HttpErrors, Mode, Until};
#[cfg(feature = "stats")]
pub use pick::Labelled;
pub use pick::{Limiters, PerKey, Pick, Weighted};
pub use service::Limit;

/// The code blocks of the README.
#[cfg(all(doctest, feature = "tokio", feature = "adaptive"))]
#[doc = include_str!("../README.md")]
struct Readme;
