//! Why a request was turned away, and how that is said over HTTP and gRPC.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use grmgr::{AcquireError, Handle, TryAcquireError};
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Response, StatusCode};

/// A request that got no permit: which limiter, why, and when to try again.
///
/// The error of a [`Limit`](crate::Limit) that does not answer itself, in a box. An answer is made
/// from it: [`response`](Self::response).
///
/// ```
/// use std::time::Duration;
/// use grmgr::Limiter;
/// use grmgr_tower::{LimitLayer, Overloaded, Reason};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # smol::block_on(async {
/// static DB: Limiter = Limiter::const_new("db", 1);
/// let service = ServiceBuilder::new()
///     .layer(LimitLayer::new(&DB).shed())
///     .service(service_fn(async |_: ()| Ok::<_, std::io::Error>("a row")));
///
/// let _permit = DB.try_acquire().unwrap();
/// let error = service.oneshot(()).await.unwrap_err();
/// let overloaded = error.downcast_ref::<Overloaded>().expect("no other error");
/// assert_eq!(overloaded.limiter().map(|db| db.name()), Some("db"));
/// assert_eq!(overloaded.reason(), &Reason::Busy);
/// assert_eq!(overloaded.retry_after(), Some(Duration::from_secs(1)));
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct Overloaded {
    limiter: Option<Handle>,
    reason: Reason,
    retry_after: Duration,
    /// As the source of this error: there tonic looks for the status that it tells.
    #[cfg(feature = "tonic")]
    status: Option<Box<tonic::Status>>,
}

/// Why a request got no permit.
///
/// ```
/// use grmgr_tower::Reason;
///
/// assert_eq!(Reason::QueueFull { max_waiting: 100 }.to_string(), "100 requests wait already");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// No permit was free, and the layer [sheds](crate::LimitLayer::shed).
    Busy,
    /// As many requests wait as the limiter allows.
    QueueFull {
        /// How many may wait.
        max_waiting: usize,
    },
    /// No permit came free in the time of [`queue_for`](crate::LimitLayer::queue_for_with).
    TimedOut {
        /// That time.
        after: Duration,
    },
    /// The request weighs more than the limiter's highest setting, and so can never be served.
    ExceedsMax {
        /// Its weight.
        requested: usize,
        /// The highest setting.
        max: usize,
    },
    /// The limiter is closed.
    Closed,
    /// The function for the key, the limiter, the weight or the label has panicked.
    Panicked,
}

impl Reason {
    pub(crate) fn of(error: AcquireError) -> Self {
        match error {
            AcquireError::QueueFull { max_waiting } => Self::QueueFull { max_waiting },
            AcquireError::ExceedsMax { requested, max } => Self::ExceedsMax { requested, max },
            AcquireError::Closed => Self::Closed,
            // The rest comes from calls that are not made here.
            _ => Self::Busy,
        }
    }

    pub(crate) fn of_try(error: TryAcquireError) -> Self {
        AcquireError::try_from(error).map_or(Self::Busy, Self::of)
    }

    /// Whether a permit may be there later.
    fn passes(&self) -> bool {
        matches!(self, Self::Busy | Self::QueueFull { .. } | Self::TimedOut { .. })
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::ExceedsMax { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The gRPC status: RESOURCE_EXHAUSTED, but UNAVAILABLE if another server may serve it, and INTERNAL.
    fn grpc_status(&self) -> &'static str {
        match self {
            Self::Closed => "14",
            Self::Panicked => "13",
            _ => "8",
        }
    }
}

impl Overloaded {
    pub(crate) fn new(limiter: Option<Handle>, reason: Reason, retry_after: Duration) -> Self {
        let overloaded = Self {
            limiter,
            reason,
            retry_after,
            #[cfg(feature = "tonic")]
            status: None,
        };
        #[cfg(feature = "tonic")]
        let overloaded = Self {
            status: tonic::Status::from_header_map(overloaded.grpc_response().headers())
                .map(Box::new),
            ..overloaded
        };
        overloaded
    }

    /// Returns the limiter that granted nothing; `None` if a function that chooses it has panicked.
    ///
    /// ```
    /// use grmgr_tower::Overloaded;
    ///
    /// fn log(overloaded: &Overloaded) {
    ///     if let Some(limiter) = overloaded.limiter() {
    ///         eprintln!("{}: {} wait in line", limiter.name(), limiter.waiting());
    ///     }
    /// }
    /// ```
    pub fn limiter(&self) -> Option<&Handle> {
        self.limiter.as_ref()
    }

    /// Returns why.
    ///
    /// ```
    /// use grmgr_tower::{Overloaded, Reason};
    ///
    /// fn is_shutting_down(overloaded: &Overloaded) -> bool {
    ///     overloaded.reason() == &Reason::Closed
    /// }
    /// ```
    pub fn reason(&self) -> &Reason {
        &self.reason
    }

    /// Returns when to try again: the layer's [`retry_after`](crate::LimitLayer::retry_after).
    ///
    /// `None` if that would be of no use: the limiter is closed, the request too large, or a function of
    /// yours has panicked.
    ///
    /// ```
    /// use grmgr_tower::Overloaded;
    ///
    /// /// Waits for the next attempt; returns whether there is to be one.
    /// async fn is_worth_a_retry(overloaded: &Overloaded) -> bool {
    ///     let Some(after) = overloaded.retry_after() else { return false };
    ///     smol::Timer::after(after).await;
    ///     true
    /// }
    /// ```
    pub fn retry_after(&self) -> Option<Duration> {
        self.reason.passes().then_some(self.retry_after)
    }

    /// Makes the answer of [`respond`](crate::LimitLayer::respond).
    ///
    /// 503 with `Retry-After`, in whole seconds and rounded up. 503 alone if the limiter is closed, 413
    /// if the request can never be served, 500 if a function has panicked. The body is this error's
    /// text.
    ///
    /// Change what you want to be different.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use grmgr_tower::Overloaded;
    /// use http::{Response, StatusCode};
    ///
    /// /// 429, and a body for machines.
    /// fn answer(overloaded: &Overloaded) -> Response<Bytes> {
    ///     let mut response = overloaded.response().map(|_| Bytes::from(r#"{"error":"busy"}"#));
    ///     if overloaded.retry_after().is_some() {
    ///         *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    ///     }
    ///     response
    /// }
    /// ```
    pub fn response(&self) -> Response<Bytes> {
        let mut response = Response::new(Bytes::from(self.to_string()));
        *response.status_mut() = self.reason.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        if let Some(after) = self.retry_after() {
            let seconds = after.as_secs().saturating_add(u64::from(after.subsec_nanos() > 0));
            headers.insert(RETRY_AFTER, seconds.into());
        }
        response
    }

    /// The same to a client that speaks gRPC: a status in the headers, and nothing else.
    pub(crate) fn grpc_response(&self) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert("grpc-status", HeaderValue::from_static(self.reason.grpc_status()));
        if let Ok(message) = HeaderValue::try_from(percent_encoded(&self.to_string())) {
            headers.insert("grpc-message", message);
        }
        // Clients that retry by themselves ask for this one; a negative number tells them not to.
        let pushback = self.retry_after().map_or(-1, |after| {
            // Rounded up, as above, and at most what an i32 holds.
            i64::try_from(after.as_nanos().div_ceil(1_000_000))
                .unwrap_or(i64::MAX)
                .min(i64::from(i32::MAX))
        });
        headers.insert("grpc-retry-pushback-ms", HeaderValue::from(pushback));
        response
    }
}

/// Whether the request is of gRPC or gRPC-Web.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// As gRPC wants its messages.
fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
        encoded
    })
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("no permit is free"),
            Self::QueueFull { max_waiting } => write!(f, "{max_waiting} requests wait already"),
            Self::TimedOut { after } => write!(f, "no permit came free within {after:?}"),
            Self::ExceedsMax { requested, max } => write!(
                f,
                "the request weighs {requested}, but the ceiling is never above {max}: make it \
                 smaller, or build the limiter with a larger `max`"
            ),
            Self::Closed => f.write_str("the limiter is closed and grants nothing any more"),
            Self::Panicked => {
                f.write_str("the function that chooses its limiter, weight or label has panicked")
            }
        }
    }
}

impl fmt::Display for Overloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.limiter {
            Some(limiter) => write!(f, "limiter {:?}: {}", limiter.name(), self.reason)?,
            None => write!(f, "{}", self.reason)?,
        }
        match self.retry_after() {
            Some(after) => write!(f, "; try again in {after:?}"),
            None => Ok(()),
        }
    }
}

impl Error for Overloaded {
    /// With feature `tonic`: the status that tonic answers with, where this error reaches it.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        #[cfg(feature = "tonic")]
        if let Some(status) = &self.status {
            return Some(&**status);
        }
        None
    }
}
