//! A waker that brings about the next idle moment while the last one is still being told.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use grmgr::Limiter;

use crate::common::{assert_at_rest, must_end};

struct TakesAndReleases(Arc<Limiter>);

impl Wake for TakesAndReleases {
    fn wake(self: Arc<Self>) {
        if let Ok(permit) = self.0.try_acquire() {
            // Long enough for a task that has begun to listen to find the limiter busy.
            for _ in 0..500 {
                std::hint::spin_loop();
            }
            drop(permit);
        }
    }
}

/// The waker of a task that waits for idleness may acquire and release. If meanwhile another begins to
/// wait, it has to be told of the new idle moment, under the lock that is held for the
/// old one.
///
/// It takes two threads in a narrow place, so it is tried for a while.
#[test]
fn waker_may_make_the_limiter_idle_again_while_others_begin_to_wait() {
    must_end(|| {
        let limiter = Arc::new(Limiter::new("idle", 1));
        let stop = AtomicBool::new(false);
        let begin = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !stop.load(Relaxed) {
                        let mut wait = limiter.wait();
                        let cx = &mut Context::from_waker(Waker::noop());
                        let _ = Pin::new(&mut wait).poll(cx);
                    }
                });
            }
            let waker = Waker::from(Arc::new(TakesAndReleases(limiter.clone())));
            while begin.elapsed() < Duration::from_secs(3) {
                let Ok(permit) = limiter.try_acquire() else { continue };
                let mut wait = limiter.wait();
                let _ = Pin::new(&mut wait).poll(&mut Context::from_waker(&waker));
                drop(permit);
            }
            stop.store(true, Relaxed);
        });
        assert_at_rest(&limiter);
    });
}
