//! Work that runs under a permit (I2, I4, I10).

#![cfg(feature = "std")]

mod common;

use std::cell::Cell;
use std::future::{pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::{Task, assert_at_rest, panic_of, take_all, waiter};
use grmgr::{AcquireError, Handle, Limiter, Run, RunOwned};

fn limiter() -> Limiter {
    Limiter::new("run", 1)
}

/// Work that ends when it is told to.
fn work(end: &Cell<bool>) -> impl Future<Output = &'static str> {
    poll_fn(|_| if end.get() { Poll::Ready("done") } else { Poll::Pending })
}

/// Tells how many permits are in flight when it is dropped.
struct Probe<'a>(&'a Limiter, &'a Cell<Option<usize>>);

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        self.1.set(Some(self.0.in_flight()));
    }
}

#[test]
fn work_runs_under_a_permit_and_its_output_comes_back() {
    let (limiter, end) = (limiter(), Cell::new(false));
    let mut run = Task::start(limiter.run(work(&end)));
    assert_eq!((run.is_done(), limiter.in_flight()), (false, 1));
    end.set(true);
    assert!(run.poll());
    assert_eq!(run.output(), Ok("done"));
    assert_at_rest(&limiter);
}

/// Not when the future is dropped: a `join!` keeps it until all of its futures are ready.
#[test]
fn permit_is_back_the_moment_the_work_is_ready() {
    let limiter = limiter();
    let mut run = pin!(limiter.run(ready(7)));
    let mut cx = Context::from_waker(Waker::noop());
    assert_eq!(run.as_mut().poll(&mut cx), Poll::Ready(Ok(7)));
    assert_at_rest(&limiter);
}

#[test]
fn work_is_not_polled_before_its_permit_is_there() {
    let (limiter, polled) = (limiter(), Cell::new(0));
    let held = limiter.try_acquire().unwrap();
    let mut run = Task::start(limiter.run(async { polled.set(polled.get() + 1) }));
    assert_eq!((limiter.waiting(), polled.get()), (1, 0));
    assert!(!run.poll() && polled.get() == 0);
    drop(held);
    assert!(run.run());
    assert_eq!(polled.get(), 1);
    assert_at_rest(&limiter);
}

/// One place in line, one after another.
#[test]
fn runs_are_served_in_order() {
    let limiter = limiter();
    let held = limiter.try_acquire().unwrap();
    let mut runs = [1, 2, 3].map(|i| Task::start(limiter.run(ready(i))));
    drop(held);
    for (i, run) in (1..).zip(&mut runs) {
        assert!(run.run());
        assert_eq!(run.take(), Some(Ok(i)));
    }
    assert_at_rest(&limiter);
}

#[test]
fn refused_work_is_dropped_unpolled() {
    let limiter = limiter();
    limiter.close();
    let dropped = Rc::new(());
    let work = {
        let dropped = dropped.clone();
        async move {
            let _kept = dropped;
            unreachable!("it is not polled")
        }
    };
    let mut run = pin!(limiter.run::<_>(work));
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(outcome) = run.as_mut().poll(&mut cx) else { panic!("it waits") };
    let outcome: Result<(), AcquireError> = outcome;
    assert_eq!(outcome, Err(AcquireError::Closed));
    assert_eq!(Rc::strong_count(&dropped), 1, "although the future is kept");
}

/// What the work has kept is dropped under the permit, in either case.
#[test]
fn work_is_dropped_before_its_permit_is_given_back() {
    let (limiter, seen) = (limiter(), Cell::new(None));
    // Ready, and keeps the probe until it is dropped.
    struct Keeps<'a>(#[allow(dead_code, reason = "dropped")] Probe<'a>);
    impl Future for Keeps<'_> {
        type Output = ();
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            Poll::Ready(())
        }
    }
    let mut run = pin!(limiter.run(Keeps(Probe(&limiter, &seen))));
    assert!(run.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    assert_eq!((seen.take(), limiter.in_flight()), (Some(1), 0), "when it is ready");

    let probe = Probe(&limiter, &seen);
    let run = Task::start(limiter.run(async move {
        let _probe = probe;
        pending::<()>().await;
    }));
    assert_eq!(seen.get(), None);
    run.cancel();
    assert_eq!(seen.get(), Some(1), "when it is dropped");
    assert_at_rest(&limiter);
}

#[test]
fn permit_is_back_when_the_work_panics() {
    let limiter = limiter();
    let mut run = pin!(limiter.run(async { panic!("on purpose") }));
    let mut cx = Context::from_waker(Waker::noop());
    let outcome = catch_unwind(AssertUnwindSafe(|| run.as_mut().poll(&mut cx)));
    assert!(outcome.is_err());
    // The future is still there.
    assert_at_rest(&limiter);
    assert_eq!(
        panic_of(|| run.as_mut().poll(&mut cx)),
        "a run future was polled again after it was ready"
    );
    assert_at_rest(&limiter);
}

#[test]
fn permit_is_back_when_dropping_the_work_panics() {
    struct Explodes;
    impl Drop for Explodes {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }
    impl Future for Explodes {
        type Output = ();
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            Poll::Ready(())
        }
    }
    let limiter = limiter();
    let mut run = pin!(limiter.run(Explodes));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(catch_unwind(AssertUnwindSafe(|| run.as_mut().poll(&mut cx))).is_err());
    assert_at_rest(&limiter);
}

/// I10.
#[test]
fn dropped_run_loses_its_place_and_nothing_else() {
    let limiter = limiter();
    let held = limiter.try_acquire().unwrap();
    let head = Task::start(limiter.run(ready(())));
    let queued = Task::start(limiter.run(ready(())));
    let next = waiter(&limiter, 1);
    drop(queued);
    drop(held);
    // Called, and never polled again.
    assert!(head.is_woken());
    drop(head);
    drop(next.granted());
    drop(limiter.run(async { unreachable!("never polled") as () }));
    assert_at_rest(&limiter);
}

#[test]
fn request_runs_work_under_all_its_permits() {
    let limiter = Limiter::new("run", 5);
    let in_flight = async { limiter.in_flight() };
    assert_eq!(Task::start(limiter.acquire_many(3).run(in_flight)).output(), Ok(3));
    let refused = Task::start(limiter.acquire_many(6).run(ready(()))).output();
    assert_eq!(refused, Err(AcquireError::ExceedsMax { requested: 6, max: 5 }));
    // Also one that waits already.
    let held = take_all(&limiter);
    let mut request = limiter.acquire_many(2);
    assert!(Pin::new(&mut request).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let mut run = Task::start(request.run(async { limiter.in_flight() }));
    assert_eq!(limiter.waiting(), 1);
    drop(held);
    assert!(run.run());
    assert_eq!(run.output(), Ok(2));
    assert_at_rest(&limiter);
}

#[test]
fn owned_run_outlives_its_handle() {
    let handle = Handle::from(limiter());
    let weak = handle.downgrade();
    let run: RunOwned<_> = handle.run_owned(async { 6 * 7 });
    drop(handle);
    let run = std::thread::spawn(move || Task::start(run).output()).join().unwrap();
    assert_eq!(run, Ok(42));
    assert!(weak.upgrade().is_none());
    let shared = Arc::new(limiter());
    assert_eq!(Task::start(shared.run_owned(ready(1))).output(), Ok(1));
}

#[test]
fn run_tells_where_it_is() {
    let limiter = limiter();
    let mut run: Pin<Box<Run<'_, _>>> = Box::pin(limiter.run(pending::<()>()));
    assert!(format!("{run:?}").contains("waiting"));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(run.as_mut().poll(&mut cx).is_pending());
    assert!(format!("{run:?}").contains("running"));
}

/// I1, in an executor: more work than permits, each piece with steps in between.
#[test]
fn never_more_work_than_the_ceiling() {
    let limiter = Handle::from(Limiter::new("run", 3));
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let work = |i: u64| {
            let (running, most) = (running.clone(), most.clone());
            async move {
                most.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
                for _ in 0..3 {
                    tokio::task::yield_now().await;
                }
                tokio::time::sleep(Duration::from_micros(i % 50)).await;
                running.fetch_sub(1, SeqCst);
                i
            }
        };
        let runs: Vec<_> = (0..200).map(|i| tokio::spawn(limiter.run_owned(work(i)))).collect();
        for (i, run) in (0..).zip(runs) {
            assert_eq!(run.await.unwrap(), Ok(i));
        }
    });
    assert!((1..=3).contains(&most.load(SeqCst)));
    assert_at_rest(&limiter);
}
