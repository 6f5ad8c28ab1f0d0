//! Wakers that change from poll to poll, and use the limiter from inside `wake`.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use crate::rng::Rng;
use crate::subject::Subject;

/// Takes permits and gives them back before it wakes its task.
struct Meddler {
    subject: &'static Subject,
    inner: Waker,
}

impl Wake for Meddler {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        drop(self.subject.try_acquire(1));
        let held = self.subject.try_acquire(2);
        self.inner.wake_by_ref();
        drop(held);
    }
}

/// Only passes it on; no two are the same.
struct Relay(Waker);

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        self.0.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.wake_by_ref();
    }
}

/// A future that is polled more often than it has to be, each time with another waker.
pub(crate) struct Restless<F> {
    future: F,
    /// Whose permits the wakers take.
    meddle: Option<&'static Subject>,
    rng: Rng,
}

impl<F> Restless<F> {
    pub(crate) fn new(future: F, meddle: Option<&'static Subject>, rng: Rng) -> Self {
        Self { future, meddle, rng }
    }
}

impl<F: Future + Unpin> Future for Restless<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        for _ in 0..=this.rng.below(3) {
            let inner = cx.waker().clone();
            let waker = match this.meddle {
                Some(subject) => Waker::from(Arc::new(Meddler { subject, inner })),
                None => Waker::from(Arc::new(Relay(inner))),
            };
            let poll = Pin::new(&mut this.future).poll(&mut Context::from_waker(&waker));
            if poll.is_ready() {
                return poll;
            }
        }
        if this.rng.one_in(4) {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}
