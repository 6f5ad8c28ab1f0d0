//! The plain methods and those that stop at the first error: what they differ in.

use std::fmt;

use grmgr::AcquireError;

/// How an item becomes a future, and what becomes of that; sealed.
///
/// These are [`Plain`] and [`Try`].
///
/// ```
/// use futures_core::Stream;
/// use futures_util::StreamExt as _;
/// use grmgr_stream::{Form, MapLimited};
///
/// /// Of every stream that `map_limited` and `try_map_limited` make.
/// async fn first<St, F>(results: MapLimited<St, F>) -> Option<F::Output>
/// where
///     St: Stream,
///     F: Form<St::Item>,
/// {
///     std::pin::pin!(results).next().await
/// }
/// ```
pub trait Form<Item>: sealed::Sealed {
    /// What the function is called with.
    type Input;
    /// The future that it makes.
    type Work: Future;
    /// What the stream yields.
    type Output;

    // The input in an item, or what is yielded in its place.
    #[doc(hidden)]
    fn open(item: Item) -> Result<Self::Input, Self::Output>;
    #[doc(hidden)]
    fn begin(&mut self, input: Self::Input) -> Self::Work;
    #[doc(hidden)]
    fn finish(output: <Self::Work as Future>::Output) -> Self::Output;
    #[doc(hidden)]
    fn refuse(error: AcquireError) -> Self::Output;
    // Whether nothing comes after it.
    #[doc(hidden)]
    fn ends(output: &Self::Output) -> bool;
}

mod sealed {
    pub trait Sealed {}
    impl<F> Sealed for super::Plain<F> {}
    impl<F> Sealed for super::Try<F> {}
}

// Without the type of the future as a parameter: the compiler could not tell then that a stream may be
// sent to another thread if its function borrows something.
/// Every item: what the plain methods do.
///
/// ```
/// use futures_util::FutureExt as _;
/// use futures_util::future::BoxFuture;
/// use futures_util::stream::BoxStream;
/// use grmgr::Limiter;
/// use grmgr_stream::{MapLimited, Plain, StreamExt as _};
///
/// // A closure has no name, a function pointer has one.
/// type Fetch = fn(u32) -> BoxFuture<'static, String>;
///
/// struct Crawl {
///     pages: MapLimited<BoxStream<'static, u32>, Plain<Fetch>>,
/// }
///
/// fn crawl(numbers: BoxStream<'static, u32>) -> Crawl {
///     let fetch: Fetch = |number| async move { format!("page {number}") }.boxed();
///     Crawl { pages: numbers.map_limited(Limiter::new("fetches", 8), fetch) }
/// }
/// # let _ = crawl(Box::pin(futures_util::stream::empty())).pages;
/// ```
pub struct Plain<F>(pub(crate) F);

/// Until the first error: what the methods named `try_…` do.
///
/// ```
/// use futures_util::FutureExt as _;
/// use futures_util::future::BoxFuture;
/// use futures_util::stream::BoxStream;
/// use grmgr::{AcquireError, Limiter};
/// use grmgr_stream::{ForEachLimited, StreamExt as _, Try};
///
/// type Jobs = BoxStream<'static, Result<u32, AcquireError>>;
/// type Work = fn(u32) -> BoxFuture<'static, Result<(), AcquireError>>;
///
/// fn work_on(jobs: Jobs) -> ForEachLimited<Jobs, Try<Work>> {
///     let work: Work = |job| async move { Ok(println!("job {job}")) }.boxed();
///     jobs.try_for_each_limited(Limiter::new("jobs", 8), work)
/// }
/// # let _ = work_on(Box::pin(futures_util::stream::empty()));
/// ```
pub struct Try<F>(pub(crate) F);

impl<F> fmt::Debug for Plain<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Plain")
    }
}

impl<F> fmt::Debug for Try<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Try")
    }
}

impl<Item, F: FnMut(Item) -> W, W: Future> Form<Item> for Plain<F> {
    type Input = Item;
    type Work = W;
    type Output = Result<W::Output, AcquireError>;

    fn open(item: Item) -> Result<Item, Self::Output> {
        Ok(item)
    }

    fn begin(&mut self, input: Item) -> W {
        self.0(input)
    }

    fn finish(output: W::Output) -> Self::Output {
        Ok(output)
    }

    fn refuse(error: AcquireError) -> Self::Output {
        Err(error)
    }

    fn ends(_: &Self::Output) -> bool {
        false
    }
}

impl<T, U, E, F, W> Form<Result<T, E>> for Try<F>
where
    F: FnMut(T) -> W,
    W: Future<Output = Result<U, E>>,
    E: From<AcquireError>,
{
    type Input = T;
    type Work = W;
    type Output = Result<U, E>;

    fn open(item: Result<T, E>) -> Result<T, Self::Output> {
        item.map_err(Err)
    }

    fn begin(&mut self, input: T) -> W {
        self.0(input)
    }

    fn finish(output: Result<U, E>) -> Self::Output {
        output
    }

    fn refuse(error: AcquireError) -> Self::Output {
        Err(error.into())
    }

    fn ends(output: &Self::Output) -> bool {
        output.is_err()
    }
}
