//! Finds concurrency limits by itself: a ceiling that moves to where more of it buys nothing.
//!
//! An `Adaptive` is a limiter of [`grmgr`](https://docs.rs/grmgr) together with a [`Controller`], which learns from each
//! request when it began, how long it took and how it ended, and moves the ceiling. The usual controller is
//! [`Experiment`]; there are [`Vegas`] and [`Aimd`] besides, and yours.
//!
#![cfg_attr(feature = "std", doc = "```")]
#![cfg_attr(not(feature = "std"), doc = "```ignore")]
//! use grmgr::Limiter;
//! use grmgr_adaptive::Adaptive;
//!
//! # smol::block_on(async {
//! let backend = Adaptive::new(Limiter::builder("backend").ceiling(20).max(200).build()?)?;
//!
//! let permit = backend.acquire().await?;
//! // … the request …
//! permit.success();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! `std` (default): `Adaptive`. Without it there are the controllers, which need `alloc` and no clock.
//! `tracing`: an event for each ceiling that a controller wants, and for one that has panicked.

#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

#[cfg(feature = "std")]
mod adaptive;
mod aimd;
mod arm;
mod controller;
mod experiment;
mod vegas;

#[cfg(feature = "std")]
pub use adaptive::{Adaptive, Builder, MeasuredPermit, OwnedPermit, Permit, Snapshot, Started};
pub use aimd::Aimd;
pub use controller::{Controller, Outcome, Sample};
pub use experiment::Experiment;
pub use vegas::Vegas;

/// The code blocks of the README.
#[cfg(all(doctest, feature = "std"))]
#[doc = include_str!("../README.md")]
struct Readme;
