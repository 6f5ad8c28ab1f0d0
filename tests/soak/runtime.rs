//! What the tasks need of the executor that they run on.

use std::sync::Arc;
use std::time::Duration;

use smol::future::FutureExt;

/// An executor, as seen from a task.
#[derive(Clone)]
pub(crate) enum Runtime {
    /// The one that the task runs on.
    Tokio,
    Smol(Arc<smol::Executor<'static>>),
}

pub(crate) enum Job {
    Tokio(tokio::task::JoinHandle<()>),
    Smol(smol::Task<()>),
}

impl Runtime {
    pub(crate) async fn yield_now(&self) {
        match self {
            Self::Tokio => tokio::task::yield_now().await,
            Self::Smol(_) => smol::future::yield_now().await,
        }
    }

    pub(crate) async fn sleep(&self, time: Duration) {
        match self {
            Self::Tokio => tokio::time::sleep(time).await,
            Self::Smol(_) => drop(smol::Timer::after(time).await),
        }
    }

    pub(crate) async fn timeout<F: Future>(&self, time: Duration, future: F) -> Option<F::Output> {
        match self {
            Self::Tokio => tokio::time::timeout(time, future).await.ok(),
            Self::Smol(_) => {
                let expired = async {
                    smol::Timer::after(time).await;
                    None
                };
                async { Some(future.await) }.or(expired).await
            }
        }
    }

    /// The first of two; the other is dropped.
    pub(crate) async fn first<T>(
        &self,
        one: impl Future<Output = T>,
        other: impl Future<Output = T>,
    ) -> T {
        match self {
            Self::Tokio => tokio::select! {
                biased;
                done = one => done,
                done = other => done,
            },
            Self::Smol(_) => one.or(other).await,
        }
    }

    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> Job {
        match self {
            Self::Tokio => Job::Tokio(tokio::spawn(future)),
            Self::Smol(executor) => Job::Smol(executor.spawn(future)),
        }
    }
}

impl Job {
    /// Ends it wherever it stands, and waits until it is gone; whether it was not at its end.
    pub(crate) async fn abort(self) -> bool {
        match self {
            Self::Tokio(handle) => {
                handle.abort();
                handle.await.is_err()
            }
            Self::Smol(task) => task.cancel().await.is_none(),
        }
    }

    pub(crate) async fn join(self) {
        match self {
            Self::Tokio(handle) => handle.await.expect("it does not panic"),
            Self::Smol(task) => task.await,
        }
    }
}
