//! Bytes instead of nanoseconds: what a waiter costs, as the counting allocator saw it.

use criterion::measurement::{Measurement, ValueFormatter};
use criterion::{Criterion, Throughput};
use grmgr_benches::each_peer;
use grmgr_benches::peers::Peer;
use grmgr_benches::work::memory;

/// Measures bytes.
#[derive(Debug)]
pub(crate) struct Bytes;

impl Measurement for Bytes {
    type Intermediate = ();
    type Value = f64;

    /// The work itself says how much it took; criterion only asks for values made by `iter_custom`.
    fn start(&self) {}
    fn end(&self, (): ()) -> f64 {
        0.0
    }
    fn add(&self, one: &f64, other: &f64) -> f64 {
        one + other
    }
    fn zero(&self) -> f64 {
        0.0
    }
    fn to_f64(&self, value: &f64) -> f64 {
        *value
    }
    fn formatter(&self) -> &dyn ValueFormatter {
        self
    }
}

impl ValueFormatter for Bytes {
    fn scale_values(&self, _typical: f64, _values: &mut [f64]) -> &'static str {
        "B"
    }
    fn scale_throughputs(
        &self,
        _typical: f64,
        _throughput: &Throughput,
        _values: &mut [f64],
    ) -> &'static str {
        "B"
    }
    fn scale_for_machines(&self, _values: &mut [f64]) -> &'static str {
        "B"
    }
}

pub(crate) fn bench(criterion: &mut Criterion<Bytes>) {
    let mut group = criterion.benchmark_group("memory/waiter");
    each_peer!(awaited, P => {
        group.bench_function(P::NAME, |bencher| {
            bencher.iter_custom(|waiters| {
                let crowds = waiters.div_ceil(memory::WAITERS as u64);
                let bytes: f64 = (0..crowds)
                    .map(|_| memory::waiter::<P>())
                    .map(|measured| measured[0] + measured[1])
                    .sum();
                bytes * waiters as f64 / crowds as f64
            });
        });
    });
    group.finish();
}
