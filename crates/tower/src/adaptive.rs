//! A ceiling that moves itself: requests tell how long they took and how they ended.

use std::any::Any;
use std::error::Error;
use std::{fmt, io};

use grmgr::Handle;
use grmgr_adaptive::{Adaptive, Outcome, Started};
use http::{Response, StatusCode};

use crate::meter::sealed::Sealed;
use crate::{BoxError, Errors, LimitLayer, Meter};

/// Tells an adaptive limiter how long each request took and how it ended.
///
/// From [`LimitLayer::adaptive`] and [`LimitLayer::classify`]; `C` is the classifier.
///
/// ```
/// use grmgr::Handle;
/// use grmgr_tower::{Answers, Limit, Measured};
///
/// struct Server<S> {
///     limited: Limit<S, Handle, Answers, Measured>,
/// }
/// # let _ = |server: Server<()>| server.limited;
/// ```
#[derive(Clone)]
pub struct Measured<C = Usual> {
    adaptive: Adaptive,
    classify: C,
}

/// The classifier of [`LimitLayer::adaptive`]: what counts as overload.
///
/// Its parts are for [classifiers of your own](LimitLayer::classify), which decide some cases otherwise.
///
/// ```
/// use grmgr_adaptive::Outcome;
/// use grmgr_tower::Usual;
/// use http::Response;
///
/// let busy = Response::builder().status(503).body(()).unwrap();
/// assert_eq!(Usual::response(&busy), Outcome::Overload);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Usual(());

impl Usual {
    /// Judges a response by its status, and by the gRPC status in its headers.
    ///
    /// Overload: 429, 503, 504; RESOURCE_EXHAUSTED, UNAVAILABLE, DEADLINE_EXCEEDED. Any other status from
    /// 400 on, and any other gRPC status but OK, is ignored: a quick failure does not make a server fast.
    /// A gRPC status that comes after the body is not seen.
    ///
    /// ```
    /// use grmgr_adaptive::Outcome;
    /// use grmgr_tower::Usual;
    /// use http::Response;
    ///
    /// let found = Response::new("text");
    /// assert_eq!(Usual::response(&found), Outcome::Success);
    /// let missing = Response::builder().status(404).body("").unwrap();
    /// assert_eq!(Usual::response(&missing), Outcome::Ignored);
    /// let unavailable = Response::builder().header("grpc-status", "14").body("").unwrap();
    /// assert_eq!(Usual::response(&unavailable), Outcome::Overload);
    /// ```
    pub fn response<B>(response: &Response<B>) -> Outcome {
        let status = response.status();
        match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => return Outcome::Overload,
            _ if status.is_client_error() || status.is_server_error() => return Outcome::Ignored,
            _ => {}
        }
        match response.headers().get("grpc-status").map(|status| status.as_bytes()) {
            None | Some(b"0") => Outcome::Success,
            // DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNAVAILABLE.
            Some(b"4" | b"8" | b"14") => Outcome::Overload,
            Some(_) => Outcome::Ignored,
        }
    }

    /// Judges an error: overload if it, or one of its sources, is a time-out. Others are ignored.
    ///
    /// Time-outs are those of [`io::Error`], of tokio and of tower. With feature `tonic` also those of
    /// tonic, and a status as in [`response`](Self::response).
    ///
    /// ```
    /// use std::io::{Error, ErrorKind};
    /// use grmgr_adaptive::Outcome;
    /// use grmgr_tower::Usual;
    ///
    /// let timed_out = Error::from(ErrorKind::TimedOut);
    /// assert_eq!(Usual::error(&timed_out), Outcome::Overload);
    /// let refused = Error::from(ErrorKind::ConnectionRefused);
    /// assert_eq!(Usual::error(&refused), Outcome::Ignored);
    /// ```
    pub fn error(error: &(dyn Error + 'static)) -> Outcome {
        let mut next = Some(error);
        while let Some(error) = next {
            if is_overload(error) {
                return Outcome::Overload;
            }
            next = error.source();
        }
        Outcome::Ignored
    }
}

fn is_overload(error: &(dyn Error + 'static)) -> bool {
    #[cfg(feature = "tonic")]
    {
        use tonic::Code::{DeadlineExceeded, ResourceExhausted, Unavailable};
        if let Some(status) = error.downcast_ref::<tonic::Status>() {
            return matches!(status.code(), DeadlineExceeded | ResourceExhausted | Unavailable);
        }
        if error.is::<tonic::TimeoutExpired>() {
            return true;
        }
    }
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
        || error.is::<tokio::time::error::Elapsed>()
        || error.is::<tower::timeout::error::Elapsed>()
}

/// The error of any service: it may be one in a box, which is none itself.
fn any_error<E: 'static>(error: &E) -> Option<&(dyn Error + 'static)> {
    fn of<T: Error + 'static>(error: &dyn Any) -> Option<&(dyn Error + 'static)> {
        error.downcast_ref::<T>().map(|error| error as _)
    }
    let error: &dyn Any = error;
    if let Some(boxed) = error.downcast_ref::<BoxError>() {
        return Some(&**boxed);
    }
    #[cfg(feature = "tonic")]
    if let Some(status) = of::<tonic::Status>(error) {
        return Some(status);
    }
    of::<io::Error>(error)
        .or_else(|| of::<tokio::time::error::Elapsed>(error))
        .or_else(|| of::<tower::timeout::error::Elapsed>(error))
}

impl LimitLayer<Handle, Errors, Measured> {
    /// Limits with an adaptive limiter, which learns from each request how long it took and how it ended.
    ///
    /// The latency is from the permit to the response: without the time in line, and without the body.
    ///
    /// What counts as overload is said at [`Usual::response`] and [`Usual::error`]. An error is looked at
    /// if it comes in a [`BoxError`], or is itself one of those named there; for others, and for services
    /// that are not of HTTP, say it yourself: [`classify`](Self::classify). A request that is turned away
    /// or cancelled, or whose service panics, counts as nothing.
    ///
    /// ```
    /// use axum::{Router, routing::get};
    /// use grmgr::Limiter;
    /// use grmgr_adaptive::Adaptive;
    /// use grmgr_tower::LimitLayer;
    ///
    /// // From 20 on, and at most 200.
    /// let backend = Adaptive::new(Limiter::builder("backend").ceiling(20).max(200).build()?)?;
    /// let limit = LimitLayer::adaptive(backend).shed().respond();
    /// let app: Router = Router::new().route("/", get(async || "…")).layer(limit);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn adaptive(adaptive: Adaptive) -> Self {
        let limiter = adaptive.limiter().clone();
        Self::metered(limiter, Measured { adaptive, classify: Usual(()) })
    }
}

impl<P, M, C> LimitLayer<P, M, Measured<C>> {
    /// Sets how a request that has ended counts: a function of the inner service's result.
    ///
    /// ```
    /// use std::io;
    /// use grmgr::Limiter;
    /// use grmgr_adaptive::{Adaptive, Outcome};
    /// use grmgr_tower::{LimitLayer, Usual};
    /// use http::Response;
    ///
    /// # fn layer<Body>() -> Result<(), grmgr::TooManyCaps> {
    /// let backend = Adaptive::new(Limiter::new("backend", 20))?;
    /// // This server says 500 if it has too much to do.
    /// let classify = |result: &Result<Response<Body>, io::Error>| match result {
    ///     Ok(response) if response.status() == 500 => Outcome::Overload,
    ///     Ok(response) => Usual::response(response),
    ///     Err(error) => Usual::error(error),
    /// };
    /// let layer = LimitLayer::adaptive(backend).classify(classify);
    /// # Ok(())
    /// # }
    /// # layer::<()>().unwrap();
    /// ```
    pub fn classify<D>(self, classify: D) -> LimitLayer<P, M, Measured<D>> {
        self.meter(|measured| Measured { adaptive: measured.adaptive, classify })
    }
}

impl<C> Sealed for Measured<C> {}

impl<B, E: 'static> Meter<Response<B>, E> for Measured<Usual> {
    type Started = Started;
    type Ended = (Started, Outcome);

    fn started(&self) -> Started {
        self.adaptive.started()
    }

    fn ended(&self, started: Started, result: &Result<Response<B>, E>) -> (Started, Outcome) {
        let outcome = match result {
            Ok(response) => Usual::response(response),
            Err(error) => any_error(error).map_or(Outcome::Ignored, Usual::error),
        };
        (started, outcome)
    }

    fn record(&self, (started, outcome): (Started, Outcome)) {
        self.adaptive.record(started, outcome);
    }
}

impl<Response, Error, F> Meter<Response, Error> for Measured<F>
where
    F: Fn(&Result<Response, Error>) -> Outcome,
{
    type Started = Started;
    type Ended = (Started, Outcome);

    fn started(&self) -> Started {
        self.adaptive.started()
    }

    fn ended(&self, started: Started, result: &Result<Response, Error>) -> (Started, Outcome) {
        (started, (self.classify)(result))
    }

    fn record(&self, (started, outcome): (Started, Outcome)) {
        self.adaptive.record(started, outcome);
    }
}

impl<C> fmt::Debug for Measured<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Measured").field("adaptive", &self.adaptive).finish_non_exhaustive()
    }
}
