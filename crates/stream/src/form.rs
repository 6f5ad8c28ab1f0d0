//! The plain methods and those that stop at the first error: what they differ in.

use std::fmt;

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
    impl<F> Sealed for super::Plain<F> {}
    impl<F> Sealed for super::Try<F> {}
}

// Without the type of the future as a parameter: the compiler could not tell then that a stream may be
// sent to another thread if its function borrows something.
/// Every item: what the plain methods do.
pub struct Plain<F>(pub(crate) F);

/// Until the first error: what the methods named `try_…` do.
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
