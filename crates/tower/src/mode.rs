//! What becomes of the inner service's response, and of a request that is turned away.

use std::fmt;

use bytes::Bytes;
use grmgr::OwnedPermit;
use http::{Request, Response};
use http_body::Body;

use crate::error::is_grpc;
use crate::{LimitBody, Overloaded};

/// The error of services that do not answer by themselves, as everywhere in tower.
///
/// ```
/// use grmgr_tower::{BoxError, Overloaded};
///
/// fn is_overload(error: &BoxError) -> bool {
///     error.is::<Overloaded>()
/// }
/// assert!(!is_overload(&"no such table".into()));
/// ```
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Until when a request keeps its permit.
///
/// ```
/// use grmgr::Limiter;
/// use grmgr_tower::{LimitLayer, Until};
///
/// let layer = LimitLayer::new(Limiter::new("downloads", 4)).hold(Until::Body);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Until {
    /// Until the service has returned its response: its body is streamed without a permit.
    Response,
    /// Until the body of the response has ended, or is dropped.
    #[default]
    Body,
}

/// The ways in which a [`Limit`](crate::Limit) hands on what it gets; sealed.
///
/// These are [`Errors`], [`HttpErrors`] and [`Answers`].
///
/// ```
/// use grmgr::Handle;
/// use grmgr_tower::{Limit, Mode};
/// use tower::{Service, ServiceExt};
///
/// /// For a limit in any mode.
/// async fn ask<S, M>(limited: Limit<S, Handle, M>) -> Result<M::Response, M::Error>
/// where
///     S: Service<u32, Error: Into<M::Error>> + Clone,
///     M: Mode<u32, S::Response, S::Error> + Clone,
/// {
///     limited.oneshot(7).await
/// }
/// ```
pub trait Mode<Request, Response, Error>: sealed::Sealed + Sized {
    /// The response of the limited service.
    type Response;
    /// The error of the limited service.
    type Error;
    /// The inner service is ready, and has been dropped.
    #[doc(hidden)]
    fn hand_on(
        &self,
        result: Result<Response, Error>,
        permit: OwnedPermit,
    ) -> Result<Self::Response, Self::Error>;
    #[doc(hidden)]
    fn turn_away(
        &self,
        request: &Request,
        overloaded: Overloaded,
    ) -> Result<Self::Response, Self::Error>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Errors {}
    impl Sealed for super::HttpErrors {}
    impl<A> Sealed for super::Answers<A> {}
}

/// Any service: responses as they are, and an [`Overloaded`] error in a box.
///
/// The permit is given back when the response is there.
///
/// ```
/// use grmgr::{Handle, Limiter};
/// use grmgr_tower::{Errors, LimitLayer};
///
/// /// The same as `LimitLayer`, written out.
/// fn layer() -> LimitLayer<Handle, Errors> {
///     LimitLayer::new(Limiter::new("db", 20))
/// }
/// # let _ = layer();
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Errors(pub(crate) ());

impl<Req, Res, E: Into<BoxError>> Mode<Req, Res, E> for Errors {
    type Response = Res;
    type Error = BoxError;

    #[inline]
    fn hand_on(&self, result: Result<Res, E>, permit: OwnedPermit) -> Result<Res, BoxError> {
        drop(permit);
        result.map_err(Into::into)
    }

    fn turn_away(&self, _: &Req, overloaded: Overloaded) -> Result<Res, BoxError> {
        Err(overloaded.into())
    }
}

/// HTTP services: the body carries the permit, and there is an [`Overloaded`] error in a box.
///
/// From [`LimitLayer::hold`](crate::LimitLayer::hold).
///
/// ```
/// use grmgr::{Handle, Limiter};
/// use grmgr_tower::{HttpErrors, LimitLayer, Until};
///
/// fn layer() -> LimitLayer<Handle, HttpErrors> {
///     LimitLayer::new(Limiter::new("downloads", 4)).hold(Until::Body)
/// }
/// # let _ = layer();
/// ```
#[derive(Clone, Copy, Debug)]
pub struct HttpErrors {
    pub(crate) until: Until,
}

impl<Req, B, E> Mode<Req, Response<B>, E> for HttpErrors
where
    B: Body,
    E: Into<BoxError>,
{
    type Response = Response<LimitBody<B>>;
    type Error = BoxError;

    #[inline]
    fn hand_on(
        &self,
        result: Result<Response<B>, E>,
        permit: OwnedPermit,
    ) -> Result<Self::Response, BoxError> {
        carry(result.map_err(Into::into), permit, self.until)
    }

    fn turn_away(&self, _: &Req, overloaded: Overloaded) -> Result<Self::Response, BoxError> {
        Err(overloaded.into())
    }
}

/// The function behind [`LimitLayer::respond`](crate::LimitLayer::respond): [`Overloaded::response`].
///
/// ```
/// use bytes::Bytes;
/// use grmgr::{Handle, Limiter};
/// use grmgr_tower::{Answer, Answers, LimitLayer, Overloaded};
/// use http::Response;
///
/// fn without_a_body(overloaded: &Overloaded) -> Response<Bytes> {
///     overloaded.response().map(|_| Bytes::new())
/// }
///
/// /// Of one type, whichever answer it is.
/// fn layer(brief: bool) -> LimitLayer<Handle, Answers> {
///     let answer: Answer = if brief { without_a_body } else { Overloaded::response };
///     LimitLayer::new(Limiter::new("api", 8)).respond_with(answer)
/// }
/// # let _ = layer(true);
/// ```
pub type Answer = fn(&Overloaded) -> Response<Bytes>;

/// HTTP services: the body carries the permit, and a request that is turned away is answered.
///
/// From [`LimitLayer::respond`](crate::LimitLayer::respond).
///
/// ```
/// use grmgr::{Handle, Limiter};
/// use grmgr_tower::{Answers, Limit, LimitLayer};
/// use tower::Layer;
///
/// struct Client<S> {
///     http: Limit<S, Handle, Answers>,
/// }
///
/// fn client<S>(service: S) -> Client<S> {
///     Client { http: LimitLayer::new(Limiter::new("api", 8)).shed().respond().layer(service) }
/// }
/// # let _ = client(()).http;
/// ```
#[derive(Clone)]
pub struct Answers<A = Answer> {
    pub(crate) until: Until,
    pub(crate) answer: A,
}

impl<A> fmt::Debug for Answers<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").field("until", &self.until).finish_non_exhaustive()
    }
}

impl<ReqBody, B, E, A> Mode<Request<ReqBody>, Response<B>, E> for Answers<A>
where
    B: Body,
    B::Data: From<Bytes>,
    A: Fn(&Overloaded) -> Response<Bytes>,
{
    type Response = Response<LimitBody<B>>;
    type Error = E;

    #[inline]
    fn hand_on(
        &self,
        result: Result<Response<B>, E>,
        permit: OwnedPermit,
    ) -> Result<Self::Response, E> {
        carry(result, permit, self.until)
    }

    fn turn_away(
        &self,
        request: &Request<ReqBody>,
        overloaded: Overloaded,
    ) -> Result<Self::Response, E> {
        let grpc = is_grpc(request.headers());
        let answer = if grpc { overloaded.grpc_response() } else { (self.answer)(&overloaded) };
        Ok(answer.map(LimitBody::answer))
    }
}

#[inline]
fn carry<B: Body, E>(
    result: Result<Response<B>, E>,
    permit: OwnedPermit,
    until: Until,
) -> Result<Response<LimitBody<B>>, E> {
    let permit = (until == Until::Body).then_some(permit);
    result.map(|response| response.map(|body| LimitBody::new(body, permit)))
}
