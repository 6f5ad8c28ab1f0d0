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
//! is ready, not when its result is taken. A stream stands in line only while its consumer waits for it,
//! so it never holds a permit for work that has not begun.
//!
//! # What runs only while the stream is polled
//!
//! Nothing is spawned: the futures run while the consumer waits for the stream, and stand still, with
//! their permits, while it does something else. So a consumer that waits for the same limiter, between
//! two items, may wait for futures that nobody polls. Three ways out: do that work inside the future
//! (`for_each_limited` has no consumer at all), give it a limiter of its own, or spawn the futures, so that
//! they run by themselves, with [`run_owned`](grmgr::Handle::run_owned).
//!
//! # What is buffered
//!
//! Items that have been taken from the source and whose results have not been taken from the stream:
//! by default one more than the ceiling, and never more than [`buffer`](MapLimited::buffer). In order,
//! the results behind one that takes long are among them.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod core;
mod each;
mod ext;
mod form;
mod map;
mod running;

pub use each::ForEachLimited;
pub use ext::StreamExt;
pub use form::{Form, Plain, Try};
pub use map::{MapLimited, MapLimitedUnordered};

/// The code blocks of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
