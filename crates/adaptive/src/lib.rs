#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![doc = include_str!("../README.md")]

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
