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
/// while the request stands in line: put the limit inside it, if the service is [`Clone`].
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
///
/// # Inner services that are not `Clone`
///
/// Unlike tower's own limit, this one needs an inner service that is `Clone`: a request takes the service
/// that was ready into its future, to call it once the permit is there, and a clone stays for the next
/// request. Put a service that is not `Clone` into a `Buffer`, whose clones share it, and the limit around
/// that. Each request in line keeps a place in the buffer. So bound the line, and make the buffer large
/// enough for all that wait or work. With a smaller one further requests wait before they reach the limit,
/// where neither `max_waiting` nor `queue_for` applies.
///
/// ```
/// use grmgr::Limiter;
/// use grmgr_tower::{BoxError, Limit, LimitLayer};
/// use tower::buffer::Buffer;
/// use tower::{Layer, Service};
///
/// static LEGACY: Limiter = Limiter::const_new("legacy", 8).with_max_waiting(100);
///
/// /// Spawns the task that calls the service, on tokio.
/// fn limited<S>(service: S) -> Limit<Buffer<u32, S::Future>>
/// where
///     S: Service<u32, Error: Into<BoxError> + Send + Sync, Future: Send> + Send + 'static,
/// {
///     LimitLayer::new(&LEGACY).layer(Buffer::new(service, 108))
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// #     struct NotClone;
/// #     let mut uncloned = NotClone;
/// #     let service = tower::service_fn(move |job: u32| {
/// #         let _all_of_it = &mut uncloned;
/// #         async move { Ok::<_, BoxError>(2 * job) }
/// #     });
/// #     let answer = tower::ServiceExt::oneshot(limited(service), 21).await;
/// #     assert_eq!(answer.unwrap(), 42);
/// # }
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
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// # use grmgr_tower::LimitLayer;
    /// # use tower::Layer;
    /// # struct Client { base: &'static str }
    /// # let client = Client { base: "/v1" };
    /// let limited = LimitLayer::new(Limiter::new("api", 8)).layer(client);
    /// assert_eq!(limited.get_ref().base, "/v1");
    /// ```
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns the inner service, to be changed.
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// # use grmgr_tower::LimitLayer;
    /// # use tower::Layer;
    /// # struct Client { base: &'static str }
    /// # let client = Client { base: "/v1" };
    /// let mut limited = LimitLayer::new(Limiter::new("api", 8)).layer(client);
    /// limited.get_mut().base = "/v2";
    /// ```
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Takes the limit off.
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// # use grmgr_tower::LimitLayer;
    /// # use tower::Layer;
    /// # let client = "a client";
    /// let limited = LimitLayer::new(Limiter::new("api", 8)).layer(client);
    /// assert_eq!(limited.into_inner(), client);
    /// ```
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
