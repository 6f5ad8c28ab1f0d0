//! How long the slowest of many drops take: a drop that does others' work for them shows here, in
//! no mean.
//!
//! The clock is read before and after each drop, which is in the figures; the column without a
//! limiter shows how much of them that is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Took;
use super::contended::Shape;
use super::exec::Exec;
use crate::peers::{AsyncPeer, Peer};
use crate::stats::quantile;

/// Nanoseconds of each drop.
#[derive(Clone, Debug)]
pub struct Drops(Vec<f64>);

impl Drops {
    /// Nanoseconds at p99.99, and of the longest.
    #[must_use]
    pub fn tail(mut self) -> Vec<f64> {
        self.0.sort_unstable_by(f64::total_cmp);
        vec![quantile(&self.0, 0.999_9), quantile(&self.0, 1.0)]
    }

    /// All drops together, without what was done between them.
    #[must_use]
    pub fn took(&self) -> Took {
        let elapsed = Duration::from_secs_f64(self.0.iter().sum::<f64>() / 1e9);
        Took { elapsed, ops: self.0.len() as u64 }
    }
}

#[inline]
fn timed_drop<T>(permit: T) -> f64 {
    let start = Instant::now();
    drop(permit);
    start.elapsed().as_nanos() as f64
}

/// Without other tasks.
pub fn uncontended<P: Peer>(ops: u64) -> Drops {
    let limiter = P::new(1);
    let mut drops = Vec::with_capacity(ops as usize);
    for _ in 0..ops {
        drops.push(timed_drop(limiter.try_acquire().expect("the permit is free")));
    }
    Drops(drops)
}

/// Of tasks that acquire, yield while they hold, and drop.
pub fn contended<P: AsyncPeer, E: Exec>(shape: Shape, ops: u64) -> Drops {
    let per_task = (ops / shape.tasks as u64).max(1);
    E::run(shape.workers, move |exec| async move {
        let limiter = Arc::new(P::new(shape.ceiling));
        let tasks: Vec<_> = (0..shape.tasks)
            .map(|_| {
                let limiter = Arc::clone(&limiter);
                exec.spawn(async move {
                    let mut drops = Vec::with_capacity(per_task as usize);
                    for _ in 0..per_task {
                        let permit = limiter.acquire().await;
                        E::yield_now().await;
                        drops.push(timed_drop(permit));
                    }
                    drops
                })
            })
            .collect();
        let mut all = Vec::with_capacity(per_task as usize * shape.tasks);
        for task in tasks {
            all.append(&mut E::join(task).await);
        }
        Drops(all)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::Tokio;
    use crate::work::exec::TokioLocalExec;

    #[test]
    fn the_tail_is_what_one_in_ten_thousand_exceeds() {
        let mut drops = vec![20.0; 20_001];
        drops[5] = 900.0;
        drops[7] = 500.0;
        drops[9] = 300.0;
        assert_eq!(Drops(drops).tail(), [300.0, 900.0]);
    }

    #[test]
    fn each_drop_is_counted_once() {
        let shape = Shape { workers: 1, tasks: 10, ceiling: 2 };
        assert_eq!(contended::<Tokio, TokioLocalExec>(shape, 100).took().ops, 100);
        assert_eq!(uncontended::<Tokio>(100).took().ops, 100);
    }
}
