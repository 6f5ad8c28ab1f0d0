//! Work that runs under a permit.

use core::fmt;
use core::ops::Deref;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::acquire::AcquireOf;
use crate::error::AcquireError;
use crate::handle::Handle;
use crate::limiter::Limiter;
use crate::permit::PermitOf;

/// The future of [`Limiter::run`]; see [`RunOf`].
pub type Run<'a, F> = RunOf<&'a Limiter, F>;

/// The future of [`Handle::run_owned`]; see [`RunOf`].
pub type RunOwned<F> = RunOf<Handle, F>;

pin_project! {
    /// Waits for a permit and then runs work under it. Used as [`Run`] and [`RunOwned`].
    ///
    /// It takes its place in line when it is first polled, not when it is made. As soon as the work
    /// is ready it is dropped and the permit given back, however long this future is kept.
    ///
    /// The work is made before the wait, and polled after it. An `async` block begins when it is
    /// polled, but some futures read the clock when they are made, among them tokio's `sleep` and
    /// `timeout`: these count the time in line, too, unless they are made inside an `async` block.
    ///
    /// ```
    /// use std::time::Duration;
    /// use grmgr::Limiter;
    /// use tokio::time::timeout;
    ///
    /// async fn report(db: &Limiter) {
    ///     // The second counts from the moment at which the permit is there.
    ///     let row = db.run(async { timeout(Duration::from_secs(1), async { "a row" }).await });
    ///     assert_eq!(row.await, Ok(Ok("a row")));
    /// }
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    /// # runtime.block_on(report(&Limiter::new("db", 20)));
    /// ```
    ///
    /// ```
    /// # use grmgr::{Handle, Limiter, RunOwned};
    /// let jobs = Handle::from(Limiter::new("jobs", 4));
    /// let job: RunOwned<_> = jobs.run_owned(async { 6 * 7 });
    /// assert_eq!(smol::block_on(job)?, 42);
    /// # Ok::<(), grmgr::AcquireError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// An [`AcquireError`]. The work has not been polled then, and is dropped.
    ///
    /// # Panics
    ///
    /// If the work does; the permit is given back first. And if it is polled again after it was
    /// ready.
    ///
    /// # Cancel safety
    ///
    /// Dropping it while it waits loses its place in line and nothing else. Dropping it while the
    /// work runs drops the work, then gives the permit back.
    #[must_use = "futures do nothing unless polled"]
    pub struct RunOf<L, F>
    where
        L: Deref<Target = Limiter>,
    {
        // Before `stage`: it is to be dropped under the permit.
        #[pin]
        work: Option<F>,
        stage: Stage<L>,
    }
}

enum Stage<L: Deref<Target = Limiter>> {
    Waiting(AcquireOf<L>),
    Running(PermitOf<L>),
    /// The work is ready, or being polled, or was refused.
    Over,
}

impl<L: Deref<Target = Limiter>, F> RunOf<L, F> {
    #[inline]
    pub(crate) fn new(request: AcquireOf<L>, work: F) -> Self {
        Self { work: Some(work), stage: Stage::Waiting(request) }
    }
}

impl<L: Deref<Target = Limiter> + Unpin, F: Future> Future for RunOf<L, F> {
    type Output = Result<F::Output, AcquireError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Stage::Waiting(request) = this.stage {
            let granted = ready!(Pin::new(request).poll(cx));
            *this.stage = Stage::Over;
            match granted {
                Ok(permit) => *this.stage = Stage::Running(permit),
                Err(refused) => {
                    this.work.set(None);
                    return Poll::Ready(Err(refused));
                }
            }
        }
        // Held by this call alone, so that it is given back if the work panics and this future is
        // kept nevertheless.
        let Stage::Running(permit) = core::mem::replace(this.stage, Stage::Over) else {
            panic!("a run future was polled again after it was ready");
        };
        let work = this.work.as_mut().as_pin_mut().expect("the stage has work");
        let Poll::Ready(output) = work.poll(cx) else {
            *this.stage = Stage::Running(permit);
            return Poll::Pending;
        };
        // The permit also covers what the work still owns.
        this.work.set(None);
        drop(permit);
        Poll::Ready(Ok(output))
    }
}

impl<L: Deref<Target = Limiter>, F> fmt::Debug for RunOf<L, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (stage, limiter) = match &self.stage {
            Stage::Waiting(request) => ("waiting", request.name()),
            Stage::Running(permit) => ("running", Some(permit.get().name())),
            Stage::Over => ("over", None),
        };
        f.debug_struct("Run")
            .field("limiter", &limiter)
            .field("stage", &stage)
            .finish_non_exhaustive()
    }
}
