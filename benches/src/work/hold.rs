//! Permits held for two milliseconds: how many admissions a second, against ceiling / hold.
//!
//! Nothing here is bound by instructions. What shows is the time a freed permit lies unused until
//! the waiter it went to has run, and that grows with the run queue: the busy rows keep tasks in it
//! that each burn 20 µs and yield.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::exec::Exec;
use crate::peers::AsyncPeer;

/// How long each permit is held.
pub const HOLD: Duration = Duration::from_millis(2);
const WORKERS: usize = 2;
const BURNERS: usize = 16;
const BURN: Duration = Duration::from_micros(20);

/// One cell of the hold rows.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Tasks that want permits.
    pub tasks: usize,
    /// Permits.
    pub ceiling: usize,
    /// Whether other tasks fill the run queue.
    pub busy: bool,
    /// How long admissions are counted.
    pub window: Duration,
}

#[derive(Debug, Default)]
struct Shared {
    admitted: AtomicU64,
    stop: AtomicBool,
}

/// Admissions a second.
pub fn admissions<P: AsyncPeer, E: Exec>(shape: Shape) -> f64 {
    E::run(WORKERS, move |exec| async move {
        let limiter = Arc::new(P::new(shape.ceiling));
        let shared = Arc::new(Shared::default());
        let mut tasks = Vec::new();
        for _ in 0..shape.tasks {
            let limiter = Arc::clone(&limiter);
            let shared = Arc::clone(&shared);
            tasks.push(exec.spawn(async move {
                loop {
                    let permit = limiter.acquire().await;
                    if shared.stop.load(Ordering::Relaxed) {
                        break;
                    }
                    shared.admitted.fetch_add(1, Ordering::Relaxed);
                    E::sleep(HOLD).await;
                    drop(permit);
                }
            }));
        }
        for _ in 0..if shape.busy { BURNERS } else { 0 } {
            let shared = Arc::clone(&shared);
            tasks.push(exec.spawn(async move {
                while !shared.stop.load(Ordering::Relaxed) {
                    burn(BURN);
                    E::yield_now().await;
                }
            }));
        }
        // Let the first holds end, so that the window sees the steady state only.
        E::sleep(5 * HOLD).await;
        let (start, before) = (Instant::now(), shared.admitted.load(Ordering::Relaxed));
        E::sleep(shape.window).await;
        let (end, after) = (Instant::now(), shared.admitted.load(Ordering::Relaxed));
        shared.stop.store(true, Ordering::Relaxed);
        for task in tasks {
            E::join(task).await;
        }
        (after - before) as f64 / (end - start).as_secs_f64()
    })
}

fn burn(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}
