//! Streams under an adjustable concurrency limit.
//!
//! [`StreamExt`] gives every stream the methods of a bounded pipeline: a future is made for each item,
//! as many of them run at once as a [`grmgr`] limiter allows, and its ceiling moves while they run. The
//! limiter can be shared with other streams, tasks and threads.
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
//! | | results in order | as they come | none |
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
//! is ready, not when its result is taken. A stream stands in line only until its consumer has an item, so
//! it keeps no permit for work that has not begun. A future has its permit already: one that acquires the
//! same limiter again may wait for ever.
//!
//! # What runs only while the stream is polled
//!
//! Nothing is spawned: the futures run while the consumer waits for the stream, and stand still, with
//! their permits, while it does something else. So a consumer that acquires the same limiter, between
//! two items, may wait for futures that nobody polls. Two ways out: give it a limiter of its own, or make
//! its work another stage.
//!
//! *Stages* of a pipeline may share a limiter, for each goes on polling the one before it while it waits.
//! The later one goes first: while it waits for a permit, those before it begin nothing under that limiter.
//! So what has begun is brought to its end.
//!
//! A stream that has been polled and has nothing yet may stand in line. With `select!` or a time-out around
//! `next`, poll it on soon, or drop it: when it is its turn, those behind it wait for it.
//!
//! # What is buffered
//!
//! Items that have been taken from the source and whose results have not been taken from the stream:
//! by default one more than the ceiling, and never more than [`buffer`](MapLimited::buffer). In order,
//! the results behind one that takes long are among them, and when they fill the buffer, a raise is heard
//! only when that one is ready. A stage that waits and has nothing running takes in more by default, up to
//! what it had at the highest ceiling and what the stages before it have: the permits may be there.

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
