//! A request's way: in line, at work, answered.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use grmgr::{AcquireOwned, Handle, OwnedPermit};
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::queue::{Queue, Sleep};
use crate::{Mode, Overloaded, Reason};

pin_project! {
    /// The future of a [`Limit`](crate::Limit): waits for the permit, then calls the inner service.
    ///
    /// When the inner service is ready, its future is dropped and the permit given back, however
    /// long this future is kept; or the permit goes to the body.
    ///
    /// # Panics
    ///
    /// If the inner service does; the permit is given back first. And if it is polled again after it was
    /// ready.
    ///
    /// # Cancel safety
    ///
    /// Dropping it in line loses its place and nothing else; the inner service has not been called then.
    /// Dropping it later drops the inner future, then gives the permit back.
    pub struct ResponseFuture<S, Request, M>
    where
        S: Service<Request>,
        M: Mode<Request, S::Response, S::Error>,
    {
        #[pin]
        stage: Stage<S, Request, S::Future>,
        asker: M::Asker,
        mode: M,
        retry_after: Duration,
    }
}

pin_project! {
    #[project = StageProj]
    enum Stage<S, Request, F> {
        // Asks for a permit. What it is for comes out with it.
        Asking { limiter: Handle, ask: Ask, call: Option<(S, Request)> },
        // The future before the permit: it is to be dropped under it.
        Working { #[pin] work: F, permit: Option<OwnedPermit> },
        // No limiter was chosen, or the future is over.
        Over { panicked: bool },
    }
}

enum Ask {
    Once(usize),
    InLine(AcquireOwned, Patience),
}

enum Patience {
    Endless,
    /// The queue has the time and the timer.
    Fresh(Queue),
    Ends(Duration, Sleep),
}

impl Patience {
    /// Ready when the request has waited long enough. Not called before it has to wait.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Duration> {
        if let Self::Fresh(queue) = self {
            *self = match queue {
                Queue::For(limit, timer) => Self::Ends(*limit, timer(*limit)),
                Queue::Forever | Queue::Shed => Self::Endless,
            };
        }
        match self {
            Self::Ends(limit, sleep) => sleep.as_mut().poll(cx).map(|()| *limit),
            _ => Poll::Pending,
        }
    }
}

impl Ask {
    fn poll(
        &mut self,
        limiter: &Handle,
        cx: &mut Context<'_>,
    ) -> Poll<Result<OwnedPermit, Reason>> {
        match self {
            Self::Once(n) => {
                Poll::Ready(limiter.try_acquire_many_owned(*n).map_err(Reason::of_try))
            }
            Self::InLine(request, patience) => match Pin::new(request).poll(cx) {
                Poll::Ready(granted) => Poll::Ready(granted.map_err(Reason::of)),
                Poll::Pending => patience.poll(cx).map(|after| Err(Reason::TimedOut { after })),
            },
        }
    }
}

impl<S, Request, M> ResponseFuture<S, Request, M>
where
    S: Service<Request>,
    M: Mode<Request, S::Response, S::Error>,
{
    pub(crate) fn new(
        picked: Option<(Handle, usize)>,
        queue: &Queue,
        call: (S, Request),
        mode: M,
        retry_after: Duration,
    ) -> Self {
        let asker = mode.asker(&call.1);
        let stage = match picked {
            Some((limiter, n)) => {
                let ask = match queue {
                    Queue::Shed => Ask::Once(n),
                    Queue::Forever => Ask::InLine(limiter.acquire_many_owned(n), Patience::Endless),
                    Queue::For(..) => {
                        Ask::InLine(limiter.acquire_many_owned(n), Patience::Fresh(queue.clone()))
                    }
                };
                Stage::Asking { limiter, ask, call: Some(call) }
            }
            None => Stage::Over { panicked: true },
        };
        Self { stage, asker, mode, retry_after }
    }
}

impl<S, Request, M> Future for ResponseFuture<S, Request, M>
where
    S: Service<Request>,
    M: Mode<Request, S::Response, S::Error>,
{
    type Output = Result<M::Response, M::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let (limiter, reason) = match this.stage.as_mut().project() {
                StageProj::Asking { limiter, ask, call } => match ready!(ask.poll(limiter, cx)) {
                    Ok(permit) => {
                        let (mut service, request) = call.take().expect(POLLED_AGAIN);
                        let work = service.call(request);
                        this.stage.set(Stage::Working { work, permit: Some(permit) });
                        continue;
                    }
                    Err(reason) => (Some(limiter.clone()), reason),
                },
                StageProj::Working { work, permit } => {
                    // Held by this call alone, so that it is given back if the service panics and
                    // this future is kept nevertheless.
                    let held = permit.take().expect(POLLED_AGAIN);
                    let Poll::Ready(result) = work.poll(cx) else {
                        *permit = Some(held);
                        return Poll::Pending;
                    };
                    // What the work has kept is part of what the permit is for.
                    this.stage.set(Stage::Over { panicked: false });
                    return Poll::Ready(this.mode.hand_on(result, held));
                }
                StageProj::Over { panicked } => {
                    assert!(*panicked, "{POLLED_AGAIN}");
                    (None, Reason::Panicked)
                }
            };
            // The request goes, and leaves the line.
            this.stage.set(Stage::Over { panicked: false });
            let overloaded = Overloaded::new(limiter, reason, *this.retry_after);
            return Poll::Ready(this.mode.turn_away(this.asker, overloaded));
        }
    }
}

const POLLED_AGAIN: &str = "a limited request was polled again after it was ready";

impl<S, Request, M> fmt::Debug for ResponseFuture<S, Request, M>
where
    S: Service<Request>,
    M: Mode<Request, S::Response, S::Error>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (stage, limiter) = match &self.stage {
            Stage::Asking { limiter, .. } => ("asking", Some(limiter.name())),
            Stage::Working { permit, .. } => {
                ("working", permit.as_ref().map(|permit| permit.limiter().name()))
            }
            Stage::Over { .. } => ("over", None),
        };
        f.debug_struct("ResponseFuture")
            .field("limiter", &limiter)
            .field("stage", &stage)
            .finish_non_exhaustive()
    }
}
