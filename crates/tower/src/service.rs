//! The limited service.

use std::mem;
use std::task::{Context, Poll};
use std::time::Duration;

use grmgr::Handle;
use tower_service::Service;

use crate::queue::Queue;
use crate::{Errors, Meter, Mode, Pick, ResponseFuture};

/// A service each request of which needs a permit.
///
/// Made by a [`LimitLayer`](crate::LimitLayer). [`poll_ready`](Service::poll_ready) asks the inner
/// service and nothing else, so a connection between two requests holds nothing and stands in no
/// line. The permit is acquired in the future of [`call`](Service::call), which calls the inner
/// service once it has it.
///
/// An inner service that reserves something when it is ready, such as tower's `Buffer`, keeps that
/// while the request stands in line: put the limit inside it.
///
/// ```
/// use grmgr::Limiter;
/// use grmgr_tower::{Limit, LimitLayer};
/// use tower::Layer;
///
/// struct Client<S> {
///     http: Limit<S>,
/// }
///
/// fn client<S>(service: S) -> Client<S> {
///     Client { http: LimitLayer::new(Limiter::new("api", 8)).layer(service) }
/// }
/// # let _ = client(());
/// ```
#[derive(Clone, Debug)]
pub struct Limit<S, P = Handle, M = Errors, T = ()> {
    pub(crate) inner: S,
    pub(crate) pick: P,
    pub(crate) mode: M,
    pub(crate) meter: T,
    pub(crate) queue: Queue,
    pub(crate) retry_after: Duration,
}

impl<S, P, M, T> Limit<S, P, M, T> {
    /// Returns the inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns the inner service, to be changed.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Takes the limit off.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, P, M, T, Request> Service<Request> for Limit<S, P, M, T>
where
    S: Service<Request> + Clone,
    P: Pick<Request>,
    M: Mode<Request, S::Response, S::Error> + Clone,
    T: Meter<S::Response, S::Error> + Clone,
    S::Error: Into<M::Error>,
{
    type Response = M::Response;
    type Error = M::Error;
    type Future = ResponseFuture<S, Request, M, T>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), M::Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    #[inline]
    fn call(&mut self, request: Request) -> Self::Future {
        let picked = self.pick.pick(&request);
        // The one that is ready goes, and a copy stays.
        let copy = self.inner.clone();
        let ready = mem::replace(&mut self.inner, copy);
        let how = (self.mode.clone(), self.meter.clone());
        ResponseFuture::new(picked, self.queue.clone(), (ready, request), how, self.retry_after)
    }
}

/// With feature `tonic`: the service keeps its name.
#[cfg(feature = "tonic")]
impl<S: tonic::server::NamedService, P, M, T> tonic::server::NamedService for Limit<S, P, M, T> {
    const NAME: &'static str = S::NAME;
}
