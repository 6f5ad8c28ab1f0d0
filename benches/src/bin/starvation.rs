//! Prints how often a waiter that was there first is overtaken by newcomers that never yield, on
//! each runtime, and whether it was served.

use grmgr_benches::peers::{AsyncPeer, BlockingPeer, Grmgr, GrmgrPatience1, GrmgrStrict, Tokio};
use grmgr_benches::table::number;
use grmgr_benches::work::exec::{Exec, SmolExec, TokioExec, TokioLocalExec};
use grmgr_benches::work::starvation::{MOST, Outcome, Shape, tasks, threads};

const HEADING: &str = "\
| | grmgr, patience 16 | grmgr, patience 1 | grmgr, patience 0 | tokio |
|---|---:|---:|---:|---:|";

fn main() {
    println!(
        "Each newcomer loops: acquire, 20 µs of work, drop; it awaits nothing else. The waiters are \
         in line before it starts. Newcomers stop after {} grants in all.\n",
        number(MOST as f64)
    );
    println!(
        "How often the waiter was overtaken: one waiter, ceiling 1, one newcomer\n\n{HEADING}"
    );
    on_each_runtime(1, 1);
    let cells = [
        thread_cell::<Grmgr>(),
        thread_cell::<GrmgrPatience1>(),
        thread_cell::<GrmgrStrict>(),
        thread_cell::<Tokio>(),
    ];
    println!("| blocking threads | {} |", cells.join(" | "));
    println!(
        "\nThe most overtakes of one while it was the oldest: 20 waiters, ceiling 4, four newcomers\
         \n\n{HEADING}"
    );
    on_each_runtime(20, 4);
}

fn on_each_runtime(waiters: usize, ceiling: usize) {
    let shape = |workers| Shape { workers, waiters, ceiling, most: MOST };
    row::<TokioLocalExec>(shape(1));
    row::<TokioExec>(shape(2));
    row::<SmolExec>(shape(1));
    row::<SmolExec>(shape(2));
}

fn row<E: Exec>(shape: Shape) {
    let cells = [
        cell::<Grmgr, E>(shape),
        cell::<GrmgrPatience1, E>(shape),
        cell::<GrmgrStrict, E>(shape),
        cell::<Tokio, E>(shape),
    ];
    let workers = if shape.workers == 1 { "1 worker" } else { "2 workers" };
    println!("| {}, {workers} | {} |", E::NAME, cells.join(" | "));
}

fn cell<P: AsyncPeer, E: Exec>(shape: Shape) -> String {
    text(tasks::<P, E>(shape), shape.waiters)
}

fn thread_cell<P: BlockingPeer>() -> String {
    text(threads::<P>(MOST), 1)
}

fn text(outcome: Outcome, waiters: usize) -> String {
    let served = match (outcome.served, waiters) {
        (1, 1) => "served".into(),
        (0, 1) => "**not served**".into(),
        (served, _) if served == waiters => format!("all {waiters} served"),
        (served, _) => format!("**{served} of {waiters} served**"),
    };
    format!("{}, {served}", number(outcome.overtakes as f64))
}
