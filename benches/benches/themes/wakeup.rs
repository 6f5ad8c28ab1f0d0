//! One release, one waiter.

use criterion::Criterion;
use grmgr_benches::each_peer;
use grmgr_benches::peers::Peer;
use grmgr_benches::work::contended::Shape;
use grmgr_benches::work::drops;
use grmgr_benches::work::exec::TokioExec;
use grmgr_benches::work::wakeup::{between_threads, hand_over, hand_over_in_line};

use super::time;

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wakeup/one_wait");
    each_peer!(awaited, P => { time(&mut group, P::NAME, |ops| hand_over::<P>(P::waits(ops))); });
    group.finish();

    let mut group = criterion.benchmark_group("wakeup/one_wait_1000_in_line");
    each_peer!(awaited, P => {
        time(&mut group, P::NAME, |ops| hand_over_in_line::<P>(1_000, P::waits(ops)));
    });
    group.finish();

    let mut group = criterion.benchmark_group("wakeup/between_threads");
    each_peer!(blocking, P => {
        time(&mut group, P::NAME, |ops| between_threads::<P>(P::waits(ops.max(100))));
    });
    group.finish();

    // The mean: the slowest of them is the comparison's matter.
    let shape = Shape { workers: 2, tasks: 1_000, ceiling: 8 };
    let mut group = criterion.benchmark_group("wakeup/one_drop_2_workers");
    each_peer!(awaited, P => {
        time(&mut group, P::NAME, |ops| {
            drops::contended::<P, TokioExec>(shape, P::waits(ops.max(20_000))).took()
        });
    });
    group.finish();
}
