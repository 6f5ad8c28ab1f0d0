#![no_std]

#![forbid(unsafe_code)]
#![warn(missing_docs)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod aimd;
mod arm;
mod controller;
mod experiment;
mod vegas;

pub use aimd::Aimd;
pub use controller::{Controller, Outcome, Sample};
pub use experiment::Experiment;
pub use vegas::Vegas;
