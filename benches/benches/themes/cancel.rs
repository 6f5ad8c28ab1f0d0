//! Waiters leave.

use criterion::Criterion;
use grmgr_benches::each_peer;
use grmgr_benches::peers::Peer;
use grmgr_benches::work::cancel::{Order, one_among, run};

use super::time;

pub(crate) fn bench(criterion: &mut Criterion) {
    for order in [Order::Arrival, Order::Reverse, Order::Random] {
        let name = format!("cancel/1000_waiters_{}", order.name().replace(' ', "_"));
        let mut group = criterion.benchmark_group(name);
        each_peer!(awaited, P => { time(&mut group, P::NAME, |_| run::<P>(1_000, order)); });
        group.finish();
    }

    let mut group = criterion.benchmark_group("cancel/one_among_1000");
    each_peer!(awaited, P => {
        time(&mut group, P::NAME, |ops| one_among::<P>(1_000, P::waits(ops)));
    });
    group.finish();
}
