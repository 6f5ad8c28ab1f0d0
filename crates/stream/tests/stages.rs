//! Stages of one pipeline that share limiters: each is a consumer of the one before it.

mod common;

use std::cell::RefCell;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use common::{Jobs, Woken, handle, next};
use fastrand::Rng;
use futures_core::Stream;
use futures_util::stream;
use futures_util::stream::TryStreamExt as _;
use grmgr::{AcquireError, Handle};
use grmgr_stream::StreamExt as _;

type Results = Pin<Box<dyn Stream<Item = Result<u32, AcquireError>>>>;

/// A pipeline of up to four stages under up to two limiters, and where its results go.
fn pipeline(
    rng: &mut Rng,
    items: u32,
    limiters: &[Handle],
    jobs: &Jobs,
) -> (Results, Rc<RefCell<Vec<u32>>>) {
    let taken = Rc::new(RefCell::new(Vec::new()));
    let mut results: Results = Box::pin(stream::iter((0..items).map(Ok)));
    for number in 1..=rng.u32(1..=4) {
        let jobs = jobs.clone();
        let work = move |n: u32| {
            let job = jobs.job(number * 1_000 + n);
            async move { Ok(job.await % 1_000) }
        };
        let limiter = rng.choice(limiters).expect("one or more").clone();
        results = if rng.bool() {
            Box::pin(results.try_map_limited(limiter, work))
        } else {
            Box::pin(results.try_map_limited_unordered(limiter, work))
        };
    }
    let into = taken.clone();
    results = Box::pin(results.inspect_ok(move |&n| into.borrow_mut().push(n)));
    if rng.bool() {
        let jobs = jobs.clone();
        let work = move |n| {
            let job = jobs.job(5_000 + n);
            async move {
                job.await;
                Ok(())
            }
        };
        let all = results.try_for_each_limited(limiters[0].clone(), work);
        results = Box::pin(stream::once(all).map_ok(|()| 0));
    }
    (results, taken)
}

/// Runs a pipeline to its end, with jobs that end and ceilings that move at any time.
fn run(seed: u64) {
    const MAX: usize = 6;
    let mut rng = Rng::with_seed(seed);
    let jobs = Jobs::default();
    let limiters: Vec<_> = (0..rng.u32(1..=2)).map(|_| handle(rng.usize(1..=MAX), MAX)).collect();
    let items = rng.u32(0..200);
    let (mut results, taken) = pipeline(&mut rng, items, &limiters, &jobs);
    let mut another = None;
    let (woken, waker) = Woken::new();
    let mut cx = Context::from_waker(&waker);
    waker.wake_by_ref();
    loop {
        let limiter = rng.choice(&limiters).expect("one or more");
        match rng.u32(0..20) {
            0 | 1 => drop(limiter.set_ceiling(rng.usize(1..=MAX))),
            // Somebody else who comes and goes.
            2 | 3 => another = limiter.try_acquire().ok().filter(|_| another.is_none()),
            _ => {}
        }
        if woken.take() > 0 {
            match results.as_mut().poll_next(&mut cx) {
                Poll::Ready(Some(result)) => {
                    result.expect("none is closed");
                    waker.wake_by_ref();
                }
                Poll::Ready(None) => break,
                Poll::Pending => {}
            }
        } else if let Some(n) = rng.choice(jobs.untold()) {
            jobs.end(n);
        } else {
            assert!(another.take().is_some(), "seed {seed}: nobody is called: {limiters:?}");
        }
    }
    let mut taken = taken.take();
    taken.sort_unstable();
    assert_eq!(taken, (0..items).collect::<Vec<_>>(), "seed {seed}");
    drop(another);
    for limiter in limiters {
        assert_eq!((limiter.in_flight(), limiter.waiting()), (0, 0), "seed {seed}");
    }
}

/// `STAGES_SEEDS` of them, by default 500.
#[test]
fn stages_may_share_limiters() {
    let seeds = std::env::var("STAGES_SEEDS").map_or(500, |n| n.parse().expect("a number"));
    (0..seeds).for_each(run);
}

/// A stage whose jobs are numbered from `number` on.
fn stage(number: u32, jobs: &Jobs) -> impl FnMut(u32) -> Work {
    let jobs = jobs.clone();
    move |n| {
        let job = jobs.job(number + n);
        Box::pin(async move { Ok(job.await % 100) })
    }
}

type Work = Pin<Box<dyn Future<Output = Result<u32, AcquireError>>>>;

/// The later stage first: what has begun is brought to its end before more begins.
#[test]
fn earlier_stage_begins_nothing_while_a_later_one_waits_for_the_same_limiter() {
    let (limiter, jobs) = (handle(2, 2), Jobs::default());
    let mut results = Box::pin(
        stream::iter((0..9).map(Ok))
            .try_map_limited_unordered(limiter.clone(), stage(100, &jobs))
            .try_map_limited_unordered(limiter.clone(), stage(200, &jobs)),
    );
    assert!(next(&mut results).is_pending());
    assert_eq!(jobs.running(), [100, 101]);
    jobs.end(100);
    assert!(next(&mut results).is_pending());
    assert_eq!(jobs.running(), [101, 102], "the first stage was there before the second");
    jobs.end(101);
    jobs.end(102);
    assert!(next(&mut results).is_pending());
    assert_eq!(jobs.running(), [200, 201], "and 2 waits for the second");
    jobs.end(200);
    assert_eq!(next(&mut results), Poll::Ready(Some(Ok(0))));
    assert!(next(&mut results).is_pending());
    assert_eq!(jobs.running(), [201, 202]);
}

/// The permits that the last stage waits for are held behind all that the stages between have.
#[test]
fn stage_that_waits_takes_in_what_all_stages_before_it_have() {
    let [a, b, c] = [(); 3].map(|()| handle(6, 6));
    let jobs = Jobs::default();
    let mut results = Box::pin(
        stream::iter((0..99).map(Ok))
            .try_map_limited_unordered(a.clone(), stage(100, &jobs))
            .try_map_limited_unordered(b, stage(200, &jobs))
            .try_map_limited_unordered(c, stage(300, &jobs))
            .try_map_limited_unordered(a.clone(), stage(400, &jobs)),
    );
    let mut end = |stages: &[u32]| {
        assert!(next(&mut results).is_pending());
        let ends = |n: &u32| stages.contains(&(n / 100));
        let untold: Vec<_> = jobs.untold().into_iter().filter(ends).collect();
        untold.iter().for_each(|&n| jobs.end(n));
        !untold.is_empty()
    };
    for stages in [[1], [2], [1]] {
        end(&stages);
    }
    end(&[]);
    assert_eq!(jobs.running().len(), 18, "six in each of the first three");
    let _ = a.set_ceiling(1);
    while end(&[2, 3]) {}
    while end(&[1, 2, 3]) {}
    assert_eq!(jobs.running().into_iter().filter(|n| n / 100 == 4).count(), 1);
    assert_eq!(a.in_flight(), 1, "those of the first stage are back");
}

/// A stage that is full polls a source that stands in line: it would hold up those behind it.
#[test]
fn stage_that_is_full_does_not_leave_its_source_in_line() {
    let (fetch, store, jobs) = (handle(3, 3), handle(4, 4), Jobs::default());
    let held = fetch.try_acquire_owned().expect("free");
    let fetched =
        stream::iter(0..9).map_limited_unordered(fetch.clone(), |n: u32| jobs.job(100 + n));
    let stored = fetched.map_limited_unordered(store.clone(), |n| jobs.job(100 + n.expect("open")));
    let mut results = Box::pin(stored);
    assert!(next(&mut results).is_pending());
    jobs.end(100);
    jobs.end(101);
    assert!(next(&mut results).is_pending());
    assert_eq!((jobs.running(), fetch.waiting()), (vec![102, 103, 200, 201], 1));
    let _ = store.set_ceiling(1);
    let mut behind = pin!(fetch.acquire());
    assert!(behind.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(held);
    assert!(next(&mut results).is_pending());
    assert_eq!(jobs.running(), [102, 103, 104, 200, 201], "it was its turn");
    jobs.end(102);
    assert!(next(&mut results).is_pending());
    assert!(behind.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
}

/// Runs a pipeline to its end, with every job ending when nothing else happens. Returns how many results.
fn drive(results: impl Stream, jobs: &Jobs) -> usize {
    let mut results = Box::pin(results);
    let (woken, waker) = Woken::new();
    let mut cx = Context::from_waker(&waker);
    waker.wake_by_ref();
    let mut count = 0;
    loop {
        if woken.take() > 0 {
            match results.as_mut().poll_next(&mut cx) {
                Poll::Ready(Some(_)) => {
                    count += 1;
                    waker.wake_by_ref();
                }
                Poll::Ready(None) => return count,
                Poll::Pending => {}
            }
        } else {
            let untold = jobs.untold();
            jobs.end(*untold.first().unwrap_or_else(|| panic!("it stands still after {count}")));
        }
    }
}

/// They are polled only when they are woken: within `select_all`, and within the work of a stage.
#[test]
fn earlier_stages_with_wakers_of_their_own_are_woken_when_they_may_begin() {
    let (limiter, sites, jobs) = (handle(2, 2), handle(2, 2), Jobs::default());
    let pages = |from: u32| {
        let pages = stream::iter((from..from + 4).map(Ok));
        pages.try_map_limited_unordered(limiter.clone(), stage(1_000, &jobs))
    };
    let both = stream::select_all([Box::pin(pages(0)), Box::pin(pages(10))]);
    let stored = both.try_map_limited_unordered(limiter.clone(), stage(2_000, &jobs));
    assert_eq!(drive(stored, &jobs), 8);

    let site = |n: u32| {
        let pages = pages(20 + n * 10);
        async move { pages.try_fold(n, async |n, _| Ok(n)).await }
    };
    let jobs_of_sites = stream::iter((0..3).map(Ok)).try_map_limited_unordered(sites, site);
    let stored = jobs_of_sites.try_map_limited_unordered(limiter.clone(), stage(3_000, &jobs));
    assert_eq!(drive(stored, &jobs), 3);
    assert_eq!((limiter.in_flight(), limiter.waiting()), (0, 0));
}

/// Each holds what the other waits for, until it takes in what its first stage has.
#[test]
fn pipelines_with_the_same_limiters_in_opposite_order_do_not_stop_each_other() {
    for seed in 0..300 {
        let (mut rng, jobs) = (Rng::with_seed(seed), Jobs::default());
        let limiters = [(); 2].map(|()| handle(rng.usize(1..=6), 6));
        let mut pipelines: Vec<_> = [0, 1]
            .map(|first: usize| {
                let from = first as u32 * 10_000;
                let results = stream::iter((0..99).map(Ok))
                    .try_map_limited_unordered(limiters[first].clone(), stage(from, &jobs))
                    .try_map_limited_unordered(
                        limiters[1 - first].clone(),
                        stage(from + 1_000, &jobs),
                    )
                    .try_map_limited_unordered(
                        limiters[1 - first].clone(),
                        stage(from + 2_000, &jobs),
                    );
                let (woken, waker) = Woken::new();
                waker.wake_by_ref();
                (Box::pin(results), woken, waker)
            })
            .into();
        while !pipelines.is_empty() {
            if rng.u32(0..20) == 0 {
                let _ = limiters[rng.usize(0..2)].set_ceiling(rng.usize(1..=6));
            }
            if let Some(at) = pipelines.iter().position(|(_, woken, _)| woken.take() > 0) {
                let (results, _, waker) = &mut pipelines[at];
                match results.as_mut().poll_next(&mut Context::from_waker(waker)) {
                    Poll::Ready(Some(_)) => waker.wake_by_ref(),
                    Poll::Ready(None) => drop(pipelines.swap_remove(at)),
                    Poll::Pending => {}
                }
            } else {
                let ends = rng.choice(jobs.untold());
                jobs.end(ends.unwrap_or_else(|| panic!("seed {seed}: both stand still")));
            }
        }
    }
}
