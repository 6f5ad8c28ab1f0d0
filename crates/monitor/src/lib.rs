#![forbid(unsafe_code)]
#![warn(missing_docs)]
// With parts left out, some of what the sampler knows has no reader.
#![cfg_attr(
    not(all(feature = "dashboard", feature = "history", feature = "metrics")),
    allow(dead_code)
)]
#![doc = include_str!("../README.md")]

mod builder;
#[cfg(feature = "dashboard")]
mod dashboard;
mod engine;
mod error;
mod health;
#[cfg(feature = "history")]
mod history;
mod latency;
#[cfg(feature = "metrics")]
mod metrics;
mod moment;
mod monitor;
#[cfg(feature = "pressure")]
mod pressure;
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
