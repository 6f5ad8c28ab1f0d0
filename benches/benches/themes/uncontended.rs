//! Permits are free.

use criterion::Criterion;
use grmgr_benches::each_peer;
use grmgr_benches::peers::{LeastFuture, Peer, TwoRmws};
use grmgr_benches::work::uncontended;

use super::time;

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("uncontended/try_acquire");
    each_peer!(tried, P => { time(&mut group, P::NAME, uncontended::try_acquire::<P>); });
    group.finish();

    let mut group = criterion.benchmark_group("uncontended/acquire");
    each_peer!(awaited, P => { time(&mut group, P::NAME, uncontended::acquire::<P>); });
    time(&mut group, TwoRmws::NAME, uncontended::acquire::<TwoRmws>);
    time(&mut group, LeastFuture::NAME, uncontended::acquire::<LeastFuture>);
    group.finish();

    let mut group = criterion.benchmark_group("uncontended/acquire_owned");
    each_peer!(owned, P => { time(&mut group, P::NAME, uncontended::acquire_owned::<P>); });
    group.finish();

    let mut group = criterion.benchmark_group("uncontended/two_threads");
    each_peer!(tried, P => {
        // Both threads need something to do.
        time(&mut group, P::NAME, |ops| uncontended::two_threads_try::<P>(ops.max(1_000)));
    });
    group.finish();
}
