//! The ceiling moves.

use std::time::Duration;

use criterion::Criterion;
use grmgr_benches::each_peer;
use grmgr_benches::peers::Peer;
use grmgr_benches::work::exec::TokioExec;
use grmgr_benches::work::resize::{raise_with_waiters, up_and_down};

use super::time;

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("resize/up_and_down_idle");
    each_peer!(lowered, P => { time(&mut group, P::NAME, up_and_down::<P>); });
    group.finish();

    let mut group = criterion.benchmark_group("resize/raise_by_1000_until_last_admitted");
    each_peer!(raised, P => {
        group.bench_function(P::NAME, |bencher| {
            bencher.iter_custom(|rounds| {
                (0..rounds)
                    .map(|_| raise_with_waiters::<P, TokioExec>(1_000)[1])
                    .map(|micros| Duration::from_secs_f64(micros / 1e6))
                    .sum()
            });
        });
    });
    group.finish();
}
