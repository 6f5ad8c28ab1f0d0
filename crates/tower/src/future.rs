//! A request's way: in line, at work, answered.

use std::borrow::Cow;
use std::fmt;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use grmgr::{AcquireOwned, Handle, OwnedPermit};
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::pick::Picked;
use crate::queue::{Queue, Sleep};
use crate::{Meter, Mode, Overloaded, Reason};

pin_project! {
    /// The future of a [`Limit`](crate::Limit): waits for the permit, then calls the inner service.
    ///
    /// When the inner service is ready, its future is dropped and the permit given back, however
    /// long this future is kept; or the permit goes to the body.
    ///
    /// ```
    /// use grmgr_tower::{BoxError, Errors, Limit, ResponseFuture};
    /// use tower::Service;
    ///
    /// /// The future of a call, for a struct or a service of your own.
    /// fn call<S>(limited: &mut Limit<S>, job: u32) -> ResponseFuture<S, u32, Errors>
    /// where
    ///     S: Service<u32, Error: Into<BoxError>> + Clone,
    /// {
    ///     limited.call(job)
    /// }
    /// ```
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
        // Before the permit: the work is to be dropped under it.
        #[pin]
        stage: Stage<S, Request, S::Future, T::Started>,
        permit: Option<OwnedPermit>,
        queue: Queue,
        mode: M,
        meter: T,
        retry_after: Duration,
    }
}

pin_project! {
    #[project = StageProj]
    enum Stage<S, Request, F, B> {
        // Asks for a permit. What it is for comes out with it.
        Asking { asking: Asking, n: usize, call: Option<(S, Request)> },
        Working { #[pin] work: F, started: B },
        Over,
    }
}

/// How far a request for a permit has come.
pub(crate) enum Asking {
    /// `None` if there is an answer.
    First(Option<Handle>),
    /// The same, with a label. Those that have none pay nothing for it.
    #[cfg(feature = "stats")]
    Labelled(Box<(Handle, Cow<'static, str>)>),
    /// In a box: most need not wait, and are the smaller for it.
    InLine(Box<Wait>),
    /// The function that chooses the limiter has panicked.
    Panicked,
}

/// A place in line, and how long the request stays there.
pub(crate) struct Wait {
    limiter: Handle,
    request: AcquireOwned,
    patience: Option<(Duration, Sleep)>,
}

/// Why there is no permit, and whose.
type Refused = (Option<Handle>, Reason);

impl Asking {
    /// Takes the permit if that needs no waiting, and returns whether it is there. It is put where it
    /// stays: moving it about would be a good part of what a request costs.
    #[inline]
    fn try_first(&mut self, n: usize, permit: &mut Option<OwnedPermit>) -> bool {
        let Self::First(limiter) = self else { return false };
        let Some(first) = limiter.take() else { return false };
        match first.try_into_permit(n) {
            Ok(granted) => {
                *permit = Some(granted);
                true
            }
            Err(back) => {
                *limiter = Some(back);
                false
            }
        }
    }

    #[cold]
    fn poll(
        &mut self,
        n: usize,
        queue: &Queue,
        cx: &mut Context<'_>,
    ) -> Poll<Result<OwnedPermit, Refused>> {
        match mem::replace(self, Self::First(None)) {
            Self::First(Some(limiter)) => self.poll_first(limiter, n, None, queue, cx),
            #[cfg(feature = "stats")]
            Self::Labelled(first) => self.poll_first(first.0, n, Some(first.1), queue, cx),
            Self::InLine(wait) => self.poll_wait(wait, cx),
            Self::Panicked => Poll::Ready(Err((None, Reason::Panicked))),
            Self::First(None) => panic!("{POLLED_AGAIN}"),
        }
    }

    /// No permit was free, or nobody has looked yet.
    fn poll_first(
        &mut self,
        limiter: Handle,
        n: usize,
        label: Option<Cow<'static, str>>,
        queue: &Queue,
        cx: &mut Context<'_>,
    ) -> Poll<Result<OwnedPermit, Refused>> {
        if let Queue::Shed = queue {
            let mut answer = limiter.try_acquire_many_owned(n);
            if let (Ok(permit), Some(label)) = (&mut answer, label) {
                permit.set_label(label);
            }
            return Poll::Ready(answer.map_err(|error| (Some(limiter), Reason::of_try(error))));
        }
        let mut request = limiter.acquire_many_owned(n);
        if let Some(label) = label {
            request = request.label(label);
        }
        if let Poll::Ready(answer) = Pin::new(&mut request).poll(cx) {
            return Poll::Ready(answer.map_err(|error| (Some(limiter), Reason::of(error))));
        }
        let patience = match queue {
            Queue::For(limit, timer) => Some((*limit, timer.sleep(*limit))),
            Queue::Forever | Queue::Shed => None,
        };
        self.stay(Box::new(Wait { limiter, request, patience }), cx)
    }

    fn poll_wait(
        &mut self,
        mut wait: Box<Wait>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<OwnedPermit, Refused>> {
        match Pin::new(&mut wait.request).poll(cx) {
            Poll::Ready(Ok(permit)) => Poll::Ready(Ok(permit)),
            Poll::Ready(Err(error)) => Poll::Ready(Err((Some(wait.limiter), Reason::of(error)))),
            Poll::Pending => self.stay(wait, cx),
        }
    }

    /// The request has been polled, once: it may be giving way, which a second poll would take back.
    fn stay(
        &mut self,
        mut wait: Box<Wait>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<OwnedPermit, Refused>> {
        if let Some((after, sleep)) = &mut wait.patience
            && sleep.as_mut().poll(cx).is_ready()
        {
            let reason = Reason::TimedOut { after: *after };
            return Poll::Ready(Err((Some(wait.limiter), reason)));
        }
        *self = Self::InLine(wait);
        Poll::Pending
    }
}

impl<S, Request, M, T> ResponseFuture<S, Request, M, T>
where
    S: Service<Request>,
    M: Mode<Request, S::Response, S::Error>,
    T: Meter<S::Response, S::Error>,
{
    pub(crate) fn new(
        Picked { asking, n }: Picked,
        queue: Queue,
        call: (S, Request),
        (mode, meter): (M, T),
        retry_after: Duration,
    ) -> Self {
        let stage = Stage::Asking { asking, n, call: Some(call) };
        Self { stage, permit: None, queue, mode, meter, retry_after }
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
        if let StageProj::Asking { asking, n, call } = this.stage.as_mut().project() {
            let refused = if asking.try_first(*n, this.permit) {
                None
            } else {
                let answer = ready!(asking.poll(*n, this.queue, cx));
                answer.map(|permit| *this.permit = Some(permit)).err()
            };
            let (mut service, request) = call.take().expect(POLLED_AGAIN);
            if let Some((limiter, reason)) = refused {
                let overloaded = Overloaded::new(limiter, reason, *this.retry_after);
                return Poll::Ready(this.mode.turn_away(&request, overloaded));
            }
            let unwound = GiveBack(this.permit);
            let started = this.meter.started();
            let work = service.call(request);
            mem::forget(unwound);
            this.stage.set(Stage::Working { work, started });
        }
        let StageProj::Working { work, started } = this.stage.as_mut().project() else {
            panic!("{POLLED_AGAIN}");
        };
        assert!(this.permit.is_some(), "{POLLED_AGAIN}");
        let unwound = GiveBack(this.permit);
        let polled = work.poll(cx);
        mem::forget(unwound);
        let Poll::Ready(result) = polled else { return Poll::Pending };
        let permit = this.permit.take().expect(POLLED_AGAIN);
        let started = *started;
        // What the work has kept is part of what the permit is for.
        this.stage.set(Stage::Over);
        let ended = this.meter.ended(started, &result);
        let result = this.mode.hand_on(result, permit);
        // The next request first: it need not wait for this.
        this.meter.record(ended);
        Poll::Ready(result)
    }
}

/// Gives the permit back if a service panics, though this future is kept.
struct GiveBack<'a>(&'a mut Option<OwnedPermit>);

impl Drop for GiveBack<'_> {
    fn drop(&mut self) {
        *self.0 = None;
    }
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
            Stage::Asking { asking: Asking::First(limiter), .. } => ("asking", limiter.as_ref()),
            #[cfg(feature = "stats")]
            Stage::Asking { asking: Asking::Labelled(first), .. } => ("asking", Some(&first.0)),
            Stage::Asking { asking: Asking::InLine(wait), .. } => ("in line", Some(&wait.limiter)),
            Stage::Working { .. } => ("working", self.permit.as_ref().map(OwnedPermit::limiter)),
            Stage::Asking { asking: Asking::Panicked, .. } | Stage::Over => ("over", None),
        };
        f.debug_struct("ResponseFuture")
            .field("limiter", &limiter.map(|limiter| limiter.name()))
            .field("stage", &stage)
            .finish_non_exhaustive()
    }
}
