//! Requests of different sizes in one line.

use std::time::Duration;

use criterion::Criterion;
use grmgr_benches::each_peer;
use grmgr_benches::peers::Peer;
use grmgr_benches::work::Took;
use grmgr_benches::work::exec::{Exec, SmolExec, TokioExec};
use grmgr_benches::work::hold::{Shape, admissions, until_last};
use grmgr_benches::work::mixed::Mix;

use super::time;

const CROWD: usize = 1_000;
const WINDOW: Duration = Duration::from_millis(20);

pub(crate) fn bench(criterion: &mut Criterion) {
    on::<TokioExec>(criterion, false);
    on::<SmolExec>(criterion, true);
}

fn on<E: Exec>(criterion: &mut Criterion, busy: bool) {
    let shape = Shape { tasks: CROWD, ceiling: 256, busy };
    let queue = if busy { "busy" } else { "idle" };
    for mix in [Mix::TwoOneIn(200), Mix::UpTo64] {
        let name = mix.name().replace(' ', "_");
        let mut group =
            criterion.benchmark_group(format!("mixed/looping/{}-{queue}/{name}", E::NAME));
        each_peer!(weighted, P => {
            // Nanoseconds from one admission to the next.
            time(&mut group, P::NAME, |_| {
                let rate = admissions::<P, E>(shape, WINDOW, mix);
                Took { elapsed: WINDOW, ops: (rate * WINDOW.as_secs_f64()).max(1.0) as u64 }
            });
        });
        group.finish();

        let mut group =
            criterion.benchmark_group(format!("mixed/one-shot/{}-{queue}/{name}", E::NAME));
        each_peer!(weighted, P => {
            // A task's share of the time that all of them took.
            time(&mut group, P::NAME, |_| {
                let millis = until_last::<P, E>(shape, mix);
                Took { elapsed: Duration::from_secs_f64(millis / 1e3), ops: CROWD as u64 }
            });
        });
        group.finish();
    }
}
