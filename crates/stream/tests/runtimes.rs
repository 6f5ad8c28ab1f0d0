//! On real runtimes, with a limiter that others use, too.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use common::handle;
use futures_util::stream;
use futures_util::stream::StreamExt as _;
use grmgr_stream::StreamExt as _;

const ITEMS: usize = 2_000;

#[test]
fn two_streams_and_a_thread_share_one_ceiling_that_moves() {
    let limiter = handle(4, 8);
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let work = {
        let (now, most) = (now.clone(), most.clone());
        move |n: usize| {
            let (now, most) = (now.clone(), most.clone());
            async move {
                most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                futures_util::future::ready(()).await;
                smol::future::yield_now().await;
                now.fetch_sub(1, SeqCst);
                n
            }
        }
    };
    thread::scope(|scope| {
        let (handle, function) = (limiter.clone(), work.clone());
        scope.spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build();
            let results = runtime
                .expect("a runtime")
                .block_on(stream::iter(0..ITEMS).map_limited(handle, function).collect::<Vec<_>>());
            assert!(results.into_iter().eq((0..ITEMS).map(Ok)), "all, and in order");
        });
        let (handle, function) = (limiter.clone(), work);
        scope.spawn(move || {
            let results = smol::block_on(
                stream::iter(0..ITEMS).map_limited_unordered(handle, function).collect::<Vec<_>>(),
            );
            let mut numbers: Vec<_> = results.into_iter().map(|n| n.expect("open")).collect();
            numbers.sort_unstable();
            assert!(numbers.into_iter().eq(0..ITEMS), "all");
        });
        for n in 0..ITEMS {
            let _permit = limiter.acquire_blocking().expect("never closed");
            if n % 100 == 0 {
                let _ = limiter.set_ceiling(n / 100 % 8 + 1);
            }
        }
    });
    assert!((2..=8).contains(&most.load(SeqCst)), "{most:?}");
    assert_eq!((limiter.in_flight(), limiter.waiting()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stream_can_be_spawned() {
    let limiter = handle(2, 2);
    let source = stream::iter(0..100);
    let sum = tokio::spawn(
        source
            .map_limited_unordered(limiter.clone(), async |n: u32| n)
            .fold(0, async |sum, n| sum + n.expect("open")),
    );
    assert_eq!(sum.await.expect("no panic"), 4950);
    assert_eq!(limiter.in_flight(), 0);
}
