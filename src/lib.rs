//! Adjustable concurrency limits for async and blocking code.
//!
//! A [`Limiter`] lets at most `ceiling` pieces of work run at once. Work asks for a permit, waits in line
//! if none is free, and gives it back by dropping it. The ceiling moves while the program runs. A limiter
//! is one atomic word and a queue of waiters; it is bound to no runtime.
//!
#![cfg_attr(feature = "std", doc = "```")]
#![cfg_attr(not(feature = "std"), doc = "```ignore")]
//! use grmgr::{Adjustment, Limiter};
//!
//! static DB: Limiter = Limiter::const_new("db", 20);
//!
//! async fn query() -> Result<(), grmgr::AcquireError> {
//!     let _permit = DB.acquire().await?;
//!     // At most 20 get here at once.
//!     Ok(())
//! }
//!
//! assert_eq!(DB.down(), Adjustment::Changed { from: 20, to: 18 });
//! ```
//!
//! - *Getting permits*: [`Limiter::acquire`], [`try_acquire`](Limiter::try_acquire),
//!   [`acquire_many`](Limiter::acquire_many), [`run`](Limiter::run), [`acquire_all`]; owned ones from a
//!   [`Handle`]. Blocking: see [`AcquireOf`].
//! - *Moving the ceiling*: [`up`](Limiter::up), [`down`](Limiter::down),
//!   [`set_ceiling`](Limiter::set_ceiling), [`pause`](Limiter::pause); [`cap`](Limiter::cap) for several
//!   hands on one ceiling; [`Throttle`] for bounds, steps and holds.
//! - *Ending*: [`close`](Limiter::close), [`wait`](Limiter::wait).
//! - *Many limiters*: `Registry`, and `Config` to make them from a file.
//! - *Reading*: [`Snapshot`]; with feature `stats` counters, histograms and holders.
//!
//! The docs of [`Limiter`] say what is promised about order, wake-ups and wakers, and what is not.
//!
//! # Features
//!
//! `std` (default): blocking waits, the system's clock, `Limiter::new`, the registry, `Config`. `tracing`:
//! events. `serde`: `Config` from a file, snapshots to one. `stats`: counters. `portable-atomic`: 64-bit
//! atomics where there are none. Without `std` the crate needs `alloc`.

#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod acquire;
mod all;
#[cfg(feature = "std")]
mod apply;
#[cfg(feature = "std")]
mod block;
mod builder;
mod caps;
mod cell;
mod clock;
#[cfg(feature = "std")]
mod config;
mod error;
mod handle;
mod idle;
mod limiter;
mod observe;
#[cfg(all(feature = "std", not(any(loom, shuttle))))]
mod options;
mod permit;
#[cfg(feature = "std")]
mod registry;
mod run;
mod snapshot;
mod state;
#[cfg(feature = "stats")]
mod stats;
mod sync;
mod throttle;
mod waiter;

pub use acquire::{Acquire, AcquireOf, AcquireOwned};
pub use all::{AcquireAll, acquire_all};
#[cfg(feature = "std")]
pub use apply::{Applied, ApplyError, Outcome};
pub use builder::Builder;
pub use caps::{Cap, CapOf, Hand, OwnedCap, TooManyCaps};
#[cfg(feature = "std")]
pub use clock::SystemClock;
pub use clock::{Clock, ManualClock};
#[cfg(feature = "std")]
pub use config::{Config, Configs, InvalidConfig};
pub use error::{AcquireError, ConfigError, TryAcquireError};
pub use handle::{Handle, WeakHandle};
pub use idle::{Wait, WaitOf, WaitOwned};
pub use limiter::Limiter;
pub use permit::{OwnedPermit, Permit, PermitOf};
#[cfg(feature = "std")]
pub use registry::{NameTaken, Registry};
pub use run::{Run, RunOf, RunOwned};
pub use snapshot::Snapshot;
#[cfg(feature = "stats")]
pub use stats::{Change, Histogram, Holder, Stats};
pub use throttle::{Adjust, Adjustment, ParseAdjustError, Step, Throttle};

/// The code blocks of the README.
#[cfg(all(doctest, feature = "std"))]
#[doc = include_str!("../README.md")]
struct Readme;
