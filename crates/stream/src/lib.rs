//! Streams under an adjustable concurrency limit.
//!
//! [`StreamExt`] gives every stream methods that make a future for each item. As many of these futures run
//! at once as a [`grmgr`] limiter allows, and its ceiling can be moved while they run. The limiter can be
//! shared with other streams, tasks and threads.
//!
//! ```
//! use futures_util::{StreamExt as _, stream};
//! use grmgr::Limiter;
//! use grmgr_stream::StreamExt as _;
//!
//! static FETCHES: Limiter = Limiter::const_new("fetches", 8);
//!
//! # smol::block_on(async {
//! let pages = stream::iter(1..=3).map_limited(&FETCHES, async |page| format!("page {page}"));
//! let pages: Vec<_> = pages.map(|page| page.expect("never closed")).collect().await;
//! assert_eq!(pages, ["page 1", "page 2", "page 3"]);
//! # });
//! ```
//!
//! | | results in order | results as they come | no results |
//! |---|---|---|---|
//! | every item | [`map_limited`] | [`map_limited_unordered`] | [`for_each_limited`] |
//! | until the first error | [`try_map_limited`] | [`try_map_limited_unordered`] | [`try_for_each_limited`] |
//!
//! [`map_limited`]: StreamExt::map_limited
//! [`map_limited_unordered`]: StreamExt::map_limited_unordered
//! [`for_each_limited`]: StreamExt::for_each_limited
//! [`try_map_limited`]: StreamExt::try_map_limited
//! [`try_map_limited_unordered`]: StreamExt::try_map_limited_unordered
//! [`try_for_each_limited`]: StreamExt::try_for_each_limited
//!
//! # Permits
//!
//! An item gets its permit before its future is made. The permit is given back the moment that future
//! is ready, not when its result is taken. A stream leaves the line when it yields a result, so between two
//! results it keeps no permit for work that has not begun. A future has its permit already: one that
//! acquires the same limiter again may wait for ever.
//!
//! # Nothing runs unless the stream is polled
//!
//! Nothing is spawned. The futures run while the consumer waits for the next result. While it does
//! something else, they stand still and keep their permits. So a consumer that acquires the same limiter
//! between two results may wait for futures that nobody polls. There are two ways out: give the consumer a
//! limiter of its own, or make its work another stage.
//!
//! *Stages* are limited streams built on one another, as in `a.map_limited(…).map_limited(…)`. They may
//! share a limiter. A stage that waits for a permit goes on polling the stage before it, so the futures
//! there, which may hold the permits, run on. Later stages go first: while one waits for a permit, the
//! stages before it begin nothing under the same limiter. So items that have begun are finished before
//! others begin.
//!
//! A stream whose `next` is pending may stand in line. If you stop waiting for it, in a `select!` or at a
//! time-out, poll it again soon or drop it. Otherwise, when its turn comes, the requests behind it wait.
//!
//! # What is buffered
//!
//! An item is in the buffer from the moment the stream takes it from its source until its result is taken
//! from the stream: it waits for a permit, runs, or is ready. By default the buffer has room for one item
//! more than the ceiling; with [`buffer`](MapLimited::buffer) for as many as you say.
//!
//! Where results come in order, those that are ready wait for a slow one before them. When they fill the
//! buffer, a raised ceiling has an effect only once the slow one is ready.
//!
//! The default has one exception. A stage that waits for a permit and has nothing running takes in more: up
//! to what it had at its highest ceiling and what the stages before it may have, for they may hold the
//! permits.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod core;
mod each;
mod ext;
mod form;
mod map;
mod running;
mod stages;

pub use each::ForEachLimited;
pub use ext::StreamExt;
pub use form::{Form, Plain, Try};
pub use map::{MapLimited, MapLimitedUnordered};

/// The code blocks of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
