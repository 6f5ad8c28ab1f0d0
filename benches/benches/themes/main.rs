//! The themes of the comparison under criterion, for watching one of them closely or over time.
//! The command `compare` is what puts the peers side by side.

mod blocking;
mod cancel;
mod contended;
mod heap;
mod mixed;
mod resize;
mod uncontended;
mod wakeup;

use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion};
use grmgr_benches::work::Took;

/// Adds one peer to a group.
pub(crate) fn time(
    group: &mut BenchmarkGroup<'_, WallTime>,
    peer: &str,
    work: impl Fn(u64) -> Took,
) {
    group.bench_function(peer, |bencher| {
        bencher.iter_custom(|ops| work(ops).scaled_to(ops));
    });
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    uncontended::bench(&mut criterion);
    contended::bench(&mut criterion);
    blocking::bench(&mut criterion);
    mixed::bench(&mut criterion);
    wakeup::bench(&mut criterion);
    resize::bench(&mut criterion);
    cancel::bench(&mut criterion);
    let mut criterion = Criterion::default()
        .with_measurement(heap::Bytes)
        .sample_size(10)
        .warm_up_time(Duration::from_millis(20))
        .measurement_time(Duration::from_millis(200))
        .configure_from_args();
    heap::bench(&mut criterion);
    criterion.final_summary();
}
