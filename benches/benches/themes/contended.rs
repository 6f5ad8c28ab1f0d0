//! More tasks than permits.

use criterion::Criterion;
use grmgr_benches::each_peer;
use grmgr_benches::peers::{NoLimiter, Peer};
use grmgr_benches::work::contended::{Shape, run};
use grmgr_benches::work::exec::{Exec, SmolExec, TokioExec, TokioLocalExec};

use super::time;

/// Fewer would time the start of the executor's threads.
const LEAST: u64 = 20_000;

pub(crate) fn bench(criterion: &mut Criterion) {
    on::<TokioLocalExec>(criterion, 1);
    on::<TokioExec>(criterion, 2);
    on::<SmolExec>(criterion, 2);
}

fn on<E: Exec>(criterion: &mut Criterion, workers: usize) {
    for (tasks, ceiling) in [(64, 1), (64, 8), (1_000, 100)] {
        let shape = Shape { workers, tasks, ceiling };
        let name = format!("contended/{}-{workers}/{tasks}-tasks/ceiling-{ceiling}", E::NAME);
        let mut group = criterion.benchmark_group(name);
        each_peer!(awaited, P => {
            if P::takes(ceiling) {
                time(&mut group, P::NAME, |ops| run::<P, E>(shape, P::waits(ops.max(LEAST))));
            }
        });
        time(&mut group, NoLimiter::NAME, |ops| run::<NoLimiter, E>(shape, ops.max(LEAST)));
        group.finish();
    }
}
