#![forbid(unsafe_code)]
#![warn(missing_docs)]
//! Watches the limiters of [`grmgr`] while a program runs: a history in a SQLite file, a dashboard in the
//! browser with buttons to turn them, metrics, and a watcher that caps them while the CPU is overloaded.
//!
//! ```no_run
//! use grmgr::{Limiter, Registry};
//! use grmgr_monitor::Monitor;
//!
//! let db = Registry::global().register(Limiter::new("db", 20))?;
//! # #[cfg(all(feature = "history", feature = "dashboard"))]
//! let monitor = Monitor::builder(Registry::global())
//!     .history("stats.db")
//!     .dashboard("127.0.0.1:9187")
//!     .start()?;
//! let permit = db.acquire_blocking()?;
//! // ... the program ...
//! # drop(permit);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A [`Monitor`] owns its threads and works beside any executor, or none. Nothing of it runs when a permit is
//! taken or given back, and the program goes on whatever happens to the disk, the network or the browser.
//! Everything is switched on by the [`Builder`], and each part is a cargo feature, all of them on by default:
//!
//! | feature | part |
//! |---|---|
//! | `history` | samples, averages and every change of a ceiling, in a SQLite file |
//! | `dashboard` | the page, its JSON and events, `/metrics` in the text format of Prometheus |
//! | `metrics` | gauges and counters through the `metrics` facade |
//! | `pressure` | caps while the CPU is overloaded |
//!
//! The README of the package has pictures, what each part promises, and what it costs.

mod builder;
mod counts;
#[cfg(feature = "dashboard")]
mod dashboard;
mod engine;
mod error;
#[cfg(any(feature = "dashboard", feature = "metrics"))]
mod gauges;
mod health;
#[cfg(feature = "history")]
mod history;
#[cfg(feature = "metrics")]
mod metrics;
mod moment;
mod monitor;
mod mutex;
#[cfg(feature = "pressure")]
mod pressure;
#[cfg(feature = "dashboard")]
mod recent;
#[cfg(feature = "history")]
pub mod recorded;
mod sampler;
mod source;
mod windows;
mod worker;

pub use builder::Builder;
pub use error::StartError;
pub use health::{Health, HistoryHealth};
pub use monitor::Monitor;
#[cfg(feature = "pressure")]
pub use pressure::Pressure;
pub use source::Source;

/// The code blocks of the README.
#[cfg(all(
    doctest,
    feature = "history",
    feature = "dashboard",
    feature = "metrics",
    feature = "pressure"
))]
#[doc = include_str!("../README.md")]
struct Readme;
