//! Compares grmgr with the semaphores one would use instead of it.
//!
//! - [`peers`]: one adapter a peer, behind common traits.
//! - [`work`]: what is measured, one module a theme, generic over the peer.
//! - [`suite`]: which work with which numbers; [`measure`] runs it, peers interleaved.
//! - [`table`], [`bars`] with [`verdict`], [`curves`] with [`chart`]: what the command `compare`
//!   prints and draws.
//!
//! The criterion suites under `benches/` time the same [`work`].

pub mod alloc;
pub mod bars;
pub mod chart;
pub mod curves;
pub mod machine;
pub mod measure;
pub mod peers;
pub mod stats;
pub mod suite;
pub mod table;
pub mod verdict;
pub mod watchdog;
pub mod work;
