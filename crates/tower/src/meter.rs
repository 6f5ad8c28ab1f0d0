//! What is noted of a request beside its limit.

/// What a [`Limit`](crate::Limit) notes of each request; sealed.
///
/// This is `()`, for nothing. With feature `adaptive` there is `Measured` besides.
///
/// ```
/// use grmgr_tower::Meter;
///
/// fn meters<T: Meter<&'static str, std::io::Error>>() {}
/// meters::<()>();
/// ```
pub trait Meter<Response, Error>: sealed::Sealed {
    /// What is kept from its grant on.
    type Started: Copy;
    /// What is kept of how it ended.
    type Ended;
    /// The permit is granted.
    #[doc(hidden)]
    fn started(&self) -> Self::Started;
    /// The inner service is ready. Not called for a request that is cancelled.
    #[doc(hidden)]
    fn ended(&self, started: Self::Started, result: &Result<Response, Error>) -> Self::Ended;
    /// The response has been handed on.
    #[doc(hidden)]
    fn record(&self, ended: Self::Ended);
}

pub(crate) mod sealed {
    pub trait Sealed {}
    impl Sealed for () {}
}

impl<Response, Error> Meter<Response, Error> for () {
    type Started = ();
    type Ended = ();

    #[inline]
    fn started(&self) {}

    #[inline]
    fn ended(&self, (): (), _: &Result<Response, Error>) {}

    #[inline]
    fn record(&self, (): ()) {}
}
