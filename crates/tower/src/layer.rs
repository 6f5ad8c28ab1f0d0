//! What a limit is made of.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use grmgr::Handle;
use http::Response;
use tower_layer::Layer;

use crate::mode::{Answers, Errors, HttpErrors, Until};
#[cfg(feature = "stats")]
use crate::pick::Labelled;
use crate::pick::{Limiters, PerKey, Weighted};
use crate::queue::{Queue, Timer};
use crate::{Limit, Overloaded};

/// Puts a service under a limit: [`Limit`].
///
/// All services that a layer and its clones make share the limiter.
///
#[cfg_attr(feature = "tokio", doc = "```")]
#[cfg_attr(not(feature = "tokio"), doc = "```ignore")]
/// use std::time::Duration;
/// use axum::{Router, routing::get};
/// use grmgr::Limiter;
/// use grmgr_tower::LimitLayer;
///
/// static REPORTS: Limiter = Limiter::const_new("reports", 4).with_max_waiting(100);
///
/// let limit = LimitLayer::new(&REPORTS).queue_for(Duration::from_secs(2)).respond();
/// let app: Router = Router::new().route("/report", get(async || "…")).layer(limit);
/// ```
///
/// By default a request waits as long as its client does, keeps its permit until the response is there,
/// and gets an [`Overloaded`] error if it is turned away. With [`respond`](Self::respond) or
/// [`hold`](Self::hold) the body of an HTTP response carries the permit. Servers of axum need
/// `respond`, and those of gRPC need it or feature `tonic`. How many may wait at once is up to the limiter (`max_waiting`).
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing until it is put around a service"]
pub struct LimitLayer<P = Handle, M = Errors, T = ()> {
    pick: P,
    mode: M,
    meter: T,
    queue: Queue,
    retry_after: Duration,
}

/// When to try again, if nobody says.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl LimitLayer {
    /// Limits with one limiter: a new one, one in an `Arc`, a `static`, or one of which there is a handle.
    ///
    /// ```
    /// use grmgr::{Limiter, Registry};
    /// use grmgr_tower::LimitLayer;
    ///
    /// static DB: Limiter = Limiter::const_new("db", 20);
    ///
    /// let layer = LimitLayer::new(&DB);
    /// let registered = Registry::global().register(Limiter::new("api", 8))?;
    /// let layer = LimitLayer::new(&registered);
    /// # Ok::<(), grmgr::NameTaken>(())
    /// ```
    pub fn new(limiter: impl Into<Handle>) -> Self {
        Self::picking(limiter.into())
    }
}

impl<P> LimitLayer<P> {
    /// Limits with the limiter that `pick` chooses for each request.
    ///
    /// ```
    /// use grmgr::Handle;
    /// use grmgr_tower::{LimitLayer, Pick};
    ///
    /// struct Job {
    ///     queue: Handle,
    /// }
    ///
    /// #[derive(Clone)]
    /// struct QueueOfJob;
    ///
    /// impl Pick<Job> for QueueOfJob {
    ///     fn limiter(&self, job: &Job) -> Handle {
    ///         job.queue.clone()
    ///     }
    /// }
    ///
    /// let layer = LimitLayer::picking(QueueOfJob);
    /// ```
    pub fn picking(pick: P) -> Self {
        Self::metered(pick, ())
    }
}

impl<K, L> LimitLayer<PerKey<K, L>> {
    /// Limits each key by itself, with limiters that are made when their key first comes.
    ///
    /// `make` gets the key and returns a limiter of that name. Limiters that are not in use, and whose
    /// setting has not been changed, are evicted from time to time: see
    /// [`evict_above`](Self::evict_above). Others in the registry stay.
    ///
    /// A client that may choose its key gets new permits with each new one. So take the key from what
    /// authentication has found out, or bound the sum with a second limit.
    ///
    /// In a registry with other limiters, a request whose key is the name of one takes the permits of that
    /// limiter: give the keys a registry of their own, or a prefix.
    ///
    /// If a function panics, or the limiter has another name, the request gets an [`Overloaded`] error
    /// or is answered 500.
    ///
    /// ```
    /// use axum::{Router, extract::Request, routing::get};
    /// use grmgr::{Limiter, Registry};
    /// use grmgr_tower::LimitLayer;
    ///
    /// static TENANTS: Registry = Registry::new();
    ///
    /// // Set by the proxy that authenticates clients, whatever they send.
    /// let tenant = |request: &Request| {
    ///     let name = request.headers().get("x-tenant").and_then(|name| name.to_str().ok());
    ///     name.unwrap_or("nobody").to_owned()
    /// };
    /// let limit = LimitLayer::per_key(&TENANTS, tenant, |name| Limiter::new(name.to_owned(), 4));
    /// let app: Router = Router::new().route("/", get(async || "…")).layer(limit.respond());
    /// ```
    pub fn per_key(limiters: impl Into<Limiters>, key: K, make: L) -> Self
    where
        L: Fn(&str) -> grmgr::Limiter,
    {
        Self::picking(PerKey::new(limiters.into(), key, make))
    }

    /// Sets how many keys there may be before idle ones are looked for. Default: 1,000.
    ///
    /// They are looked for when a key comes that is not there, and again when there are twice as many as
    /// were left. A limiter in use is never evicted, nor is one that is paused, closed, capped, or whose
    /// setting has been changed.
    ///
    /// ```
    /// # use grmgr::{Limiter, Registry};
    /// # use grmgr_tower::LimitLayer;
    /// # let host = |request: &http::Request<()>| request.uri().to_string();
    /// let make = |host: &str| Limiter::new(host.to_owned(), 6);
    /// let layer = LimitLayer::per_key(Registry::global(), host, make).evict_above(100);
    /// ```
    pub fn evict_above(mut self, keys: usize) -> Self {
        self.pick.evict_above = keys;
        self
    }
}

impl<P, T> LimitLayer<P, Errors, T> {
    pub(crate) fn metered(pick: P, meter: T) -> Self {
        Self { pick, mode: Errors(()), meter, queue: Queue::default(), retry_after: RETRY_AFTER }
    }
}

impl<P, M, T> LimitLayer<P, M, T> {
    /// Asks for as many permits as `weight` says, instead of one.
    ///
    /// With 0 a request needs none. One that weighs more than the limiter's `max` is turned away.
    ///
    /// Write the type of the argument, as here. Without it, the compiler says that "implementation of
    /// `FnOnce` is not general enough".
    ///
    /// ```
    /// use axum::{Router, extract::Request, routing::post};
    /// use grmgr::Limiter;
    /// use grmgr_tower::LimitLayer;
    /// use http::header::CONTENT_LENGTH;
    ///
    /// static MEMORY: Limiter = Limiter::const_new("memory in MiB", 512);
    ///
    /// // 1 permit for each MiB of the upload, 16 if it does not say how large it is.
    /// let weight = |request: &Request| {
    ///     let length = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    ///     length.and_then(|length| length.parse().ok()).map_or(16, |bytes: usize| bytes.div_ceil(1 << 20))
    /// };
    /// let limit = LimitLayer::new(&MEMORY).weight(weight).respond();
    /// let app: Router = Router::new().route("/upload", post(async || "…")).layer(limit);
    /// ```
    pub fn weight<W>(self, weight: W) -> LimitLayer<Weighted<P, W>, M, T> {
        let Self { pick, mode, meter, queue, retry_after } = self;
        LimitLayer { pick: Weighted { pick, weight }, mode, meter, queue, retry_after }
    }

    /// Labels the permits of a request, for [`holders`](grmgr::Limiter::holders) to tell whose they are.
    ///
    /// A label is made only where the limiter [tracks its holders](grmgr::Builder::track_holders), and cut
    /// to 256 bytes. If the function panics, the request gets an [`Overloaded`] error or is answered 500.
    ///
    /// ```
    /// use axum::{Router, extract::Request, routing::get};
    /// use grmgr::Limiter;
    /// use grmgr_tower::LimitLayer;
    ///
    /// static API: Limiter = Limiter::const_new("api", 20).with_track_holders();
    ///
    /// // Such as "GET /report". Without the query, which may be secret.
    /// let label = |request: &Request| format!("{} {}", request.method(), request.uri().path());
    /// let limit = LimitLayer::new(&API).label(label).respond();
    /// let app: Router = Router::new().route("/report", get(async || "…")).layer(limit);
    /// for holder in API.holders() {
    ///     println!("{} for {:?}", holder.label, holder.held_for);
    /// }
    /// ```
    #[cfg(feature = "stats")]
    pub fn label<F>(self, label: F) -> LimitLayer<Labelled<P, F>, M, T> {
        let Self { pick, mode, meter, queue, retry_after } = self;
        LimitLayer { pick: Labelled { pick, label }, mode, meter, queue, retry_after }
    }

    /// Turns a request away that has waited this long. The timer is tokio's.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use grmgr::Limiter;
    /// # use grmgr_tower::LimitLayer;
    /// # let limiter = Limiter::new("db", 20);
    /// let layer = LimitLayer::new(limiter).queue_for(Duration::from_millis(100));
    /// ```
    ///
    /// # Panics
    ///
    /// Not here, but in the future of a request, when that begins to wait outside of a tokio runtime, or in
    /// one without its timer (`enable_time`). Elsewhere use [`queue_for_with`](Self::queue_for_with).
    #[cfg(feature = "tokio")]
    pub fn queue_for(mut self, limit: Duration) -> Self {
        self.queue = Queue::For(limit, Timer::Tokio);
        self
    }

    /// Turns a request away that has waited this long, by a timer of your choice.
    ///
    /// `sleep` is called when a request begins to wait; one that finds a permit needs no timer.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use grmgr::Limiter;
    /// # use grmgr_tower::LimitLayer;
    /// # let limiter = Limiter::new("db", 20);
    /// let sleep = |limit| async move { let _ = smol::Timer::after(limit).await; };
    /// let layer = LimitLayer::new(limiter).queue_for_with(Duration::from_millis(100), sleep);
    /// ```
    pub fn queue_for_with<F>(
        mut self,
        limit: Duration,
        sleep: impl Fn(Duration) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.queue = Queue::For(limit, Timer::Own(Arc::new(move |limit| Box::pin(sleep(limit)))));
        self
    }

    /// Turns a request away that finds no permit free, instead of letting it wait.
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// # use grmgr_tower::LimitLayer;
    /// # let limiter = Limiter::new("db", 20);
    /// let layer = LimitLayer::new(limiter).shed();
    /// ```
    pub fn shed(mut self) -> Self {
        self.queue = Queue::Shed;
        self
    }

    /// Sets when a request that is turned away is told to come back. Default: 1 s.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use grmgr::Limiter;
    /// # use grmgr_tower::LimitLayer;
    /// # let limiter = Limiter::new("db", 20);
    /// let layer = LimitLayer::new(limiter).shed().retry_after(Duration::from_secs(10)).respond();
    /// ```
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = after;
        self
    }

    fn mode<N>(self, mode: N) -> LimitLayer<P, N, T> {
        let Self { pick, mode: _, meter, queue, retry_after } = self;
        LimitLayer { pick, mode, meter, queue, retry_after }
    }

    #[cfg(feature = "adaptive")]
    pub(crate) fn meter<U>(self, meter: impl FnOnce(T) -> U) -> LimitLayer<P, M, U> {
        let Self { pick, mode, meter: before, queue, retry_after } = self;
        LimitLayer { pick, mode, meter: meter(before), queue, retry_after }
    }
}

impl<P, T> LimitLayer<P, Errors, T> {
    /// For HTTP services: sets until when a request keeps its permit.
    ///
    /// With [`Until::Body`], until the last byte of the body has been taken, or the client is gone. Without
    /// `hold` and [`respond`](LimitLayer::respond), until the response is there.
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// # use grmgr_tower::{LimitLayer, Until};
    /// # let limiter = Limiter::new("downloads", 4);
    /// let layer = LimitLayer::new(limiter).hold(Until::Body);
    /// ```
    pub fn hold(self, until: Until) -> LimitLayer<P, HttpErrors, T> {
        self.mode(HttpErrors { until })
    }

    /// For HTTP services: answers a request that is turned away, instead of failing.
    ///
    /// 503 with `Retry-After`, as [`Overloaded::response`] says. A gRPC request gets the status
    /// RESOURCE_EXHAUSTED, with the time in `grpc-retry-pushback-ms`; UNAVAILABLE if the limiter is
    /// closed, and INTERNAL if a function has panicked. Permits are held until the body has ended,
    /// unless [`hold`](LimitLayer::hold) says otherwise.
    ///
    /// A tonic server also takes a layer without `respond`; its clients get `Internal, "h2 protocol
    /// error"` then. axum does not take one.
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// # use grmgr_tower::LimitLayer;
    /// # let limiter = Limiter::new("api", 8);
    /// let layer = LimitLayer::new(limiter).shed().respond();
    /// ```
    pub fn respond(self) -> LimitLayer<P, Answers, T> {
        self.hold(Until::Body).respond()
    }

    /// For HTTP services: answers a request that is turned away with a response of your choice.
    ///
    /// A gRPC request gets its status, as with [`respond`](Self::respond).
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// # use grmgr_tower::{LimitLayer, Overloaded};
    /// use http::StatusCode;
    ///
    /// # let limiter = Limiter::new("api", 8);
    /// let layer = LimitLayer::new(limiter).shed().respond_with(|overloaded: &Overloaded| {
    ///     let mut response = overloaded.response();
    ///     // Not if the limiter is closed, the request is too large, or a function has panicked.
    ///     if overloaded.retry_after().is_some() {
    ///         *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    ///     }
    ///     response
    /// });
    /// ```
    pub fn respond_with<A>(self, answer: A) -> LimitLayer<P, Answers<A>, T>
    where
        A: Fn(&Overloaded) -> Response<Bytes>,
    {
        self.hold(Until::Body).respond_with(answer)
    }
}

impl<P, T> LimitLayer<P, HttpErrors, T> {
    /// Answers a request that is turned away: [`respond`](LimitLayer::respond).
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// # use grmgr_tower::{LimitLayer, Until};
    /// # let limiter = Limiter::new("api", 8);
    /// let layer = LimitLayer::new(limiter).hold(Until::Response).respond();
    /// ```
    pub fn respond(self) -> LimitLayer<P, Answers, T> {
        self.respond_with(Overloaded::response)
    }

    /// Answers a request that is turned away: [`respond_with`](LimitLayer::respond_with).
    ///
    /// ```
    /// # use bytes::Bytes;
    /// # use grmgr::Limiter;
    /// # use grmgr_tower::{LimitLayer, Overloaded, Until};
    /// # let limiter = Limiter::new("api", 8);
    /// let layer = LimitLayer::new(limiter)
    ///     .hold(Until::Response)
    ///     .respond_with(|overloaded: &Overloaded| overloaded.response().map(|_| Bytes::new()));
    /// ```
    pub fn respond_with<A>(self, answer: A) -> LimitLayer<P, Answers<A>, T>
    where
        A: Fn(&Overloaded) -> Response<Bytes>,
    {
        let until = self.mode.until;
        self.mode(Answers { until, answer })
    }
}

impl<P, A, T> LimitLayer<P, Answers<A>, T> {
    /// Sets until when a request keeps its permit: [`hold`](LimitLayer::hold).
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// # use grmgr_tower::{LimitLayer, Until};
    /// # let limiter = Limiter::new("api", 8);
    /// let layer = LimitLayer::new(limiter).respond().hold(Until::Response);
    /// ```
    pub fn hold(mut self, until: Until) -> Self {
        self.mode.until = until;
        self
    }
}

impl<S, P: Clone, M: Clone, T: Clone> Layer<S> for LimitLayer<P, M, T> {
    type Service = Limit<S, P, M, T>;

    fn layer(&self, inner: S) -> Self::Service {
        let Self { pick, mode, meter, queue, retry_after } = self.clone();
        Limit { inner, pick, mode, meter, queue, retry_after }
    }
}
