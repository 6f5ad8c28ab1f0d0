//! Executors that run, or drop, the head of the line inside its own `wake`.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use grmgr::{AcquireOwned, Limiter, OwnedPermit};

use crate::common::{assert_at_rest, must_end};
use crate::hooks::{Hook, Task};
use crate::wakers::{CEILING, Scene};

/// Polls its request inside `wake`, on the stack of the caller.
struct Inline {
    request: Mutex<Option<AcquireOwned>>,
    polls: Mutex<usize>,
    /// What becomes of the permits.
    then: Box<dyn Fn(OwnedPermit) + Send + Sync>,
}

impl Inline {
    fn start(
        request: AcquireOwned,
        then: impl Fn(OwnedPermit) + Send + Sync + 'static,
    ) -> Arc<Self> {
        let inline = Arc::new(Self {
            request: Mutex::new(Some(request)),
            polls: Mutex::new(0),
            then: Box::new(then),
        });
        inline.clone().wake();
        inline
    }

    fn is_done(&self) -> bool {
        self.request.lock().unwrap().is_none()
    }
}

impl Wake for Inline {
    fn wake(self: Arc<Self>) {
        *self.polls.lock().unwrap() += 1;
        let Some(mut request) = self.request.lock().unwrap().take() else {
            return;
        };
        let waker = Waker::from(self.clone());
        match Pin::new(&mut request).poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(answer) => (self.then)(answer.expect("open")),
            Poll::Pending => *self.request.lock().unwrap() = Some(request),
        }
    }
}

/// The head is woken with no lock held, so an executor that runs it at once works, also if it
/// gives the permit back there and so calls those behind.
#[test]
fn head_may_be_polled_inside_wake() {
    for patience in [16, 0] {
        must_end(move || {
            let scene = Scene::new(patience);
            let limiter = &scene.limiter;
            let mut held: Vec<_> =
                (0..CEILING).map(|_| limiter.try_acquire_owned().unwrap()).collect();
            let head = Inline::start(limiter.acquire_owned(), drop);
            assert!(!head.is_done());
            let mut tasks: Vec<_> = (0..3)
                .map(|_| Task::waiting(limiter.acquire_owned(), Arc::new(Hook::default())))
                .collect();
            drop(held.pop());
            assert!(head.is_done());
            assert_eq!(*head.polls.lock().unwrap(), 2);
            scene.end(held, &mut tasks);
        });
    }
}

/// A head that asks for many is woken by the release that makes it enough, and takes all of them inside
/// `wake`.
#[test]
fn large_head_may_be_polled_inside_wake() {
    for patience in [16, 1, 0] {
        must_end(move || {
            let scene = Scene::new(patience);
            let limiter = &scene.limiter;
            let mut held: Vec<_> =
                (0..CEILING).map(|_| limiter.try_acquire_owned().unwrap()).collect();
            let head = Inline::start(limiter.acquire_many_owned(CEILING), drop);
            let mut tasks: Vec<_> = [1, 2, 1]
                .map(|n| Task::waiting(limiter.acquire_many_owned(n), Arc::new(Hook::default())))
                .into();
            while held.pop().is_some() {}
            assert!(head.is_done());
            assert_eq!(*head.polls.lock().unwrap(), 2);
            scene.end(held, &mut tasks);
        });
    }
}

/// Each one that is woken keeps its permit, starts the next inside `wake`, and gives it back
/// there: the wake-ups nest as deep as there are requests.
#[test]
fn wake_ups_may_nest() {
    fn next(limiter: &Arc<Limiter>, left: usize) {
        let below = limiter.clone();
        let held = limiter.try_acquire_owned().expect("free");
        let inline = Inline::start(limiter.acquire_owned(), move |permit| {
            drop(permit);
            if left > 0 {
                next(&below, left - 1);
            }
        });
        drop(held);
        assert!(inline.is_done());
    }
    must_end(|| {
        let limiter = Arc::new(Limiter::new("nested", 1));
        next(&limiter, 200);
        assert_at_rest(&limiter);
    });
}

/// A head dropped inside its own `wake` passes on what it was woken for (I10).
#[test]
fn head_may_be_dropped_inside_wake() {
    must_end(|| {
        let scene = Scene::new(16);
        let limiter = &scene.limiter;
        let mut held: Vec<_> = (0..CEILING).map(|_| limiter.try_acquire_owned().unwrap()).collect();
        let cell: Arc<Mutex<Option<Task<AcquireOwned>>>> = Arc::default();
        let hook = {
            let cell = Arc::downgrade(&cell);
            Hook::new(move || {
                let head = cell.upgrade().and_then(|cell| cell.lock().unwrap().take());
                drop(head);
            })
        };
        *cell.lock().unwrap() = Some(Task::waiting(limiter.acquire_owned(), hook.clone()));
        let mut tasks: Vec<_> = (0..3)
            .map(|_| Task::waiting(limiter.acquire_owned(), Arc::new(Hook::default())))
            .collect();
        drop(held.pop());
        assert_eq!((hook.wakes(), limiter.waiting()), (1, 3));
        assert_eq!(tasks[0].hook().wakes(), 1, "the next in line is called at once");
        scene.end(held, &mut tasks);
    });
}
