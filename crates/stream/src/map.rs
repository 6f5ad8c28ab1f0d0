//! The streams.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use grmgr::Handle;
use pin_project_lite::pin_project;

use crate::core::{Consumer, Core};
use crate::form::Form;
use crate::running::{Ordered, Unordered};

macro_rules! stream {
    ($(#[$docs:meta])* $name:ident, $running:ident) => {
        pin_project! {
            $(#[$docs])*
            #[must_use = "streams do nothing unless polled"]
            pub struct $name<St, F>
            where
                St: Stream,
                F: Form<St::Item>,
            {
                #[pin]
                core: Core<St, F, $running<F, St::Item>>,
            }
        }

        impl<St: Stream, F: Form<St::Item>> $name<St, F> {
            pub(crate) fn new(source: St, limiter: Handle, form: F) -> Self {
                Self { core: Core::new(source, limiter, form) }
            }

            /// Sets how many items may be between the source and the consumer: waiting, running, ready.
            ///
            /// At least 1. No more of them run at once, however high the ceiling. Default: one more than
            /// the ceiling, which moves with it; more only while nothing runs (see the [crate](crate)).
            /// A stage that shares a limiter with one before it should have the default.
            ///
            /// A source that always has an item is asked for as many at once.
            ///
            /// ```
            /// use futures_util::stream;
            /// use grmgr::Limiter;
            /// use grmgr_stream::StreamExt as _;
            ///
            /// let limiter = Limiter::new("fetches", 8);
            /// let pages = stream::iter(1..100).map_limited(limiter, async |page| page * 2).buffer(50);
            /// # let _ = pages;
            /// ```
            pub fn buffer(mut self, items: usize) -> Self {
                self.core.set_buffer(items);
                self
            }
        }

        impl<St: Stream, F: Form<St::Item>> Stream for $name<St, F> {
            type Item = F::Output;

            fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
                self.project().core.poll_output(cx, Consumer::Leaves)
            }

            fn size_hint(&self) -> (usize, Option<usize>) {
                self.core.size_hint()
            }
        }

        impl<St: Stream, F: Form<St::Item>> fmt::Debug for $name<St, F> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.core).finish()
            }
        }
    };
}

stream! {
    /// Results in the order of their items; from [`map_limited`] and [`try_map_limited`].
    ///
    /// [`map_limited`]: crate::StreamExt::map_limited
    /// [`try_map_limited`]: crate::StreamExt::try_map_limited
    ///
    /// ```
    /// use futures_util::{StreamExt as _, stream};
    /// use grmgr::Limiter;
    /// use grmgr_stream::StreamExt as _;
    ///
    /// # smol::block_on(async {
    /// let limiter = Limiter::new("squares", 2);
    /// let squares = stream::iter([1, 2, 3]).map_limited(limiter, async |n| n * n);
    /// assert_eq!(squares.collect::<Vec<_>>().await, [Ok(1), Ok(4), Ok(9)]);
    /// # });
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropping the future of `next` loses nothing, but the stream may stand in line then: poll it on soon,
    /// or drop it. Dropping the stream drops its futures, then gives their permits back.
    MapLimited, Ordered
}

stream! {
    /// Results as they come; from [`map_limited_unordered`] and [`try_map_limited_unordered`].
    ///
    /// [`map_limited_unordered`]: crate::StreamExt::map_limited_unordered
    /// [`try_map_limited_unordered`]: crate::StreamExt::try_map_limited_unordered
    ///
    /// ```
    /// use futures_util::{StreamExt as _, stream};
    /// use grmgr::Limiter;
    /// use grmgr_stream::StreamExt as _;
    ///
    /// # smol::block_on(async {
    /// let limiter = Limiter::new("squares", 2);
    /// let squares = stream::iter([1, 2, 3]).map_limited_unordered(limiter, async |n| n * n);
    /// let sum: Result<Vec<_>, _> = squares.collect::<Vec<_>>().await.into_iter().collect();
    /// assert_eq!(sum?.iter().sum::<i32>(), 14);
    /// # Ok::<(), grmgr::AcquireError>(())
    /// # })?;
    /// # Ok::<(), grmgr::AcquireError>(())
    /// ```
    ///
    /// # Cancel safety
    ///
    /// As [`MapLimited`].
    MapLimitedUnordered, Unordered
}
