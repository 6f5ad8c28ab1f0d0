//! Permits held for two milliseconds: how many admissions a second, against ceiling / hold, and how
//! soon a crowd is through.
//!
//! Nothing here is bound by instructions. What shows is the time a freed permit lies unused until
//! the waiter it went to has run, and that grows with the run queue: the busy rows keep tasks in it
//! that each burn 20 µs and yield.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::exec::Exec;
use crate::peers::{AsyncPeer, Peer};

/// How long each permit is held.
pub const HOLD: Duration = Duration::from_millis(2);
const WORKERS: usize = 2;
const BURNERS: usize = 16;
/// What counts as some unrelated work.
pub(crate) const BURN: Duration = Duration::from_micros(20);

/// One cell of the rows.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Tasks that want permits.
    pub tasks: usize,
    /// Permits.
    pub ceiling: usize,
    /// Whether other tasks fill the run queue.
    pub busy: bool,
}

/// How a task asks for its permits.
pub trait Ask<P: Peer>: Copy + Send + Sync + 'static {
    /// Waits for what the task with this number wants.
    fn ask(self, limiter: &P, task: usize) -> impl Future<Output = P::Permit<'_>> + Send;
}

/// Each task asks for one permit.
#[derive(Clone, Copy, Debug)]
pub struct One;

impl<P: AsyncPeer> Ask<P> for One {
    fn ask(self, limiter: &P, _task: usize) -> impl Future<Output = P::Permit<'_>> + Send {
        limiter.acquire()
    }
}

/// Admissions a second, counted for as long as `window`: each task asks again as soon as its hold
/// is over.
pub fn admissions<P: Peer, E: Exec>(shape: Shape, window: Duration, ask: impl Ask<P>) -> f64 {
    E::run(WORKERS, move |exec| async move {
        let limiter = Arc::new(P::new(shape.ceiling));
        let admitted = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = Vec::new();
        for task in 0..shape.tasks {
            let limiter = Arc::clone(&limiter);
            let admitted = Arc::clone(&admitted);
            let stop = Arc::clone(&stop);
            tasks.push(exec.spawn(async move {
                loop {
                    let permit = ask.ask(&limiter, task).await;
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    admitted.fetch_add(1, Ordering::Relaxed);
                    E::sleep(HOLD).await;
                    drop(permit);
                }
            }));
        }
        tasks.extend(burners(&exec, shape.busy, &stop));
        // Let the first holds end, so that the window sees the steady state only.
        E::sleep(5 * HOLD).await;
        let (start, before) = (Instant::now(), admitted.load(Ordering::Relaxed));
        E::sleep(window).await;
        let (end, after) = (Instant::now(), admitted.load(Ordering::Relaxed));
        stop.store(true, Ordering::Relaxed);
        for task in tasks {
            E::join(task).await;
        }
        (after - before) as f64 / (end - start).as_secs_f64()
    })
}

/// Milliseconds from the start of the first task until the last has given its permits back: each
/// asks once. The run queue is busy before they come.
pub fn until_last<P: Peer, E: Exec>(shape: Shape, ask: impl Ask<P>) -> f64 {
    let took: Duration = E::run(WORKERS, move |exec| async move {
        let limiter = Arc::new(P::new(shape.ceiling));
        let stop = Arc::new(AtomicBool::new(false));
        let burners = burners(&exec, shape.busy, &stop);
        let done = Arc::new(AtomicUsize::new(0));
        let last = Arc::new(OnceLock::new());
        let start = Instant::now();
        let tasks: Vec<_> = (0..shape.tasks)
            .map(|task| {
                let limiter = Arc::clone(&limiter);
                let done = Arc::clone(&done);
                let last = Arc::clone(&last);
                exec.spawn(async move {
                    let permit = ask.ask(&limiter, task).await;
                    E::sleep(HOLD).await;
                    drop(permit);
                    if done.fetch_add(1, Ordering::Relaxed) + 1 == shape.tasks {
                        last.get_or_init(Instant::now);
                    }
                })
            })
            .collect();
        for task in tasks {
            E::join(task).await;
        }
        stop.store(true, Ordering::Relaxed);
        for burner in burners {
            E::join(burner).await;
        }
        *last.get().expect("all are done") - start
    });
    took.as_secs_f64() * 1e3
}

/// The tasks that keep the run queue busy.
fn burners<E: Exec>(exec: &E, busy: bool, stop: &Arc<AtomicBool>) -> Vec<E::Handle<()>> {
    (0..if busy { BURNERS } else { 0 })
        .map(|_| {
            let stop = Arc::clone(stop);
            exec.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    burn(BURN);
                    E::yield_now().await;
                }
            })
        })
        .collect()
}

/// Keeps the processor for this long.
pub(crate) fn burn(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}
