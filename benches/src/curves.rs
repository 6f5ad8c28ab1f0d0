//! What one operation costs as the work grows: over tasks, over the ceiling, over the line of
//! waiters. Each curve should be flat.

use std::fmt::Write as _;

use crate::each_peer;
use crate::measure::{Better, Group, Row};
use crate::peers::{Kind, NoLimiter, Peer};
use crate::table::number;
use crate::watchdog::Watchdog;
use crate::work::contended::{self, Shape};
use crate::work::exec::TokioLocalExec;
use crate::work::wakeup;

/// One peer's curve.
#[derive(Clone, Debug)]
pub struct Curve {
    /// Whose.
    pub peer: &'static str,
    /// How it enters the comparison.
    pub kind: Kind,
    /// Size of the work, and nanoseconds an operation.
    pub points: Vec<(f64, f64)>,
}

/// The curves of all peers over one kind of size.
#[derive(Clone, Debug)]
pub struct Panel {
    /// What was done.
    pub title: String,
    /// What grows.
    pub over: &'static str,
    /// One a peer.
    pub curves: Vec<Curve>,
}

/// Measures all panels; `quick` leaves out the large sizes.
#[must_use]
pub fn measure(quick: bool, watchdog: &Watchdog) -> Vec<Panel> {
    let (most, rounds, ops) = if quick { (1_000, 1, 5_000) } else { (100_000, 5, 100_000) };
    let crowd = most.min(10_000);
    let panel = |title: String, over, group: &dyn Fn(usize) -> Group| Panel {
        title,
        over,
        curves: sizes(most)
            .map(|size| (size, group(size).run(watchdog).remove(0)))
            .fold(Vec::new(), add_points),
    };
    vec![
        panel("current-thread tokio, ceiling 8".into(), "tasks", &|tasks| {
            on_tokio(rounds, ops, tasks, 8)
        }),
        panel(
            format!("current-thread tokio, {} tasks", number(crowd as f64)),
            "ceiling",
            &|ceiling| on_tokio(rounds, ops, crowd, ceiling.min(crowd)),
        ),
        panel("one wait, polled by hand".into(), "waiters in line", &|waiting| {
            in_line(rounds, ops, waiting)
        }),
    ]
}

/// 1, 3, 10, 30, and so on.
fn sizes(most: usize) -> impl Iterator<Item = usize> {
    let tens = std::iter::successors(Some(1), |ten: &usize| ten.checked_mul(10));
    tens.flat_map(|ten| [ten, ten * 3]).take_while(move |size| *size <= most)
}

/// A peer whose waits are slow by design would need minutes for a large crowd.
fn is_affordable<P: Peer>(crowd: usize) -> bool {
    let crowd = crowd as u64;
    crowd <= 10_000 || P::waits(crowd) == crowd
}

fn on_tokio(rounds: usize, ops: u64, tasks: usize, ceiling: usize) -> Group {
    let shape = Shape { workers: 1, tasks, ceiling };
    // A task must come round often enough for its spawning not to count.
    let ops = ops.max(tasks as u64 * 10);
    let mut group = Group::new("curve", rounds).metric("", "ns", Better::Lower);
    each_peer!(awaited, P => {
        if P::takes(ceiling) && is_affordable::<P>(tasks) {
            group.add::<P>(move || vec![contended::run::<P, TokioLocalExec>(shape, P::waits(ops)).ns()]);
        }
    });
    group.add::<NoLimiter>(move || {
        vec![contended::run::<NoLimiter, TokioLocalExec>(shape, ops).ns()]
    });
    group
}

fn in_line(rounds: usize, ops: u64, waiting: usize) -> Group {
    let mut group = Group::new("curve", rounds).metric("", "ns", Better::Lower);
    each_peer!(awaited, P => {
        if is_affordable::<P>(waiting) {
            group.add::<P>(move || {
                vec![wakeup::hand_over_in_line::<P>(waiting, P::waits(ops)).ns()]
            });
        }
    });
    group
}

fn add_points(mut curves: Vec<Curve>, (size, row): (usize, Row)) -> Vec<Curve> {
    for column in &row.columns {
        let point = (size as f64, row.figure(column).value);
        match curves.iter_mut().find(|curve| curve.peer == column.peer) {
            Some(curve) => curve.points.push(point),
            None => {
                curves.push(Curve { peer: column.peer, kind: column.kind, points: vec![point] })
            }
        }
    }
    curves
}

/// The points as Markdown tables.
#[must_use]
pub fn markdown(panels: &[Panel]) -> String {
    let mut text = String::new();
    for panel in panels {
        let _ = write!(text, "### ns an operation over {} ({})\n\n| |", panel.over, panel.title);
        let mut sizes: Vec<f64> = panel
            .curves
            .iter()
            .flat_map(|curve| curve.points.iter().map(|point| point.0))
            .collect();
        sizes.sort_by(f64::total_cmp);
        sizes.dedup();
        for size in &sizes {
            let _ = write!(text, " {} |", number(*size));
        }
        text.push_str("\n|---|");
        text.push_str(&"---:|".repeat(sizes.len()));
        text.push('\n');
        for curve in &panel.curves {
            let _ = write!(text, "| {} |", curve.peer);
            for size in &sizes {
                let point = curve.points.iter().find(|point| point.0 == *size);
                let value = point.map_or_else(|| "–".into(), |point| number(point.1));
                let _ = write!(text, " {value} |");
            }
            text.push('\n');
        }
        text.push('\n');
    }
    text
}
