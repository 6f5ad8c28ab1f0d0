//! The future without a consumer.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use grmgr::Handle;
use pin_project_lite::pin_project;

use crate::core::{Consumer, Core};
use crate::form::Form;
use crate::running::Unordered;

pin_project! {
    /// Runs the work of all items; from [`for_each_limited`] and [`try_for_each_limited`].
    ///
    /// [`for_each_limited`]: crate::StreamExt::for_each_limited
    /// [`try_for_each_limited`]: crate::StreamExt::try_for_each_limited
    ///
    /// ```
    /// use futures_util::stream;
    /// use grmgr::Limiter;
    /// use grmgr_stream::StreamExt as _;
    ///
    /// # smol::block_on(async {
    /// let limiter = Limiter::new("prints", 2);
    /// stream::iter(1..=3).for_each_limited(limiter, async |n| println!("{n}")).await?;
    /// # Ok::<(), grmgr::AcquireError>(())
    /// # })?;
    /// # Ok::<(), grmgr::AcquireError>(())
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the futures that run, then gives their permits back. Items that have been taken
    /// from the source are lost.
    #[must_use = "futures do nothing unless polled"]
    pub struct ForEachLimited<St, F>
    where
        St: Stream,
        F: Form<St::Item>,
    {
        #[pin]
        core: Core<St, F, Unordered<F, St::Item>>,
        // The first error, while the rest ends.
        failed: Option<F::Output>,
    }
}

impl<St: Stream, F: Form<St::Item>> ForEachLimited<St, F> {
    pub(crate) fn new(source: St, limiter: Handle, form: F) -> Self {
        Self { core: Core::new(source, limiter, form), failed: None }
    }
}

impl<St, F, E> Future for ForEachLimited<St, F>
where
    St: Stream,
    F: Form<St::Item, Output = Result<(), E>>,
{
    type Output = Result<(), E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        let mut this = self.project();
        while let Some(output) = ready!(this.core.as_mut().poll_output(cx, Consumer::Stays)) {
            if output.is_err() && this.failed.is_none() {
                *this.failed = Some(output);
            }
        }
        Poll::Ready(this.failed.take().unwrap_or(Ok(())))
    }
}

impl<St: Stream, F: Form<St::Item>> fmt::Debug for ForEachLimited<St, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ForEachLimited").field(&self.core).finish()
    }
}
