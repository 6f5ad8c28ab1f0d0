//! The futures that run, and how the next result of them is found.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_util::stream::{FuturesOrdered, FuturesUnordered};
use grmgr::OwnedPermit;
use pin_project_lite::pin_project;

use crate::form::Form;

pin_project! {
    /// Work under its permit, or an output that needs none.
    ///
    /// `FuturesUnordered` drops a future as soon as it is ready: the work, then the permit.
    #[project = UnderProj]
    pub enum Under<F, I>
    where
        F: Form<I>,
    {
        Work { #[pin] work: F::Work, permit: OwnedPermit },
        Output { output: Option<F::Output> },
    }
}

impl<F: Form<I>, I> Under<F, I> {
    #[inline]
    pub(crate) fn work(work: F::Work, permit: OwnedPermit) -> Self {
        Self::Work { work, permit }
    }

    pub(crate) fn output(output: F::Output) -> Self {
        Self::Output { output: Some(output) }
    }
}

impl<F: Form<I>, I> Future for Under<F, I> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self.project() {
            UnderProj::Work { work, .. } => work.poll(cx).map(F::finish),
            UnderProj::Output { output } => Poll::Ready(output.take().expect(POLLED_AGAIN)),
        }
    }
}

const POLLED_AGAIN: &str = "a future was polled again after it was ready";

/// Futures that run together: in order, or not.
pub(crate) trait Running<F: Form<I>, I>: Default {
    /// Whether outputs come in the order of their items.
    const IN_ORDER: bool;
    fn push(&mut self, future: Under<F, I>);
    /// Those that run, and those whose output waits for another.
    fn len(&self) -> usize;
    /// The next output; `None` if nothing runs.
    fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<Option<F::Output>>;
}

pub(crate) type Ordered<F, I> = FuturesOrdered<Under<F, I>>;
pub(crate) type Unordered<F, I> = FuturesUnordered<Under<F, I>>;

impl<F: Form<I>, I> Running<F, I> for Ordered<F, I> {
    const IN_ORDER: bool = true;

    fn push(&mut self, future: Under<F, I>) {
        self.push_back(future);
    }

    fn len(&self) -> usize {
        self.len()
    }

    fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        Pin::new(self).poll_next(cx)
    }
}

impl<F: Form<I>, I> Running<F, I> for Unordered<F, I> {
    const IN_ORDER: bool = false;

    fn push(&mut self, future: Under<F, I>) {
        FuturesUnordered::push(self, future);
    }

    fn len(&self) -> usize {
        self.len()
    }

    fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        Pin::new(self).poll_next(cx)
    }
}
