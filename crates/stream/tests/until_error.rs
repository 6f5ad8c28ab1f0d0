//! The forms that stop at the first error.

mod common;

use std::cell::Cell;
use std::task::{Context, Poll, Waker};

use common::{Jobs, handle, next};
use futures_util::stream;
use futures_util::stream::StreamExt as _;
use grmgr::AcquireError;
use grmgr_stream::StreamExt as _;

#[derive(Debug, PartialEq)]
enum Failed {
    Source,
    Work(u32),
    Refused(AcquireError),
}

impl From<AcquireError> for Failed {
    fn from(error: AcquireError) -> Self {
        Self::Refused(error)
    }
}

/// Items of which those that are not fine fail.
fn work(jobs: &Jobs, n: u32, fine: bool) -> impl Future<Output = Result<u32, Failed>> + use<> {
    let job = jobs.job(n);
    async move {
        let n = job.await;
        if fine { Ok(n) } else { Err(Failed::Work(n)) }
    }
}

#[test]
fn first_error_in_order_cancels_the_rest() {
    let (limiter, jobs) = (handle(4, 4), Jobs::default());
    let taken = Cell::new(0);
    let source = stream::iter(0..).inspect(|_| taken.set(taken.get() + 1)).map(Ok);
    let mut stream = Box::pin(source.try_map_limited(limiter.clone(), |n| work(&jobs, n, n != 1)));
    assert!(next(&mut stream).is_pending());
    jobs.end(1);
    assert!(next(&mut stream).is_pending(), "0 comes before it");
    jobs.end(0);
    assert_eq!(next(&mut stream), Poll::Ready(Some(Ok(0))));
    assert_eq!(next(&mut stream), Poll::Ready(Some(Err(Failed::Work(1)))));
    assert_eq!((jobs.running(), limiter.in_flight(), limiter.waiting()), (vec![], 0, 0));
    assert!(taken.get() < 10);
    assert_eq!(next(&mut stream), Poll::Ready(None));
}

#[test]
fn first_error_in_time_cancels_the_rest() {
    let (limiter, jobs) = (handle(4, 4), Jobs::default());
    let source = stream::iter((0..).map(Ok));
    let mut stream =
        Box::pin(source.try_map_limited_unordered(limiter.clone(), |n| work(&jobs, n, n != 3)));
    assert!(next(&mut stream).is_pending());
    jobs.end(3);
    assert_eq!(next(&mut stream), Poll::Ready(Some(Err(Failed::Work(3)))));
    assert_eq!((jobs.running(), limiter.in_flight(), limiter.waiting()), (vec![], 0, 0));
    assert_eq!(next(&mut stream), Poll::Ready(None));
}

#[test]
fn error_of_the_source_comes_in_its_place() {
    let (limiter, jobs) = (handle(4, 4), Jobs::default());
    let source = stream::iter([Ok(0), Err(Failed::Source), Ok(2)]);
    let mut stream = Box::pin(source.try_map_limited(limiter.clone(), |n| work(&jobs, n, true)));
    assert!(next(&mut stream).is_pending());
    assert_eq!(jobs.running(), [0], "nothing is taken behind it");
    jobs.end(0);
    assert_eq!(next(&mut stream), Poll::Ready(Some(Ok(0))));
    assert_eq!(next(&mut stream), Poll::Ready(Some(Err(Failed::Source))));
    assert_eq!(next(&mut stream), Poll::Ready(None));
    assert_eq!(limiter.in_flight(), 0);
}

/// But for those that come in order, without waiting for the items before it.
#[test]
fn error_of_the_source_is_not_kept_waiting_by_items_that_wait() {
    let (limiter, jobs) = (handle(2, 2), Jobs::default());
    let held = limiter.try_acquire_owned();
    let source = || stream::iter([Ok(0), Ok(1), Err(Failed::Source)]);
    let mut in_order =
        Box::pin(source().try_map_limited(limiter.clone(), |n| work(&jobs, n, true)));
    assert!(next(&mut in_order).is_pending());
    assert_eq!((jobs.running(), limiter.waiting()), (vec![0], 1));
    drop(in_order);
    let in_time = source().try_map_limited_unordered(limiter.clone(), |n| work(&jobs, n, true));
    assert_eq!(next(&mut Box::pin(in_time)), Poll::Ready(Some(Err(Failed::Source))));
    drop(held);
    assert_eq!((jobs.running(), limiter.in_flight(), limiter.waiting()), (vec![], 0, 0));
}

#[test]
fn closed_limiter_is_an_error_that_cancels_the_rest() {
    let (limiter, jobs) = (handle(1, 1), Jobs::default());
    let source = stream::iter((0..).map(Ok));
    let mut stream =
        Box::pin(source.try_map_limited_unordered(limiter.clone(), |n| work(&jobs, n, true)));
    assert!(next(&mut stream).is_pending());
    limiter.close();
    let refused = Failed::Refused(AcquireError::Closed);
    assert_eq!(next(&mut stream), Poll::Ready(Some(Err(refused))));
    assert_eq!((jobs.running(), limiter.in_flight()), (vec![], 0));
}

#[test]
fn try_for_each_stops_at_the_first_error() {
    let (limiter, jobs) = (handle(2, 2), Jobs::default());
    let source = stream::iter((0..).map(Ok));
    let mut all = Box::pin(source.try_for_each_limited(limiter.clone(), |n| {
        let work = work(&jobs, n, n != 1);
        async move { work.await.map(drop) }
    }));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(all.as_mut().poll(&mut cx).is_pending());
    jobs.end(0);
    assert!(all.as_mut().poll(&mut cx).is_pending());
    assert_eq!(jobs.running(), [1, 2]);
    jobs.end(1);
    assert_eq!(all.as_mut().poll(&mut cx), Poll::Ready(Err(Failed::Work(1))));
    assert_eq!((jobs.running(), limiter.in_flight(), limiter.waiting()), (vec![], 0, 0));
}
