#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![cfg_attr(not(feature = "redis"), allow(rustdoc::broken_intra_doc_links))]
#![doc = include_str!("../README.md")]

mod clock;
mod core;
mod guard;
mod lease;
mod ledger;
mod member;
mod memory;
#[cfg(test)]
mod model;
mod observe;
mod random;
#[cfg(feature = "redis")]
mod redis;
mod state;
mod store;
#[cfg(test)]
mod tests;

pub use clock::LeaseClock;
pub use member::{Builder, Member, StartError};
pub use memory::MemoryStore;
#[cfg(feature = "redis")]
pub use redis::{InvalidAddress, RedisStore};
pub use state::{State, Warning, Why};
pub use store::{Answer, Request, Risk, ShareStore, StoreError, Terms};
