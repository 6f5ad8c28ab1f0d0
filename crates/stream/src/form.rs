//! The plain methods and those that stop at the first error: what they differ in.

use std::fmt;
use std::marker::PhantomData;

use grmgr::AcquireError;

/// How an item becomes a future, and what becomes of that; sealed.
///
/// These are [`Plain`] and [`Try`].
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
    impl<F, W> Sealed for super::Plain<F, W> {}
    impl<F, W> Sealed for super::Try<F, W> {}
}

/// Every item: what the plain methods do.
pub struct Plain<F, W> {
    make: F,
    work: PhantomData<fn() -> W>,
}

/// Until the first error: what the methods named `try_…` do.
pub struct Try<F, W> {
    make: F,
    work: PhantomData<fn() -> W>,
}

impl<F, W> fmt::Debug for Plain<F, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Plain")
    }
}

impl<F, W> fmt::Debug for Try<F, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Try")
    }
}

impl<F, W> Plain<F, W> {
    pub(crate) fn new(make: F) -> Self {
        Self { make, work: PhantomData }
    }
}

impl<F, W> Try<F, W> {
    pub(crate) fn new(make: F) -> Self {
        Self { make, work: PhantomData }
    }
}

impl<Item, F: FnMut(Item) -> W, W: Future> Form<Item> for Plain<F, W> {
    type Input = Item;
    type Work = W;
    type Output = Result<W::Output, AcquireError>;

    fn open(item: Item) -> Result<Item, Self::Output> {
        Ok(item)
    }

    fn begin(&mut self, input: Item) -> W {
        (self.make)(input)
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

impl<T, U, E, F, W> Form<Result<T, E>> for Try<F, W>
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
        (self.make)(input)
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
