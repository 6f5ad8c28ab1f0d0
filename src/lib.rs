#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![doc = include_str!("../README.md")]

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
mod queue;
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

/// The recipes, so that they compile.
#[cfg(all(doctest, feature = "serde", feature = "stats"))]
#[doc = include_str!("../docs/guide.md")]
struct Guide;
