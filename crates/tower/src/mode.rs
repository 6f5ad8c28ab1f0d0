//! What becomes of the inner service's response, and of a request that is turned away.

use std::fmt;

use bytes::Bytes;
use grmgr::OwnedPermit;
use http::{Request, Response};
use http_body::Body;

use crate::error::is_grpc;
use crate::{LimitBody, Overloaded};

/// The error of services that do not answer by themselves, as everywhere in tower.
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
pub type Answer = fn(&Overloaded) -> Response<Bytes>;

/// HTTP services: the body carries the permit, and a request that is turned away is answered.
///
/// From [`LimitLayer::respond`](crate::LimitLayer::respond).
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
