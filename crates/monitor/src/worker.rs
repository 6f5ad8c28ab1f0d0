//! A thread that does one thing every so often, until it is told to stop.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::mutex::lock;

/// The thread. Dropping it stops and joins it.
#[derive(Debug)]
pub(crate) struct Worker {
    signal: Arc<Signal>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Signal {
    stop: Mutex<bool>,
    stopped: Condvar,
}

impl Worker {
    /// Calls `work` every `interval`, for the first time after one. Calls that came too late are
    /// left out, not made up for. A panic in `work` is logged and ends that call only.
    pub(crate) fn every(
        name: &'static str,
        interval: Duration,
        mut work: impl FnMut() + Send + 'static,
    ) -> io::Result<Self> {
        let signal = Arc::new(Signal::default());
        let seen = signal.clone();
        let run = move || {
            let mut next = Instant::now();
            loop {
                let now = Instant::now();
                next = (next + interval).max(now);
                if seen.wait(next - now) {
                    return;
                }
                if catch_unwind(AssertUnwindSafe(&mut work)).is_err() {
                    tracing::error!("{name} panicked; it goes on with the next interval");
                }
            }
        };
        let thread = thread::Builder::new().name(name.into()).spawn(run)?;
        Ok(Self { signal, thread: Some(thread) })
    }
}

impl Signal {
    /// Whether it is time to stop; waits for that at most so long.
    fn wait(&self, timeout: Duration) -> bool {
        let stop = lock(&self.stop);
        let stop = self.stopped.wait_timeout_while(stop, timeout, |stop| !*stop);
        *stop.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        *lock(&self.signal.stop) = true;
        self.signal.stopped.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_panic_ends_one_call_and_not_the_thread() {
        let (told, heard) = mpsc::channel();
        let mut calls = 0;
        let worker = Worker::every("test", Duration::from_millis(1), move || {
            calls += 1;
            let _ = told.send(calls);
            assert_ne!(calls, 1, "the first call panics");
        });
        assert!(heard.iter().any(|call| call == 3));
        drop(worker.unwrap());
    }
}
