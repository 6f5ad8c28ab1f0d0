//! A consumer that waits for the limiter of its own stream: what is promised, and what is not.

mod common;

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use common::{Jobs, handle, next};
use futures_util::stream;
use futures_util::stream::StreamExt as _;
use grmgr_stream::StreamExt as _;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// In paused time: for ever.
const FOR_EVER: Duration = Duration::from_secs(1_000_000);

/// A finished future, and an item that has not begun, hold nothing: so the consumer gets its permit.
#[tokio::test(start_paused = true)]
async fn consumer_gets_a_permit_when_everything_that_began_has_ended() {
    let limiter = handle(2, 2);
    let done = async |n: u32| n;
    let mut results = pin!(stream::iter(0..6).map_limited(limiter.clone(), done));
    let mut taken = 0;
    while let Some(result) = results.next().await {
        let waits = timeout(FOR_EVER, limiter.acquire_many(2)).await;
        assert!(waits.is_ok(), "at result {result:?}");
        taken += 1;
    }
    assert_eq!((taken, limiter.in_flight()), (6, 0));
}

/// The same, when the last two end at once: the second result is not taken yet, and its permit is back.
#[tokio::test(start_paused = true)]
async fn result_that_is_not_taken_yet_keeps_no_permit_from_the_consumer() {
    let limiter = handle(2, 2);
    let work = async |n: u32| {
        sleep(Duration::from_secs(1)).await;
        n
    };
    let mut results = pin!(stream::iter(0..2).map_limited_unordered(limiter.clone(), work));
    assert!(results.next().await.is_some());
    assert!(timeout(FOR_EVER, limiter.acquire_many(2)).await.is_ok());
    assert!(results.next().await.is_some());

    // What is there elsewhere: the second has ended as well, but nobody has asked it.
    let permits = Arc::new(Semaphore::new(2));
    let work = async |n: u32| {
        let _permit = permits.clone().acquire_owned().await;
        sleep(Duration::from_secs(1)).await;
        n
    };
    let mut results = pin!(stream::iter(0..2).map(work).buffer_unordered(2));
    assert!(results.next().await.is_some());
    assert!(timeout(FOR_EVER, permits.acquire_many(2)).await.is_err());
}

/// What is not promised: what runs, runs only while the stream is polled, and keeps its permits.
#[tokio::test(start_paused = true)]
async fn consumer_that_needs_a_permit_of_futures_it_does_not_poll_waits_until_it_polls_them() {
    let limiter = handle(2, 2);
    let work = async |n: u64| sleep(Duration::from_secs(n)).await;
    let mut results = pin!(stream::iter(1..9).map_limited_unordered(limiter.clone(), work));
    assert!(results.next().await.is_some());
    // 2 runs, and 3 has begun in the place of 1.
    assert_eq!(limiter.in_flight(), 2);
    assert!(timeout(FOR_EVER, limiter.acquire()).await.is_err(), "nobody polls them");
    // With both polled at once there is no such thing.
    let mut request = pin!(limiter.acquire());
    let permit = loop {
        tokio::select! {
            granted = &mut request => break granted,
            result = results.next() => assert!(result.is_some(), "it was served by the end"),
        }
    };
    assert!(permit.is_ok());
}

/// The way out: without a consumer, everything is polled at all times.
#[tokio::test(start_paused = true)]
async fn for_each_has_no_consumer_to_wait_for() {
    let limiter = handle(2, 2);
    let other = limiter.clone();
    let work = stream::iter(1..50).for_each_limited(limiter.clone(), async |n| {
        sleep(Duration::from_millis(n % 7)).await;
    });
    let beside = async {
        for _ in 0..50 {
            let permit = other.acquire().await.expect("never closed");
            sleep(Duration::from_millis(3)).await;
            drop(permit);
        }
    };
    let both = async { tokio::join!(work, beside) };
    let (worked, ()) = timeout(FOR_EVER, both).await.expect("a deadlock");
    worked.expect("never closed");
    assert_eq!((limiter.in_flight(), limiter.waiting()), (0, 0));
}

/// A request that was handed a permit while nobody polls it: there is none between two items.
#[test]
fn permit_never_lies_idle_between_two_items() {
    let (limiter, jobs) = (handle(2, 2), Jobs::default());
    let mut stream =
        Box::pin(stream::iter(0..9).map_limited_unordered(limiter.clone(), |n| jobs.job(n)));
    assert!(next(&mut stream).is_pending());
    assert_eq!((limiter.in_flight(), limiter.waiting()), (2, 1));
    let mut request = pin!(limiter.acquire());
    assert!(request.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    jobs.end(0);
    jobs.end(1);
    assert!(next(&mut stream).is_ready());
    // It had its place before the request and has begun one item. The rest is the request's.
    assert!(request.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    assert_eq!((limiter.waiting(), jobs.running().len()), (0, 1));
}
