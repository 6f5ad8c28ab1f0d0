//! A request's way: in line, at work, answered.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use grmgr::{AcquireOwned, Handle, OwnedPermit};
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::queue::{Queue, Sleep};
use crate::{Meter, Mode, Overloaded, Reason};

pin_project! {
    /// The future of a [`Limit`](crate::Limit): waits for the permit, then calls the inner service.
    ///
    /// When the inner service is ready, its future is dropped and the permit given back, however
    /// long this future is kept; or the permit goes to the body.
    ///
    /// # Panics
    ///
    /// If the inner service or a classifier of yours does; the permit is given back first. And if it is
    /// polled again after it was ready.
    ///
    /// # Cancel safety
    ///
    /// Dropping it in line loses its place and nothing else; the inner service has not been called then.
    /// Dropping it later drops the inner future, then gives the permit back.
    pub struct ResponseFuture<S, Request, M, T = ()>
    where
        S: Service<Request>,
        M: Mode<Request, S::Response, S::Error>,
        T: Meter<S::Response, S::Error>,
    {
        #[pin]
        stage: Stage<S, Request, S::Future, T::Started>,
        asker: M::Asker,
        mode: M,
        meter: T,
        retry_after: Duration,
    }
}

pin_project! {
    #[project = StageProj]
    enum Stage<S, Request, F, B> {
        // Asks for a permit. What it is for comes out with it.
        Asking { limiter: Handle, n: usize, queue: Queue, call: Option<(S, Request)> },
        // In a box: most need not wait, and are the smaller for it.
        InLine { limiter: Handle, wait: Box<Wait>, call: Option<(S, Request)> },
        // The future before the permit: it is to be dropped under it.
        Working { #[pin] work: F, permit: Option<OwnedPermit>, started: B },
        // No limiter was chosen, or the future is over.
        Over { panicked: bool },
    }
}

/// A place in line, and how long the request stays there.
struct Wait {
    request: AcquireOwned,
    patience: Option<(Duration, Sleep)>,
}

impl Wait {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<OwnedPermit, Reason>> {
        match Pin::new(&mut self.request).poll(cx) {
            Poll::Ready(granted) => Poll::Ready(granted.map_err(Reason::of)),
            Poll::Pending => self.poll_patience(cx).map(Err),
        }
    }

    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<Reason> {
        let Some((after, sleep)) = &mut self.patience else { return Poll::Pending };
        sleep.as_mut().poll(cx).map(|()| Reason::TimedOut { after: *after })
    }
}

/// The first look: a permit, a refusal, or a place in line.
enum Asked {
    Permit(OwnedPermit),
    Refused(Reason),
    Waits(Box<Wait>),
}

#[inline]
fn ask(limiter: &Handle, n: usize, queue: &Queue, cx: &mut Context<'_>) -> Asked {
    if let Queue::Shed = queue {
        return match limiter.try_acquire_many_owned(n) {
            Ok(permit) => Asked::Permit(permit),
            Err(error) => Asked::Refused(Reason::of_try(error)),
        };
    }
    let mut request = limiter.acquire_many_owned(n);
    match Pin::new(&mut request).poll(cx) {
        Poll::Ready(Ok(permit)) => Asked::Permit(permit),
        Poll::Ready(Err(error)) => Asked::Refused(Reason::of(error)),
        Poll::Pending => {
            let patience = match queue {
                Queue::For(limit, timer) => Some((*limit, timer.sleep(*limit))),
                Queue::Forever | Queue::Shed => None,
            };
            let mut wait = Box::new(Wait { request, patience });
            match wait.poll_patience(cx) {
                Poll::Ready(reason) => Asked::Refused(reason),
                Poll::Pending => Asked::Waits(wait),
            }
        }
    }
}

impl<S, Request, M, T> ResponseFuture<S, Request, M, T>
where
    S: Service<Request>,
    M: Mode<Request, S::Response, S::Error>,
    T: Meter<S::Response, S::Error>,
{
    pub(crate) fn new(
        picked: Option<(Handle, usize)>,
        queue: Queue,
        call: (S, Request),
        (mode, meter): (M, T),
        retry_after: Duration,
    ) -> Self {
        let asker = mode.asker(&call.1);
        let stage = match picked {
            Some((limiter, n)) => Stage::Asking { limiter, n, queue, call: Some(call) },
            None => Stage::Over { panicked: true },
        };
        Self { stage, asker, mode, meter, retry_after }
    }
}

impl<S, Request, M, T> Future for ResponseFuture<S, Request, M, T>
where
    S: Service<Request>,
    M: Mode<Request, S::Response, S::Error>,
    T: Meter<S::Response, S::Error>,
{
    type Output = Result<M::Response, M::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let (limiter, reason) = match this.stage.as_mut().project() {
                StageProj::Asking { limiter, n, queue, call } => {
                    match ask(limiter, *n, queue, cx) {
                        Asked::Permit(permit) => {
                            let started = this.meter.started();
                            let work = begin(call);
                            let permit = Some(permit);
                            this.stage.set(Stage::Working { work, permit, started });
                            continue;
                        }
                        Asked::Waits(wait) => {
                            let (limiter, call) = (limiter.clone(), call.take());
                            this.stage.set(Stage::InLine { limiter, wait, call });
                            return Poll::Pending;
                        }
                        Asked::Refused(reason) => (Some(limiter.clone()), reason),
                    }
                }
                StageProj::InLine { limiter, wait, call } => match ready!(wait.poll(cx)) {
                    Ok(permit) => {
                        let started = this.meter.started();
                        let work = begin(call);
                        this.stage.set(Stage::Working { work, permit: Some(permit), started });
                        continue;
                    }
                    Err(reason) => (Some(limiter.clone()), reason),
                },
                StageProj::Working { work, permit, started } => {
                    // Held by this call alone, so that it is given back if the service panics and
                    // this future is kept nevertheless.
                    let held = permit.take().expect(POLLED_AGAIN);
                    let Poll::Ready(result) = work.poll(cx) else {
                        *permit = Some(held);
                        return Poll::Pending;
                    };
                    let started = *started;
                    // What the work has kept is part of what the permit is for.
                    this.stage.set(Stage::Over { panicked: false });
                    let ended = this.meter.ended(started, &result);
                    let result = this.mode.hand_on(result, held);
                    // The next request first: it need not wait for this.
                    this.meter.record(ended);
                    return Poll::Ready(result);
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

/// Calls the service. What is left of that goes.
#[inline]
fn begin<S: Service<Request>, Request>(call: &mut Option<(S, Request)>) -> S::Future {
    let (mut service, request) = call.take().expect(POLLED_AGAIN);
    service.call(request)
}

const POLLED_AGAIN: &str = "a limited request was polled again after it was ready";

impl<S, Request, M, T> fmt::Debug for ResponseFuture<S, Request, M, T>
where
    S: Service<Request>,
    M: Mode<Request, S::Response, S::Error>,
    T: Meter<S::Response, S::Error>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (stage, limiter) = match &self.stage {
            Stage::Asking { limiter, .. } => ("asking", Some(limiter.name())),
            Stage::InLine { limiter, .. } => ("in line", Some(limiter.name())),
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
