//! The futures that run, and how the next result of them is found.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_util::stream::{FuturesOrdered, FuturesUnordered};
use grmgr::OwnedPermit;
use pin_project_lite::pin_project;

pin_project! {
    /// Work under its permit, or an output that needs none.
    ///
    /// `FuturesUnordered` drops a future as soon as it is ready: the work, then the permit.
    #[project = UnderProj]
    pub enum Under<W, T>
    where
        W: Future,
    {
        Work { #[pin] work: W, permit: OwnedPermit, finish: fn(W::Output) -> T },
        Output { output: Option<T> },
    }
}

impl<W: Future, T> Under<W, T> {
    pub(crate) fn work(work: W, permit: OwnedPermit, finish: fn(W::Output) -> T) -> Self {
        Self::Work { work, permit, finish }
    }

    pub(crate) fn output(output: T) -> Self {
        Self::Output { output: Some(output) }
    }
}

impl<W: Future, T> Future for Under<W, T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match self.project() {
            UnderProj::Work { work, finish, .. } => work.poll(cx).map(finish),
            UnderProj::Output { output } => Poll::Ready(output.take().expect(POLLED_AGAIN)),
        }
    }
}

const POLLED_AGAIN: &str = "a future was polled again after it was ready";

/// Futures that run together: in order, or not.
pub(crate) trait Running<W: Future, T>: Default {
    fn push(&mut self, future: Under<W, T>);
    /// Those that run, and those whose output waits for another.
    fn len(&self) -> usize;
    /// The next output; `None` if nothing runs.
    fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>>;
}

pub(crate) type Ordered<W, T> = FuturesOrdered<Under<W, T>>;
pub(crate) type Unordered<W, T> = FuturesUnordered<Under<W, T>>;

impl<W: Future, T> Running<W, T> for Ordered<W, T> {
    fn push(&mut self, future: Under<W, T>) {
        self.push_back(future);
    }

    fn len(&self) -> usize {
        self.len()
    }

    fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        Pin::new(self).poll_next(cx)
    }
}

impl<W: Future, T> Running<W, T> for Unordered<W, T> {
    fn push(&mut self, future: Under<W, T>) {
        FuturesUnordered::push(self, future);
    }

    fn len(&self) -> usize {
        self.len()
    }

    fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        Pin::new(self).poll_next(cx)
    }
}
