//! More tasks than permits: each acquires, yields while it holds, drops, over and over.
//!
//! Yielding is what makes the limiter full: the other tasks run while the permit is out. Spawning
//! and joining are inside the timed span; with a hundred and more operations a task they vanish,
//! and the row without a limiter pays them too.

use std::sync::Arc;
use std::time::Instant;

use super::Took;
use super::exec::Exec;
use crate::peers::AsyncPeer;

/// One cell of the contended rows.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Worker threads of the executor.
    pub workers: usize,
    /// Tasks that want permits.
    pub tasks: usize,
    /// Permits.
    pub ceiling: usize,
}

/// About `ops` operations, shared evenly among the tasks.
pub fn run<P: AsyncPeer, E: Exec>(shape: Shape, ops: u64) -> Took {
    let per_task = (ops / shape.tasks as u64).max(1);
    let elapsed = E::run(shape.workers, move |exec| async move {
        let limiter = Arc::new(P::new(shape.ceiling));
        let start = Instant::now();
        let tasks: Vec<_> = (0..shape.tasks)
            .map(|_| {
                let limiter = Arc::clone(&limiter);
                exec.spawn(async move {
                    for _ in 0..per_task {
                        let permit = limiter.acquire().await;
                        E::yield_now().await;
                        drop(permit);
                    }
                })
            })
            .collect();
        for task in tasks {
            E::join(task).await;
        }
        start.elapsed()
    });
    Took { elapsed, ops: per_task * shape.tasks as u64 }
}
