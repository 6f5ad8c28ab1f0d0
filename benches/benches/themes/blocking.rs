//! Plain threads.

use criterion::Criterion;
use grmgr_benches::each_peer;
use grmgr_benches::peers::Peer;
use grmgr_benches::work::blocking::{Hold, run};

use super::time;

/// Fewer would time the start of the threads.
const LEAST: u64 = 2_000;

pub(crate) fn bench(criterion: &mut Criterion) {
    for threads in [4, 16] {
        let name = format!("blocking/{threads}-threads/ceiling-2");
        let mut group = criterion.benchmark_group(name);
        each_peer!(blocking, P => {
            time(&mut group, P::NAME, |ops| {
                run::<P>(threads, 2, Hold::Yield, P::waits(ops.max(LEAST)))
            });
        });
        group.finish();
    }
}
