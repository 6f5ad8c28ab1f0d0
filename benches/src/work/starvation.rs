//! A waiter that was there first, against newcomers that never yield.
//!
//! Each newcomer acquires, works for 20 µs, drops, and again, and awaits nothing else: unless the
//! limiter makes it wait, a worker that runs it runs no other task. So one that lets newcomers win
//! can starve the line for ever; here the newcomers stop after a number of grants.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use futures_lite::future::poll_once;

use super::exec::Exec;
use super::fairness::{Visit, overtakes};
use super::hold::{BURN, burn};
use crate::peers::{AsyncPeer, BlockingPeer};

/// After so many grants to newcomers, a waiter that is still there counts as starved.
pub const MOST: usize = 20_000;
/// Long enough for a thread to be asleep in the line.
const TO_SLEEP: Duration = Duration::from_millis(20);

/// Tasks that wait, and as many newcomers as there are permits.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Worker threads of the executor.
    pub workers: usize,
    /// Tasks in line before the first release.
    pub waiters: usize,
    /// Permits, and newcomers that loop.
    pub ceiling: usize,
    /// The newcomers stop after so many grants in all.
    pub most: usize,
}

/// How the waiters fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The most grants to newcomers that one waiter saw while it was the oldest.
    pub overtakes: usize,
    /// Waiters that had their permit before the newcomers stopped.
    pub served: usize,
}

#[derive(Debug, Default)]
struct Progress {
    /// Newcomers that hold the permit they start from.
    holding: AtomicUsize,
    in_line: AtomicUsize,
    served: AtomicUsize,
    grants: AtomicUsize,
    stopped: AtomicBool,
    events: AtomicUsize,
}

impl Progress {
    fn event(&self) -> usize {
        self.events.fetch_add(1, Ordering::Relaxed)
    }
}

/// Tasks on an executor. The newcomers hold all permits until every waiter is in line.
pub fn tasks<P: AsyncPeer, E: Exec>(shape: Shape) -> Outcome {
    let (visits, served) = E::run(shape.workers, move |exec| async move {
        let limiter = Arc::new(P::new(shape.ceiling));
        let progress = Arc::new(Progress::default());
        let mut waiters = Vec::new();
        for _ in 0..shape.waiters {
            let (limiter, progress) = (Arc::clone(&limiter), Arc::clone(&progress));
            waiters.push(exec.spawn(async move { wait::<P, E>(&limiter, &progress, shape).await }));
        }
        let mut newcomers = Vec::new();
        for _ in 0..shape.ceiling {
            let (limiter, progress) = (Arc::clone(&limiter), Arc::clone(&progress));
            newcomers
                .push(exec.spawn(async move { barge::<P, E>(&limiter, &progress, shape).await }));
        }
        let mut visits = Vec::new();
        for waiter in waiters {
            visits.push(E::join(waiter).await);
        }
        for newcomer in newcomers {
            visits.extend(E::join(newcomer).await);
        }
        (visits, progress.served.load(Ordering::Relaxed))
    });
    // The waiters come first in the list; among themselves they may run in any order.
    let newcomer = |visit| visit >= shape.waiters;
    let of_waiters = overtakes(&visits, newcomer).into_iter().take(shape.waiters);
    Outcome { overtakes: of_waiters.max().unwrap_or(0), served }
}

async fn wait<P: AsyncPeer, E: Exec>(limiter: &P, progress: &Progress, shape: Shape) -> Visit {
    while progress.holding.load(Ordering::Relaxed) < shape.ceiling {
        E::yield_now().await;
    }
    let arrived = progress.event();
    let mut acquire = pin!(limiter.acquire());
    assert!(poll_once(acquire.as_mut()).await.is_none(), "granted while the limiter was full");
    progress.in_line.fetch_add(1, Ordering::Relaxed);
    let permit = acquire.await;
    let admitted = progress.event();
    if !progress.stopped.load(Ordering::Relaxed) {
        progress.served.fetch_add(1, Ordering::Relaxed);
    }
    drop(permit);
    Visit { arrived, admitted, waited: Duration::ZERO }
}

async fn barge<P: AsyncPeer, E: Exec>(
    limiter: &P,
    progress: &Progress,
    shape: Shape,
) -> Vec<Visit> {
    let held = limiter.acquire().await;
    progress.holding.fetch_add(1, Ordering::Relaxed);
    while progress.in_line.load(Ordering::Relaxed) < shape.waiters {
        E::yield_now().await;
    }
    drop(held);
    let mut visits = Vec::with_capacity(shape.most);
    while progress.served.load(Ordering::Relaxed) < shape.waiters {
        if progress.grants.fetch_add(1, Ordering::Relaxed) >= shape.most {
            progress.stopped.store(true, Ordering::Relaxed);
            break;
        }
        let arrived = progress.event();
        let permit = limiter.acquire().await;
        let admitted = progress.event();
        visits.push(Visit { arrived, admitted, waited: Duration::ZERO });
        burn(BURN);
        drop(permit);
    }
    visits
}

/// Two threads and one permit: one is blocked, the other comes back again and again.
pub fn threads<P: BlockingPeer>(most: usize) -> Outcome {
    let limiter = P::new(1);
    let grants = AtomicUsize::new(0);
    let served = AtomicBool::new(false);
    let overtakes = thread::scope(|scope| {
        let held = limiter.acquire_blocking();
        let waiter = scope.spawn(|| {
            let permit = limiter.acquire_blocking();
            // Only a holder counts, so the number stands still now.
            let overtakes = grants.load(Ordering::Relaxed);
            served.store(true, Ordering::Relaxed);
            drop(permit);
            overtakes
        });
        // Nothing tells from outside that a blocked thread is in line.
        thread::sleep(TO_SLEEP);
        drop(held);
        while !served.load(Ordering::Relaxed) && grants.load(Ordering::Relaxed) < most {
            let permit = limiter.acquire_blocking();
            grants.fetch_add(1, Ordering::Relaxed);
            burn(BURN);
            drop(permit);
        }
        waiter.join().expect("a bench thread panicked")
    });
    Outcome { overtakes, served: usize::from(overtakes < most) }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use super::*;
    use crate::peers::{Kind, Peer, Tokio};
    use crate::work::exec::{SmolExec, TokioExec, TokioLocalExec};

    /// Has no line at all: the first to look while a permit is free has it.
    struct Barging {
        free: AtomicUsize,
    }

    struct Barged<'a>(&'a Barging);

    impl Drop for Barged<'_> {
        fn drop(&mut self) {
            self.0.free.fetch_add(1, Ordering::SeqCst);
        }
    }

    impl Peer for Barging {
        const NAME: &'static str = "barging";
        const KIND: Kind = Kind::Floor;
        type Permit<'a> = Barged<'a>;

        fn new(ceiling: usize) -> Self {
            Self { free: AtomicUsize::new(ceiling) }
        }
        fn try_acquire(&self) -> Option<Barged<'_>> {
            let take = |free: usize| free.checked_sub(1);
            let taken = self.free.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take);
            taken.is_ok().then(|| Barged(self))
        }
    }

    impl AsyncPeer for Barging {
        async fn acquire(&self) -> Barged<'_> {
            poll_fn(|context| {
                self.try_acquire().map_or_else(
                    || {
                        context.waker().wake_by_ref();
                        Poll::Pending
                    },
                    Poll::Ready,
                )
            })
            .await
        }
        fn future_bytes(&self) -> usize {
            0
        }
    }

    fn shape(workers: usize, waiters: usize, ceiling: usize) -> Shape {
        Shape { workers, waiters, ceiling, most: 50 }
    }

    #[test]
    fn a_limiter_that_hands_over_is_never_overtaken() {
        let served = Outcome { overtakes: 0, served: 1 };
        assert_eq!(tasks::<Tokio, TokioLocalExec>(shape(1, 1, 1)), served);
        assert_eq!(tasks::<Tokio, TokioExec>(shape(2, 1, 1)), served);
        assert_eq!(tasks::<Tokio, SmolExec>(shape(1, 1, 1)), served);
        assert_eq!(threads::<Tokio>(50), served);
        assert_eq!(tasks::<Tokio, TokioLocalExec>(shape(1, 20, 4)).served, 20);
    }

    #[test]
    fn a_limiter_without_a_line_starves_the_waiter_until_the_newcomers_stop() {
        let starved = Outcome { overtakes: 50, served: 0 };
        assert_eq!(tasks::<Barging, TokioLocalExec>(shape(1, 1, 1)), starved);
        assert_eq!(tasks::<Barging, SmolExec>(shape(1, 1, 1)), starved);
        assert_eq!(tasks::<Barging, TokioLocalExec>(shape(1, 20, 4)), starved);
    }
}
