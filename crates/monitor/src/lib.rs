#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![doc = include_str!("../README.md")]

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
