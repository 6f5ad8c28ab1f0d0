//! The methods.

use futures_core::Stream;
use grmgr::{AcquireError, Handle};

use crate::{ForEachLimited, MapLimited, MapLimitedUnordered, Plain, Try};

/// Limits for every [`Stream`].
///
/// The [crate](crate) says what they have in common, and what runs when.
///
/// ```
/// use futures_core::Stream;
/// use grmgr::{AcquireError, Limiter};
/// use grmgr_stream::StreamExt as _; // that of futures-util has the same name
///
/// static FETCHES: Limiter = Limiter::const_new("fetches", 8);
///
/// fn pages(numbers: impl Stream<Item = u32>) -> impl Stream<Item = Result<String, AcquireError>> {
///     numbers.map_limited(&FETCHES, async |number| format!("page {number}"))
/// }
/// # let _ = pages(futures_util::stream::empty());
/// ```
pub trait StreamExt: Stream + Sized {
    /// Makes a future for each item, and yields their results in the order of the items.
    ///
    /// As many run at once as the limiter allows. A result that comes early waits for those before it.
    ///
    /// ```
    /// use futures_util::{StreamExt as _, stream};
    /// use grmgr::{Handle, Limiter};
    /// use grmgr_stream::StreamExt as _;
    ///
    /// # smol::block_on(async {
    /// let api = Handle::from(Limiter::builder("api").ceiling(2).max(32).build().unwrap());
    /// let mut users = stream::iter(["ann", "bob"]).map_limited(api.clone(), async |name| name.len());
    /// let _ = api.set_ceiling(32); // from now on
    /// while let Some(length) = users.next().await {
    ///     assert_eq!(length, Ok(3));
    /// }
    /// assert_eq!(api.in_flight(), 0);
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// An item for which no permit was to be had is an [`AcquireError`] in the place of its result: its
    /// future is not made. A limiter may bound its line (`max_waiting`). The stream leaves the line when it
    /// yields a result, and may find it full when it comes back. After [`Closed`](AcquireError::Closed) no
    /// further items are taken, and the stream ends with the last of those that run.
    fn map_limited<F, W>(self, limiter: impl Into<Handle>, f: F) -> MapLimited<Self, Plain<F>>
    where
        F: FnMut(Self::Item) -> W,
        W: Future,
    {
        MapLimited::new(self, limiter.into(), Plain(f))
    }

    /// Makes a future for each item, and yields their results as they come.
    ///
    /// As [`map_limited`](Self::map_limited) otherwise, and so are its errors.
    ///
    /// ```
    /// use futures_util::{StreamExt as _, stream};
    /// use grmgr::Limiter;
    /// use grmgr_stream::StreamExt as _;
    ///
    /// static API: Limiter = Limiter::const_new("api", 8);
    ///
    /// # smol::block_on(async {
    /// let lengths = stream::iter(["ann", "bob"]).map_limited_unordered(&API, async |name| name.len());
    /// assert_eq!(lengths.collect::<Vec<_>>().await, [Ok(3), Ok(3)]);
    /// # });
    /// ```
    fn map_limited_unordered<F, W>(
        self,
        limiter: impl Into<Handle>,
        f: F,
    ) -> MapLimitedUnordered<Self, Plain<F>>
    where
        F: FnMut(Self::Item) -> W,
        W: Future,
    {
        MapLimitedUnordered::new(self, limiter.into(), Plain(f))
    }

    /// Runs a future for each item, in one future that ends with the last of them.
    ///
    /// There is no consumer that could keep them waiting: they run as long as this future is polled.
    ///
    /// ```
    /// use std::cell::Cell;
    /// use futures_util::stream;
    /// use grmgr::Limiter;
    /// use grmgr_stream::StreamExt as _;
    ///
    /// # smol::block_on(async {
    /// let sum = Cell::new(0);
    /// let limiter = Limiter::new("sums", 4);
    /// stream::iter(1..=10).for_each_limited(limiter, async |n| sum.set(sum.get() + n)).await?;
    /// assert_eq!(sum.get(), 55);
    /// # Ok::<(), grmgr::AcquireError>(())
    /// # })?;
    /// # Ok::<(), grmgr::AcquireError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The first [`AcquireError`], once everything that runs has ended: see
    /// [`map_limited`](Self::map_limited).
    fn for_each_limited<F, W>(
        self,
        limiter: impl Into<Handle>,
        f: F,
    ) -> ForEachLimited<Self, Plain<F>>
    where
        F: FnMut(Self::Item) -> W,
        W: Future<Output = ()>,
    {
        ForEachLimited::new(self, limiter.into(), Plain(f))
    }

    /// As [`map_limited`](Self::map_limited), up to the first error, which cancels the rest.
    ///
    /// The first in the order of the items: of the source, of a future, or an [`AcquireError`] that is
    /// converted. Everything that runs is dropped, and so is the source.
    ///
    /// ```
    /// use futures_util::{TryStreamExt as _, stream};
    /// use grmgr::Limiter;
    /// use grmgr_stream::StreamExt as _;
    ///
    /// # smol::block_on(async {
    /// let limiter = Limiter::new("parse", 4);
    /// let texts = stream::iter(["1", "2", "x", "3"].map(Ok::<_, Box<dyn std::error::Error>>));
    /// let mut numbers = texts.try_map_limited(limiter, async |text| Ok(text.parse::<u32>()?));
    /// assert_eq!(numbers.try_next().await?, Some(1));
    /// assert_eq!(numbers.try_next().await?, Some(2));
    /// assert!(numbers.try_next().await.is_err());
    /// assert_eq!(numbers.try_next().await?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    fn try_map_limited<T, U, E, F, W>(
        self,
        limiter: impl Into<Handle>,
        f: F,
    ) -> MapLimited<Self, Try<F>>
    where
        Self: Stream<Item = Result<T, E>>,
        F: FnMut(T) -> W,
        W: Future<Output = Result<U, E>>,
        E: From<AcquireError>,
    {
        MapLimited::new(self, limiter.into(), Try(f))
    }

    /// As [`map_limited_unordered`](Self::map_limited_unordered), up to the first error, which cancels the rest.
    ///
    /// As [`try_map_limited`](Self::try_map_limited), but the first error in time.
    ///
    /// ```
    /// use futures_util::{TryStreamExt as _, stream};
    /// use grmgr::Limiter;
    /// use grmgr_stream::StreamExt as _;
    ///
    /// # smol::block_on(async {
    /// let limiter = Limiter::new("parse", 4);
    /// let texts = stream::iter(["1", "2", "3"].map(Ok::<_, Box<dyn std::error::Error>>));
    /// let numbers = texts.try_map_limited_unordered(limiter, async |text| Ok(text.parse::<u32>()?));
    /// assert_eq!(numbers.try_collect::<Vec<_>>().await?.len(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    fn try_map_limited_unordered<T, U, E, F, W>(
        self,
        limiter: impl Into<Handle>,
        f: F,
    ) -> MapLimitedUnordered<Self, Try<F>>
    where
        Self: Stream<Item = Result<T, E>>,
        F: FnMut(T) -> W,
        W: Future<Output = Result<U, E>>,
        E: From<AcquireError>,
    {
        MapLimitedUnordered::new(self, limiter.into(), Try(f))
    }

    /// As [`for_each_limited`](Self::for_each_limited), up to the first error, which cancels the rest.
    ///
    /// ```
    /// use futures_util::stream;
    /// use grmgr::Limiter;
    /// use grmgr_stream::StreamExt as _;
    ///
    /// # smol::block_on(async {
    /// let limiter = Limiter::new("checks", 4);
    /// let numbers = stream::iter((1..=10).map(Ok::<i32, Box<dyn std::error::Error>>));
    /// let checked = numbers.try_for_each_limited(limiter, async |n| {
    ///     if n == 7 { Err("seven".into()) } else { Ok(()) }
    /// });
    /// assert_eq!(checked.await.unwrap_err().to_string(), "seven");
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// The first error in time: of the source, of a future, or an [`AcquireError`] that is converted.
    fn try_for_each_limited<T, E, F, W>(
        self,
        limiter: impl Into<Handle>,
        f: F,
    ) -> ForEachLimited<Self, Try<F>>
    where
        Self: Stream<Item = Result<T, E>>,
        F: FnMut(T) -> W,
        W: Future<Output = Result<(), E>>,
        E: From<AcquireError>,
    {
        ForEachLimited::new(self, limiter.into(), Try(f))
    }
}

impl<St: Stream> StreamExt for St {}
