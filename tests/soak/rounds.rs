//! Limiters that live for a moment: what is asserted of `wait()` and of `close()` needs a beginning
//! and an end.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use grmgr::{AcquireError, Limiter};
use smol::future::poll_once;

use crate::rng::Rng;
use crate::runtime::Runtime;
use crate::tally::Kind;
use crate::watch::Soak;

/// One of the tasks.
pub(crate) async fn work(soak: &'static Soak, runtime: Runtime, name: String, mut rng: Rng) {
    let beat = soak.beat(name);
    while !soak.is_stopped() {
        let ceiling = 1 + rng.below(3);
        let patience = *rng.pick(&[0, 1, 16]);
        let limiter = Limiter::builder("round").ceiling(ceiling).patience(patience);
        let limiter = Arc::new(limiter.build().expect("it is valid"));
        soak.begin_round(&limiter);
        beat.start(Kind::Round);
        latch(&limiter, &runtime, &mut rng).await;
        beat.finish();
        beat.start(Kind::Close);
        close(&limiter, &runtime, &mut rng).await;
        beat.finish();
        soak.end_round(&limiter);
        // Most of the machine is for the others.
        if rng.one_in(8) {
            runtime.sleep(rng.micros(1_000)).await;
        }
    }
    beat.end();
}

/// I11: tasks that wait for the limiter to be idle are told when it is, once and for all. Few tasks work,
/// and soon none does, so that a wake-up that is lost is not made good by the next release (I3, I10).
async fn latch(limiter: &Arc<Limiter>, runtime: &Runtime, rng: &mut Rng) {
    let first = limiter.try_acquire().expect("nobody else is there");
    let mut latch = pin!(limiter.wait());
    assert!(poll_once(latch.as_mut()).await.is_none(), "{limiter:?}");
    let mut jobs = Vec::new();
    for _ in 0..=rng.below(6) {
        let (limiter, here, mut rng) = (limiter.clone(), runtime.clone(), rng.fork());
        jobs.push(runtime.spawn(async move {
            for _ in 0..rng.below(5) {
                let n = 1 + rng.below(limiter.ceiling());
                let mut request = limiter.acquire_many(n);
                if rng.one_in(2) {
                    let permit = request.await;
                    here.yield_now().await;
                    drop(permit);
                    continue;
                }
                // If a request that leaves fails to pass a permit on, no other makes up for it here.
                let _unseen = poll_once(&mut request).await;
                for _ in 0..rng.below(4) {
                    here.yield_now().await;
                }
            }
        }));
    }
    let told = Arc::new(AtomicUsize::new(0));
    let mut waiters = Vec::new();
    for _ in 0..=rng.below(3) {
        let (limiter, told) = (limiter.clone(), told.clone());
        waiters.push(runtime.spawn(async move {
            limiter.wait().await;
            told.fetch_add(1, SeqCst);
        }));
    }
    for _ in 0..rng.below(4) {
        runtime.yield_now().await;
    }
    drop(first);
    for job in jobs {
        job.join().await;
    }
    // It has been idle, and that stays true for every waiter when work starts again.
    let again = limiter.try_acquire();
    assert!(poll_once(latch.as_mut()).await.is_some(), "not told: {limiter:?}");
    drop(again);
    let asked = waiters.len();
    for waiter in waiters {
        waiter.join().await;
    }
    assert_eq!(told.load(SeqCst), asked);
}

/// I9: all waiters are refused, and it is idle when the last permit is back.
async fn close(limiter: &Arc<Limiter>, runtime: &Runtime, rng: &mut Rng) {
    let all = limiter.try_acquire_many_owned(limiter.ceiling()).expect("nobody else is there");
    let mut jobs = Vec::new();
    for _ in 0..rng.below(6) {
        let limiter = limiter.clone();
        let n = 1 + rng.below(limiter.ceiling());
        jobs.push(runtime.spawn(async move {
            let answer = limiter.acquire_many_owned(n).await;
            assert_eq!(answer.map(|_| ()), Err(AcquireError::Closed), "{limiter:?}");
        }));
    }
    // Some are in line by then, some are not.
    for _ in 0..rng.below(3) {
        runtime.yield_now().await;
    }
    let mut idle = pin!(limiter.wait());
    assert!(poll_once(idle.as_mut()).await.is_none(), "{limiter:?}");
    limiter.close();
    let _ = limiter.set_ceiling(limiter.throttle().max);
    if rng.one_in(2) {
        drop(all);
        idle.await;
    } else {
        let closed = poll_once(limiter.wait()).await;
        assert!(closed.is_none(), "{limiter:?}");
        runtime.yield_now().await;
        drop(all);
        idle.await;
    }
    for job in jobs {
        job.join().await;
    }
    assert_eq!((limiter.in_flight(), limiter.waiting()), (0, 0), "{limiter:?}");
}
