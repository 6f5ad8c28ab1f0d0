//! Moving the ceiling while the limiter is in use.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::Took;
use super::exec::Exec;
use crate::peers::{Lower, Raise};

const WORKERS: usize = 2;

#[derive(Debug, Default)]
struct Progress {
    arrived: AtomicUsize,
    admitted: AtomicUsize,
    last: OnceLock<Instant>,
}

/// Raises the ceiling by `waiting` while that many tasks wait. In microseconds: the call alone, and
/// from its start until the last of them has been admitted. They keep their permits, so that only
/// the raise admits them.
pub fn raise_with_waiters<P: Raise, E: Exec>(waiting: usize) -> Vec<f64> {
    let (call, last) = E::run(WORKERS, move |exec| async move {
        let limiter = Arc::new(P::new_raisable(1, 1 + waiting));
        let progress = Arc::new(Progress::default());
        std::mem::forget(limiter.try_acquire());
        let tasks: Vec<_> = (0..waiting)
            .map(|_| {
                let limiter = Arc::clone(&limiter);
                let progress = Arc::clone(&progress);
                exec.spawn(async move {
                    progress.arrived.fetch_add(1, Ordering::Relaxed);
                    let permit = limiter.acquire().await;
                    std::mem::forget(permit);
                    if progress.admitted.fetch_add(1, Ordering::Relaxed) + 1 == waiting {
                        progress.last.get_or_init(Instant::now);
                    }
                })
            })
            .collect();
        while progress.arrived.load(Ordering::Relaxed) < waiting {
            E::yield_now().await;
        }
        // The last to arrive may still be on its way into the queue, on the other worker.
        E::sleep(Duration::from_millis(2)).await;
        let start = Instant::now();
        limiter.raise(waiting);
        let call = start.elapsed();
        for task in tasks {
            E::join(task).await;
        }
        let last = progress.last.get().expect("all were admitted");
        (call, last.saturating_duration_since(start))
    });
    vec![call.as_secs_f64() * 1e6, last.as_secs_f64() * 1e6]
}

/// Up by one and down by one, without waiters.
pub fn up_and_down<P: Lower>(ops: u64) -> Took {
    let limiter = P::new_raisable(32, 64);
    super::exec::timed(ops, || {
        for _ in 0..ops {
            limiter.raise(1);
            limiter.lower(1);
        }
    })
}
