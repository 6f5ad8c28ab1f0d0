//! Which limiter a request needs, and how many permits of it.

#[cfg(feature = "stats")]
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use grmgr::{Handle, Limiter, Registry};

use crate::future::Asking;

/// Chooses the limiter of a request.
///
/// A [`Handle`] chooses itself. [`LimitLayer::per_key`](crate::LimitLayer::per_key) makes one that
/// finds or makes a limiter for each key. Write your own where that is not enough.
///
/// ```
/// use grmgr::{Handle, Limiter};
/// use grmgr_tower::{LimitLayer, Pick};
/// use http::{Method, Request};
///
/// #[derive(Clone)]
/// struct ByMethod {
///     reads: Handle,
///     writes: Handle,
/// }
///
/// impl<B> Pick<Request<B>> for ByMethod {
///     fn limiter(&self, request: &Request<B>) -> Handle {
///         let read_only = request.method() == Method::GET;
///         if read_only { self.reads.clone() } else { self.writes.clone() }
///     }
/// }
///
/// let reads = Limiter::new("reads", 100).into();
/// let writes = Limiter::new("writes", 4).into();
/// let layer = LimitLayer::picking(ByMethod { reads, writes });
/// ```
pub trait Pick<Request> {
    /// Returns the limiter of the request.
    ///
    /// ```
    /// use grmgr::{Handle, Limiter};
    /// use grmgr_tower::Pick;
    ///
    /// let api = Handle::from(Limiter::new("api", 8));
    /// assert_eq!(api.limiter(&"any request"), api);
    /// ```
    fn limiter(&self, request: &Request) -> Handle;

    /// Returns how many permits the request needs. Default: 1.
    ///
    /// With 0 it needs none, and is turned away only if the limiter is closed.
    ///
    /// ```
    /// use grmgr::Handle;
    /// use grmgr_tower::Pick;
    ///
    /// /// A permit stands for 1 MiB.
    /// struct Memory(Handle);
    ///
    /// impl Pick<Vec<u8>> for Memory {
    ///     fn limiter(&self, _: &Vec<u8>) -> Handle {
    ///         self.0.clone()
    ///     }
    ///
    ///     fn weight(&self, upload: &Vec<u8>) -> usize {
    ///         upload.len().div_ceil(1 << 20)
    ///     }
    /// }
    /// ```
    fn weight(&self, request: &Request) -> usize {
        let _ = request;
        1
    }

    /// Returns the label of the request's permits (feature `stats`). Default: empty, for none.
    ///
    /// Asked only if the limiter [tracks its holders](grmgr::Builder::track_holders).
    ///
    /// ```
    /// use std::borrow::Cow;
    /// use grmgr::Handle;
    /// use grmgr_tower::Pick;
    /// use http::Request;
    ///
    /// struct Jobs(Handle);
    ///
    /// impl<B> Pick<Request<B>> for Jobs {
    ///     fn limiter(&self, _: &Request<B>) -> Handle {
    ///         self.0.clone()
    ///     }
    ///
    ///     fn label(&self, request: &Request<B>) -> Cow<'static, str> {
    ///         request.uri().path().to_owned().into()
    ///     }
    /// }
    /// ```
    #[cfg(feature = "stats")]
    fn label(&self, request: &Request) -> Cow<'static, str> {
        let _ = request;
        Cow::Borrowed("")
    }

    /// All of it, or that one has panicked, which is caught: it would take the connection with it, and
    /// under HTTP/2 every other request on that.
    #[doc(hidden)]
    fn pick(&self, request: &Request) -> Picked {
        let all = || {
            let limiter = self.limiter(request);
            let n = self.weight(request);
            #[cfg(feature = "stats")]
            if limiter.tracks_holders() {
                let label = self.label(request);
                if !label.is_empty() {
                    return Picked { asking: Asking::Labelled(Box::new((limiter, label))), n };
                }
            }
            Picked { asking: Asking::First(Some(limiter)), n }
        };
        let panicked = |_| Picked { asking: Asking::Panicked, n: 0 };
        catch_unwind(AssertUnwindSafe(all)).unwrap_or_else(panicked)
    }
}

/// What a request asks for.
#[allow(missing_debug_implementations, reason = "nobody can get one")]
pub struct Picked {
    pub(crate) asking: Asking,
    pub(crate) n: usize,
}

impl<Request> Pick<Request> for Handle {
    #[inline]
    fn limiter(&self, _: &Request) -> Handle {
        self.clone()
    }

    #[inline]
    fn pick(&self, _: &Request) -> Picked {
        Picked { asking: Asking::First(Some(self.clone())), n: 1 }
    }
}

/// Chooses as `P` does, and asks for as many permits as a function says.
///
/// Made by [`LimitLayer::weight`](crate::LimitLayer::weight).
///
/// ```
/// use grmgr::{Handle, Limiter};
/// use grmgr_tower::{Limit, LimitLayer, Weighted};
/// use tower::Layer;
///
/// // A closure has no name, a function pointer has one.
/// type Weight = fn(&Vec<u8>) -> usize;
///
/// struct Uploads<S> {
///     limited: Limit<S, Weighted<Handle, Weight>>,
/// }
///
/// fn uploads<S>(service: S) -> Uploads<S> {
///     let mib: Weight = |upload| upload.len().div_ceil(1 << 20);
///     let layer = LimitLayer::new(Limiter::new("memory in MiB", 512)).weight(mib);
///     Uploads { limited: layer.layer(service) }
/// }
/// # let _ = uploads(()).limited;
/// ```
#[derive(Clone)]
pub struct Weighted<P, W> {
    pub(crate) pick: P,
    pub(crate) weight: W,
}

impl<Request, P: Pick<Request>, W: Fn(&Request) -> usize> Pick<Request> for Weighted<P, W> {
    #[inline]
    fn limiter(&self, request: &Request) -> Handle {
        self.pick.limiter(request)
    }

    #[inline]
    fn weight(&self, request: &Request) -> usize {
        (self.weight)(request)
    }

    #[cfg(feature = "stats")]
    #[inline]
    fn label(&self, request: &Request) -> Cow<'static, str> {
        self.pick.label(request)
    }
}

impl<P: fmt::Debug, W> fmt::Debug for Weighted<P, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Weighted").field("pick", &self.pick).finish_non_exhaustive()
    }
}

/// Chooses as `P` does, and labels the permits as a function says (feature `stats`).
///
/// Made by [`LimitLayer::label`](crate::LimitLayer::label).
///
/// ```
/// use grmgr::Handle;
/// use grmgr_tower::{Labelled, Limit};
///
/// struct Server<S> {
///     limited: Limit<S, Labelled<Handle, fn(&http::Request<()>) -> String>>,
/// }
/// # let _ = |server: Server<()>| server.limited;
/// ```
#[cfg(feature = "stats")]
#[derive(Clone)]
pub struct Labelled<P, F> {
    pub(crate) pick: P,
    pub(crate) label: F,
}

#[cfg(feature = "stats")]
impl<Request, P, F, L> Pick<Request> for Labelled<P, F>
where
    P: Pick<Request>,
    F: Fn(&Request) -> L,
    L: Into<Cow<'static, str>>,
{
    #[inline]
    fn limiter(&self, request: &Request) -> Handle {
        self.pick.limiter(request)
    }

    #[inline]
    fn weight(&self, request: &Request) -> usize {
        self.pick.weight(request)
    }

    #[inline]
    fn label(&self, request: &Request) -> Cow<'static, str> {
        (self.label)(request).into()
    }
}

#[cfg(feature = "stats")]
impl<P: fmt::Debug, F> fmt::Debug for Labelled<P, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Labelled").field("pick", &self.pick).finish_non_exhaustive()
    }
}

/// The registry that keeps the limiters of keys: a `&'static Registry` or an `Arc<Registry>`.
///
/// ```
/// use std::sync::Arc;
/// use grmgr::Registry;
/// use grmgr_tower::Limiters;
///
/// let shared: Limiters = Registry::global().into();
/// let own: Limiters = Arc::new(Registry::new()).into();
/// assert!(own.is_empty());
/// # let _ = shared;
/// ```
#[derive(Clone)]
pub struct Limiters(Kept);

#[derive(Clone)]
enum Kept {
    Static(&'static Registry),
    Shared(Arc<Registry>),
}

impl From<&'static Registry> for Limiters {
    fn from(registry: &'static Registry) -> Self {
        Self(Kept::Static(registry))
    }
}

impl From<Arc<Registry>> for Limiters {
    fn from(registry: Arc<Registry>) -> Self {
        Self(Kept::Shared(registry))
    }
}

impl Deref for Limiters {
    type Target = Registry;

    fn deref(&self) -> &Registry {
        match &self.0 {
            Kept::Static(registry) => registry,
            Kept::Shared(registry) => registry,
        }
    }
}

impl fmt::Debug for Limiters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// How many keys there may be before idle ones are looked for.
const EVICT_ABOVE: usize = 1_000;

/// Chooses a limiter by a key of the request.
///
/// Made by [`LimitLayer::per_key`](crate::LimitLayer::per_key).
///
/// ```
/// use grmgr::{Limiter, Registry};
/// use grmgr_tower::{LimitLayer, PerKey};
/// use http::Request;
///
/// // A closure has no name, a function pointer has one.
/// type Host = fn(&Request<()>) -> String;
/// type Make = fn(&str) -> Limiter;
///
/// fn per_host() -> LimitLayer<PerKey<Host, Make>> {
///     let host: Host = |request| request.uri().host().unwrap_or("").to_owned();
///     let make: Make = |host| Limiter::new(host.to_owned(), 6);
///     LimitLayer::per_key(Registry::global(), host, make)
/// }
/// # let _ = per_host();
/// ```
#[derive(Clone)]
pub struct PerKey<K, L> {
    limiters: Limiters,
    key: K,
    make: L,
    made: Arc<Mutex<Made>>,
    pub(crate) evict_above: usize,
}

/// What was made for keys. Touched only when one is made.
struct Made {
    /// Names, with the setting that each began with.
    settings: HashMap<String, usize>,
    /// How many there are when idle ones are looked for.
    look_at: usize,
}

impl<K, L> PerKey<K, L> {
    pub(crate) fn new(limiters: Limiters, key: K, make: L) -> Self {
        let made = Arc::new(Mutex::new(Made { settings: HashMap::new(), look_at: 0 }));
        Self { limiters, key, make, made, evict_above: EVICT_ABOVE }
    }

    /// Remembers a limiter that was made. From time to time evicts those that nobody uses.
    #[cold]
    fn made(&self, limiter: &Handle) {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.settings.insert(limiter.name().to_owned(), limiter.setting());
        if made.settings.len() <= made.look_at.max(self.evict_above) {
            return;
        }
        // Left alone: those of others in this registry, and those that somebody has turned.
        self.limiters.retain(|limiter| {
            let as_made = made.settings.get(limiter.name()) == Some(&limiter.setting());
            !as_made || limiter.is_paused() || limiter.is_closed() || !limiter.caps().is_empty()
        });
        let Made { settings, look_at } = &mut *made;
        settings.retain(|name, _| self.limiters.get(name).is_some());
        // So that looking costs each key that is made a constant share.
        *look_at = settings.len() * 2;
    }
}

impl<Request, K, N, L> Pick<Request> for PerKey<K, L>
where
    K: Fn(&Request) -> N,
    N: AsRef<str>,
    L: Fn(&str) -> Limiter,
{
    fn limiter(&self, request: &Request) -> Handle {
        let name = (self.key)(request);
        let name = name.as_ref();
        let mut new = false;
        let limiter = self.limiters.get_or_register_with(name, || {
            new = true;
            (self.make)(name)
        });
        if new {
            self.made(&limiter);
        }
        limiter
    }
}

impl<K, L> fmt::Debug for PerKey<K, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerKey").field("limiters", &self.limiters).finish_non_exhaustive()
    }
}
