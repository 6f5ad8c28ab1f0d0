//! What runs at once, what is held, and what is buffered.

mod common;

use std::cell::Cell;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use common::{Jobs, Woken, handle, next};
use futures_core::Stream;
use futures_util::stream;
use futures_util::stream::StreamExt as _;
use grmgr::{AcquireError, Handle, Limiter};
use grmgr_stream::StreamExt as _;

#[test]
fn permit_is_acquired_before_the_future_is_made() {
    let (limiter, jobs) = (handle(2, 2), Jobs::default());
    let held = limiter.try_acquire_owned().expect("free");
    let mut stream = Box::pin(stream::iter(0..9).map_limited(limiter.clone(), |n| jobs.job(n)));
    assert!(next(&mut stream).is_pending());
    assert_eq!((jobs.running(), limiter.in_flight(), limiter.waiting()), (vec![0], 2, 1));
    drop(held);
    assert!(next(&mut stream).is_pending());
    assert_eq!((jobs.running(), limiter.in_flight(), limiter.waiting()), (vec![0, 1], 2, 1));
    drop(stream);
    assert_eq!((jobs.running(), limiter.in_flight(), limiter.waiting()), (vec![], 0, 0));
}

#[test]
fn results_come_in_order_or_as_they_come() {
    let (limiter, jobs) = (handle(3, 3), Jobs::default());
    let mut ordered = Box::pin(stream::iter(0..3).map_limited(limiter.clone(), |n| jobs.job(n)));
    assert!(next(&mut ordered).is_pending());
    jobs.end(2);
    jobs.end(1);
    assert!(next(&mut ordered).is_pending());
    jobs.end(0);
    for n in 0..3 {
        assert_eq!(next(&mut ordered), Poll::Ready(Some(Ok(n))));
    }
    assert_eq!(next(&mut ordered), Poll::Ready(None));

    let jobs = Jobs::default();
    let source = stream::iter(0..3);
    let mut as_they_come = Box::pin(source.map_limited_unordered(limiter.clone(), |n| jobs.job(n)));
    for n in [2, 0, 1] {
        assert!(next(&mut as_they_come).is_pending());
        jobs.end(n);
        assert_eq!(next(&mut as_they_come), Poll::Ready(Some(Ok(n))));
    }
    assert_eq!(next(&mut as_they_come), Poll::Ready(None));
    assert_eq!(limiter.in_flight(), 0);
}

#[test]
fn finished_future_holds_no_permit_though_its_result_is_not_taken() {
    let (limiter, jobs) = (handle(3, 3), Jobs::default());
    let mut stream = Box::pin(stream::iter(0..3).map_limited(limiter.clone(), |n| jobs.job(n)));
    assert!(next(&mut stream).is_pending());
    assert_eq!(limiter.in_flight(), 3);
    jobs.end(1);
    jobs.end(2);
    assert!(next(&mut stream).is_pending(), "0 is first, and runs");
    assert_eq!((limiter.in_flight(), jobs.running()), (1, vec![0]));

    // Several that are ready at once: all permits are back with the first result.
    let jobs = Jobs::default();
    let mut stream =
        Box::pin(stream::iter(3..5).map_limited_unordered(limiter.clone(), |n| jobs.job(n)));
    assert!(next(&mut stream).is_pending());
    assert_eq!(limiter.in_flight(), 3);
    jobs.end(3);
    jobs.end(4);
    assert!(next(&mut stream).is_ready());
    assert_eq!((limiter.in_flight(), jobs.running()), (1, vec![]));
}

#[test]
fn ceiling_moves_while_it_runs() {
    let (limiter, jobs) = (handle(2, 32), Jobs::default());
    let source = stream::iter(0..);
    let mut stream = Box::pin(source.map_limited_unordered(limiter.clone(), |n| jobs.job(n)));
    let (woken, waker) = Woken::new();
    let mut cx = Context::from_waker(&waker);
    assert!(stream.as_mut().poll_next(&mut cx).is_pending());
    assert_eq!(jobs.running().len(), 2);

    woken.take();
    let _ = limiter.set_ceiling(32);
    assert!(woken.take() > 0, "it hears of the raise, though none of its futures has ended");
    assert!(next(&mut stream).is_pending());
    assert_eq!(jobs.running().len(), 32);

    let _ = limiter.set_ceiling(4);
    for n in 0..29 {
        jobs.end(n);
        assert_eq!(next(&mut stream), Poll::Ready(Some(Ok(n))));
        let running = (31 - n as usize).max(4);
        assert_eq!(jobs.running().len(), running, "none begins above the new ceiling");
    }
    assert_eq!(jobs.running(), [29, 30, 31, 32]);
}

#[test]
fn idle_source_holds_nothing_and_stands_in_no_line() {
    let limiter = handle(1, 1);
    let source = stream::pending::<u32>();
    let mut stream = Box::pin(source.map_limited(limiter.clone(), async |n| n));
    assert!(next(&mut stream).is_pending());
    assert_eq!((limiter.in_flight(), limiter.waiting()), (0, 0));
}

#[test]
fn stream_stands_in_no_line_while_its_consumer_is_away() {
    let (limiter, jobs) = (handle(2, 2), Jobs::default());
    let mut stream =
        Box::pin(stream::iter(0..9).map_limited_unordered(limiter.clone(), |n| jobs.job(n)));
    assert!(next(&mut stream).is_pending());
    assert_eq!((jobs.running(), limiter.waiting()), (vec![0, 1], 1));
    let _ = limiter.set_ceiling(1);
    jobs.end(0);
    assert_eq!(next(&mut stream), Poll::Ready(Some(Ok(0))));
    assert_eq!(limiter.waiting(), 0, "a permit would come to a request that nobody polls");
    assert!(next(&mut stream).is_pending());
    assert_eq!(limiter.waiting(), 1);
}

/// The same, with somebody behind it in line, who gets the permit.
#[test]
fn stream_leaves_the_line_to_those_behind_it_while_its_consumer_is_away() {
    let (limiter, jobs) = (handle(2, 2), Jobs::default());
    let mut stream =
        Box::pin(stream::iter(0..9).map_limited_unordered(limiter.clone(), |n| jobs.job(n)));
    assert!(next(&mut stream).is_pending());
    let mut cx = Context::from_waker(Waker::noop());
    let mut other = pin!(limiter.acquire());
    assert!(other.as_mut().poll(&mut cx).is_pending());
    let _ = limiter.set_ceiling(1);
    jobs.end(0);
    assert_eq!(next(&mut stream), Poll::Ready(Some(Ok(0))));
    assert_eq!((limiter.in_flight(), limiter.waiting()), (1, 1), "only the other waits");
    let _ = limiter.set_ceiling(2);
    assert!(other.as_mut().poll(&mut cx).is_ready());
}

/// The permit is for what the work keeps as well.
#[test]
fn work_is_dropped_under_its_permit() {
    struct Dropped(Handle, Rc<Cell<Option<usize>>>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.1.set(Some(self.0.in_flight()));
        }
    }
    for ends in [true, false] {
        let (limiter, seen) = (handle(1, 1), Rc::default());
        let work = |()| {
            let kept = Dropped(limiter.clone(), Rc::clone(&seen));
            poll_fn(move |_| {
                let _ = &kept;
                if ends { Poll::Ready(()) } else { Poll::Pending }
            })
        };
        let mut stream = Box::pin(stream::iter([()]).map_limited(limiter.clone(), work));
        assert_eq!(next(&mut stream).is_ready(), ends);
        drop(stream);
        assert_eq!((seen.get(), limiter.in_flight()), (Some(1), 0));
    }
}

#[test]
fn stream_whose_consumer_leaves_goes_past_nobody_in_line() {
    let (limiter, jobs) = (handle(1, 1), Jobs::default());
    let items = Cell::new(1);
    let mut left = 0;
    let source = stream::poll_fn(|_| {
        if left == items.get() {
            return Poll::Pending;
        }
        left += 1;
        Poll::Ready(Some(left - 1))
    });
    let mut stream = Box::pin(source.map_limited(limiter.clone(), |n| jobs.job(n)));
    assert!(next(&mut stream).is_pending());
    let mut other = pin!(limiter.acquire());
    assert!(other.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    items.set(2);
    jobs.end(0);
    assert_eq!(next(&mut stream), Poll::Ready(Some(Ok(0))));
    assert!(other.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    assert_eq!(jobs.running(), []);
}

#[test]
fn buffer_is_bounded_by_the_ceiling_or_as_set() {
    for (set, most) in [(None, 4), (Some(2), 2), (Some(0), 1), (Some(10), 10)] {
        let (limiter, jobs) = (handle(3, 3), Jobs::default());
        let taken = Cell::new(0);
        let source = stream::iter(0..).inspect(|_| taken.set(taken.get() + 1));
        let mut stream = source.map_limited(limiter.clone(), |n| jobs.job(n));
        if let Some(buffer) = set {
            stream = stream.buffer(buffer);
        }
        let mut stream = Box::pin(stream);
        // All but the first end at once.
        for n in 1..100 {
            jobs.end(n);
        }
        assert!(next(&mut stream).is_pending());
        assert_eq!(taken.get(), most, "buffer {set:?}");
        assert_eq!(limiter.in_flight(), 1);
        jobs.end(0);
        for n in 0..50 {
            assert_eq!(next(&mut stream), Poll::Ready(Some(Ok(n))));
            assert!(taken.get() <= n + 1 + most);
        }
    }
}

#[test]
fn paused_limiter_begins_nothing_and_its_resumption_is_heard() {
    let (limiter, jobs) = (handle(2, 2), Jobs::default());
    limiter.pause();
    let mut stream = Box::pin(stream::iter(0..9).map_limited(limiter.clone(), |n| jobs.job(n)));
    let (woken, waker) = Woken::new();
    assert!(stream.as_mut().poll_next(&mut Context::from_waker(&waker)).is_pending());
    assert_eq!(jobs.running(), []);
    limiter.resume();
    assert!(woken.take() > 0);
    assert!(next(&mut stream).is_pending());
    assert_eq!(jobs.running(), [0, 1]);
}

#[test]
fn limiter_closed_under_load_lets_what_runs_end_and_then_says_so() {
    let (limiter, jobs) = (handle(2, 2), Jobs::default());
    let mut stream = Box::pin(stream::iter(0..9).map_limited(limiter.clone(), |n| jobs.job(n)));
    assert!(next(&mut stream).is_pending());
    limiter.close();
    assert!(next(&mut stream).is_pending());
    for n in 0..2 {
        jobs.end(n);
        assert_eq!(next(&mut stream), Poll::Ready(Some(Ok(n))));
    }
    assert_eq!(next(&mut stream), Poll::Ready(Some(Err(AcquireError::Closed))));
    assert_eq!(next(&mut stream), Poll::Ready(None));
    assert_eq!((limiter.in_flight(), limiter.waiting()), (0, 0));
}

#[test]
fn full_line_is_an_error_in_the_place_of_the_item() {
    let limiter: Handle =
        Limiter::builder("test").ceiling(1).max_waiting(0).build().expect("it makes sense").into();
    let held = limiter.try_acquire_owned().expect("free");
    let mut stream =
        Box::pin(stream::iter(0..3).map_limited(limiter.clone(), async |n| n).buffer(1));
    let full = AcquireError::QueueFull { max_waiting: 0 };
    assert_eq!(next(&mut stream), Poll::Ready(Some(Err(full))));
    drop(held);
    let rest: Vec<_> = std::iter::from_fn(|| match next(&mut stream) {
        Poll::Ready(item) => item,
        Poll::Pending => panic!("nothing is in its way"),
    })
    .collect();
    assert_eq!(rest, [Ok(1), Ok(2)]);
}

#[test]
fn panic_of_the_function_or_of_the_future_costs_no_permit() {
    let limiter = handle(2, 2);
    let in_function = |n: u32| {
        assert_ne!(n, 1, "on purpose");
        std::future::ready(n)
    };
    let mut stream = Box::pin(stream::iter(0..3).map_limited(limiter.clone(), in_function));
    assert!(catch_unwind(AssertUnwindSafe(|| while next(&mut stream).is_ready() {})).is_err());
    assert_eq!(limiter.in_flight(), 1, "that of 0, which runs");
    drop(stream);
    assert_eq!(limiter.in_flight(), 0);

    let in_future = async |n: u32| assert_ne!(n, 1, "on purpose");
    let source = stream::iter(0..3);
    let mut stream = Box::pin(source.map_limited_unordered(limiter.clone(), in_future));
    assert!(catch_unwind(AssertUnwindSafe(|| while next(&mut stream).is_ready() {})).is_err());
    drop(stream);
    assert_eq!(limiter.in_flight(), 0);
}

#[test]
fn size_hint_is_true_at_every_moment() {
    let (limiter, jobs) = (handle(2, 2), Jobs::default());
    let mut stream = Box::pin(stream::iter(0..5).map_limited(limiter, |n| jobs.job(n)));
    for n in 0..5 {
        jobs.end(n);
    }
    for left in (0..=5).rev() {
        let (least, most) = stream.size_hint();
        assert!(least <= left && most == Some(left), "{least}, {most:?} of {left}");
        assert!(next(&mut stream).is_ready());
    }
}

/// Runs four jobs, each under a permit.
fn run_all(limiter: &Handle, jobs: &Jobs) -> impl Future<Output = Result<(), AcquireError>> {
    let job = |n| {
        let job = jobs.job(n);
        async move {
            let _ = job.await;
        }
    };
    stream::iter(0..4).for_each_limited(limiter.clone(), job)
}

#[test]
fn for_each_runs_all_and_keeps_its_place_in_line() {
    let (limiter, jobs) = (handle(2, 2), Jobs::default());
    let mut all = Box::pin(run_all(&limiter, &jobs));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(all.as_mut().poll(&mut cx).is_pending());
    assert_eq!((jobs.running(), limiter.waiting()), (vec![0, 1], 1));
    // Another comes after it.
    let mut other = pin!(limiter.acquire());
    assert!(other.as_mut().poll(&mut cx).is_pending());
    jobs.end(0);
    assert!(all.as_mut().poll(&mut cx).is_pending());
    assert_eq!(jobs.running(), [1, 2]);
    jobs.end(1);
    jobs.end(2);
    assert!(all.as_mut().poll(&mut cx).is_pending());
    let Poll::Ready(granted) = other.as_mut().poll(&mut cx) else { panic!("it is its turn") };
    drop(granted);
    jobs.end(3);
    while all.as_mut().poll(&mut cx).is_pending() {}
    assert_eq!((limiter.in_flight(), limiter.waiting()), (0, 0));
}

#[test]
fn for_each_keeps_its_place_when_work_ends_and_no_permit_is_free() {
    let strict = Limiter::builder("test").ceiling(2).patience(0).build().expect("it makes sense");
    let (limiter, jobs) = (Handle::from(strict), Jobs::default());
    let mut all = Box::pin(run_all(&limiter, &jobs));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(all.as_mut().poll(&mut cx).is_pending());
    let mut other = pin!(limiter.acquire());
    assert!(other.as_mut().poll(&mut cx).is_pending());
    let _ = limiter.set_ceiling(1);
    jobs.end(0);
    assert!(all.as_mut().poll(&mut cx).is_pending());
    jobs.end(1);
    assert!(all.as_mut().poll(&mut cx).is_pending());
    assert_eq!(jobs.running(), [2]);
    assert!(other.as_mut().poll(&mut cx).is_pending());
}

#[test]
fn for_each_of_a_closed_limiter_ends_what_runs() {
    let (limiter, jobs) = (handle(1, 1), Jobs::default());
    let mut all = Box::pin(run_all(&limiter, &jobs));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(all.as_mut().poll(&mut cx).is_pending());
    limiter.close();
    assert!(all.as_mut().poll(&mut cx).is_pending());
    assert_eq!(jobs.running(), [0]);
    jobs.end(0);
    assert_eq!(all.as_mut().poll(&mut cx), Poll::Ready(Err(AcquireError::Closed)));
    assert_eq!(limiter.in_flight(), 0);
}
