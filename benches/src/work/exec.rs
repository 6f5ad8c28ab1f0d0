//! The executors the tasks run on. They differ in where a task goes that has just been woken: a
//! worker of tokio's multi-threaded runtime runs it next; in tokio's current-thread runtime and in
//! smol's executor it queues up behind all others.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::Took;

/// An executor with a given number of worker threads.
pub trait Exec: Clone + Debug + Send + Sync + 'static {
    /// For row names.
    const NAME: &'static str;
    /// What a spawned task is joined by.
    type Handle<T: Send + 'static>: Send;

    /// Starts `workers` threads, runs `main` as a task on them and returns what it returned.
    fn run<F>(workers: usize, main: impl FnOnce(Self) -> F) -> F::Output
    where
        F: Future<Output: Send + 'static> + Send + 'static;
    /// Spawns a task.
    fn spawn<F>(&self, task: F) -> Self::Handle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static;
    /// Waits for a task.
    fn join<T: Send + 'static>(handle: Self::Handle<T>) -> impl Future<Output = T> + Send;
    /// To the back of the run queue.
    fn yield_now() -> impl Future<Output = ()> + Send;
    /// The executor's own timer.
    fn sleep(time: Duration) -> impl Future<Output = ()> + Send;
}

/// tokio's multi-threaded runtime.
pub type TokioExec = OnTokio<false>;
/// tokio's current-thread runtime, for one worker.
pub type TokioLocalExec = OnTokio<true>;

/// One of tokio's two runtimes.
#[derive(Clone, Debug)]
pub struct OnTokio<const LOCAL: bool>;

impl<const LOCAL: bool> Exec for OnTokio<LOCAL> {
    const NAME: &'static str = if LOCAL { "tokio current-thread" } else { "tokio" };
    type Handle<T: Send + 'static> = tokio::task::JoinHandle<T>;

    fn run<F>(workers: usize, main: impl FnOnce(Self) -> F) -> F::Output
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        use tokio::runtime::Builder;
        assert!(workers == 1 || !LOCAL, "a current-thread runtime has one worker");
        let mut builder =
            if LOCAL { Builder::new_current_thread() } else { Builder::new_multi_thread() };
        let runtime = builder.worker_threads(workers).enable_time().build().expect("a runtime");
        // As a task, so that spawning and joining happen on a worker and not beside them.
        let main = runtime.spawn(main(Self));
        runtime.block_on(main).expect("a bench task panicked")
    }

    fn spawn<F>(&self, task: F) -> Self::Handle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        tokio::spawn(task)
    }

    async fn join<T: Send + 'static>(handle: Self::Handle<T>) -> T {
        handle.await.expect("a bench task panicked")
    }

    fn yield_now() -> impl Future<Output = ()> + Send {
        tokio::task::yield_now()
    }

    fn sleep(time: Duration) -> impl Future<Output = ()> + Send {
        tokio::time::sleep(time)
    }
}

/// smol's executor, `async-executor`, with the timers of `async-io`.
#[derive(Clone, Debug)]
pub struct SmolExec(Arc<async_executor::Executor<'static>>);

impl Exec for SmolExec {
    const NAME: &'static str = "smol";
    type Handle<T: Send + 'static> = async_executor::Task<T>;

    fn run<F>(workers: usize, main: impl FnOnce(Self) -> F) -> F::Output
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let exec = Self(Arc::new(async_executor::Executor::new()));
        // Never has a permit: waiting for it ends when it is closed.
        let stop = tokio::sync::Semaphore::new(0);
        let main = exec.0.spawn(main(exec.clone()));
        thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    let closed = async_io::block_on(exec.0.run(stop.acquire()));
                    assert!(closed.is_err(), "closed, not granted");
                });
            }
            let output = futures_lite::future::block_on(main);
            stop.close();
            output
        })
    }

    fn spawn<F>(&self, task: F) -> Self::Handle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        self.0.spawn(task)
    }

    fn join<T: Send + 'static>(handle: Self::Handle<T>) -> impl Future<Output = T> + Send {
        handle
    }

    fn yield_now() -> impl Future<Output = ()> + Send {
        futures_lite::future::yield_now()
    }

    async fn sleep(time: Duration) {
        async_io::Timer::after(time).await;
    }
}

/// Times `body`, which does `ops` operations.
pub(crate) fn timed(ops: u64, body: impl FnOnce()) -> Took {
    let start = Instant::now();
    body();
    Took { elapsed: start.elapsed(), ops }
}
