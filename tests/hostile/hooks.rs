//! Wakers that do something when they are woken, and futures that are polled with them. Other than the
//! tasks of `common`, these share a waker if they are told to, and are dropped by one.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use grmgr::{AcquireError, OwnedPermit};

type Action = Box<dyn FnOnce() + Send>;

/// A waker that counts, and does something once, when it is woken first.
#[derive(Default)]
pub(crate) struct Hook {
    wakes: AtomicUsize,
    action: Mutex<Option<Action>>,
}

impl Hook {
    pub(crate) fn new(action: impl FnOnce() + Send + 'static) -> Arc<Self> {
        Arc::new(Self { wakes: AtomicUsize::new(0), action: Mutex::new(Some(Box::new(action))) })
    }

    pub(crate) fn wakes(&self) -> usize {
        self.wakes.load(SeqCst)
    }
}

impl Wake for Hook {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wakes.fetch_add(1, SeqCst);
        // Out of the lock before it runs: it may come back here.
        let action = self.action.lock().unwrap().take();
        if let Some(action) = action {
            action();
        }
    }
}

/// A future with its own hook.
pub(crate) struct Task<F> {
    future: Option<F>,
    hook: Arc<Hook>,
    seen: usize,
}

impl<F: Future + Unpin> Task<F> {
    pub(crate) fn new(future: F, hook: Arc<Hook>) -> Self {
        Self { future: Some(future), hook, seen: 0 }
    }

    /// A task that has been polled once and has to wait.
    pub(crate) fn waiting(future: F, hook: Arc<Hook>) -> Self {
        let mut task = Self::new(future, hook);
        assert!(task.poll().is_none(), "it found nothing to wait for");
        task
    }

    pub(crate) fn hook(&self) -> &Arc<Hook> {
        &self.hook
    }

    pub(crate) fn is_done(&self) -> bool {
        self.future.is_none()
    }

    pub(crate) fn poll(&mut self) -> Option<F::Output> {
        self.seen = self.hook.wakes();
        let waker = Waker::from(self.hook.clone());
        let future = Pin::new(self.future.as_mut()?);
        match future.poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => {
                self.future = None;
                Some(output)
            }
            Poll::Pending => None,
        }
    }

    /// Polls it if it has been woken since.
    pub(crate) fn run(&mut self) -> Option<F::Output> {
        if self.hook.wakes() > self.seen { self.poll() } else { None }
    }
}

/// Runs requests as they are woken, drops what they get, until none is woken any more; then all
/// must have been answered (I3). Returns how many were granted.
pub(crate) fn run_to_the_end<F>(tasks: &mut [Task<F>]) -> usize
where
    F: Future<Output = Result<OwnedPermit, AcquireError>> + Unpin,
{
    let mut granted = 0;
    loop {
        let mut idle = true;
        for task in &mut *tasks {
            if let Some(answer) = task.run() {
                idle = false;
                granted += usize::from(answer.is_ok());
            }
        }
        if idle {
            break;
        }
    }
    let left = tasks.iter().filter(|task| !task.is_done()).count();
    assert_eq!(left, 0, "of {} that waited, {left} have not been woken", tasks.len());
    granted
}
