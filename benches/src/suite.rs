//! Which work is measured with which numbers: the rows of the comparison.

use std::time::Duration;

use crate::each_peer;
use crate::measure::Better::{Higher, Lower, Neither};
use crate::measure::Group;
use crate::peers::{GrmgrPatience1, GrmgrStats, LeastFuture, NoLimiter, Peer, TwoRmws};
use crate::work::blocking::Hold;
use crate::work::cancel::Order;
use crate::work::contended::Shape;
use crate::work::exec::{Exec, SmolExec, TokioExec, TokioLocalExec};
use crate::work::mixed::Mix;
use crate::work::{
    blocking, cancel, contended, drops, fairness, hold, memory, resize, starvation, uncontended,
    wakeup,
};

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Rounds of the timed rows.
    pub rounds: usize,
    /// Rounds of the rows that take long.
    pub few_rounds: usize,
    /// What the operation counts are divided by.
    pub divisor: u64,
    /// How long admissions are counted in the hold rows.
    pub window: Duration,
    /// Attempts to starve a head in one round.
    pub head_tries: usize,
    /// Tasks that ask once and hold, in the rows of mixed sizes.
    pub crowd: usize,
    /// Grants to newcomers after which a waiter counts as starved.
    pub starved: usize,
}

impl Scale {
    /// About ten minutes.
    pub const FULL: Self = Self {
        rounds: 11,
        few_rounds: 7,
        divisor: 1,
        window: Duration::from_millis(150),
        head_tries: 10,
        crowd: 5_000,
        starved: starvation::MOST,
    };
    /// A smoke run of less than a minute: every row, figures that mean little.
    pub const QUICK: Self = Self {
        rounds: 3,
        few_rounds: 1,
        divisor: 20,
        window: Duration::from_millis(30),
        head_tries: 5,
        crowd: 1_000,
        starved: 2_000,
    };
}

/// All groups, in the order of the tables.
#[must_use]
pub fn groups(scale: Scale) -> Vec<Group> {
    let mut groups = Vec::new();
    add_uncontended(&mut groups, scale);
    add_contended::<TokioLocalExec>(&mut groups, scale, &[1]);
    add_contended::<TokioExec>(&mut groups, scale, &[1, 2]);
    add_contended::<SmolExec>(&mut groups, scale, &[1, 2]);
    add_blocking(&mut groups, scale);
    add_hold::<TokioExec>(&mut groups, scale);
    add_hold::<SmolExec>(&mut groups, scale);
    add_mixed::<TokioExec>(&mut groups, scale);
    add_mixed::<SmolExec>(&mut groups, scale);
    add_fairness(&mut groups, scale);
    add_starvation::<TokioLocalExec>(&mut groups, scale, &[1]);
    add_starvation::<TokioExec>(&mut groups, scale, &[2]);
    add_starvation::<SmolExec>(&mut groups, scale, &[1, 2]);
    add_starvation_of_threads(&mut groups, scale);
    add_wakeup(&mut groups, scale);
    add_drops(&mut groups, scale);
    add_resize(&mut groups, scale);
    add_cancel(&mut groups, scale);
    add_memory(&mut groups);
    groups
}

fn add_uncontended(groups: &mut Vec<Group>, scale: Scale) {
    const THEME: &str = "uncontended";
    let ops = 1_000_000 / scale.divisor;
    let group = |name: &str| Group::new(THEME, scale.rounds + 4).metric(name, "ns", Lower);

    let mut group_try = group("try_acquire + drop");
    each_peer!(tried, P => {
        group_try.add::<P>(move || vec![uncontended::try_acquire::<P>(ops).ns()]);
    });
    group_try.add::<GrmgrStats>(move || vec![uncontended::try_acquire::<GrmgrStats>(ops).ns()]);
    let mut group_await = group("acquire().await + drop");
    each_peer!(awaited, P => {
        group_await.add::<P>(move || vec![uncontended::acquire::<P>(ops).ns()]);
    });
    group_await.add::<GrmgrStats>(move || vec![uncontended::acquire::<GrmgrStats>(ops).ns()]);
    group_await.add::<TwoRmws>(move || vec![uncontended::acquire::<TwoRmws>(ops).ns()]);
    group_await.add::<LeastFuture>(move || vec![uncontended::acquire::<LeastFuture>(ops).ns()]);
    let mut group_try_owned = group("owned try_acquire + drop");
    let mut group_await_owned = group("owned acquire().await + drop");
    each_peer!(owned, P => {
        group_try_owned.add::<P>(move || vec![uncontended::try_acquire_owned::<P>(ops).ns()]);
        group_await_owned.add::<P>(move || vec![uncontended::acquire_owned::<P>(ops).ns()]);
    });
    let mut two_try = group("two threads, try_acquire + drop");
    each_peer!(tried, P => {
        two_try.add::<P>(move || vec![uncontended::two_threads_try::<P>(ops).ns()]);
    });
    two_try.add::<GrmgrStats>(move || vec![uncontended::two_threads_try::<GrmgrStats>(ops).ns()]);
    let mut two_await = group("two threads, acquire().await + drop");
    each_peer!(awaited, P => {
        two_await.add::<P>(move || vec![uncontended::two_threads_acquire::<P>(ops).ns()]);
    });
    two_await.add::<TwoRmws>(move || vec![uncontended::two_threads_acquire::<TwoRmws>(ops).ns()]);

    groups.extend([group_try, group_await, group_try_owned, group_await_owned, two_try, two_await]);
}

fn plural(workers: usize) -> &'static str {
    if workers == 1 { "worker" } else { "workers" }
}

fn add_contended<E: Exec>(groups: &mut Vec<Group>, scale: Scale, workers: &[usize]) {
    let ops = 100_000 / scale.divisor;
    for &workers in workers {
        for tasks in [64, 1_000] {
            for ceiling in [1, 8, 100] {
                let shape = Shape { workers, tasks, ceiling };
                let mut name = format!(
                    "{}, {workers} {}, {tasks} tasks, ceiling {ceiling}",
                    E::NAME,
                    plural(workers)
                );
                if ceiling >= tasks {
                    name.push_str(" (nobody waits)");
                }
                let mut group = Group::new("contended", scale.rounds).metric(name, "ns", Lower);
                each_peer!(awaited, P => {
                    if P::takes(ceiling) {
                        group.add::<P>(move || vec![contended::run::<P, E>(shape, P::waits(ops)).ns()]);
                    }
                });
                group.add::<NoLimiter>(move || {
                    vec![contended::run::<NoLimiter, E>(shape, ops).ns()]
                });
                groups.push(group);
            }
        }
    }
}

fn add_blocking(groups: &mut Vec<Group>, scale: Scale) {
    let ops = 20_000 / scale.divisor;
    for threads in [4, 16] {
        for (hold, what) in [(Hold::Yield, "yield while holding"), (Hold::Nothing, "drop at once")]
        {
            let name = format!("{threads} threads, ceiling 2, {what}");
            let mut group = Group::new("blocking", scale.rounds).metric(name, "ns", Lower);
            each_peer!(blocking, P => {
                group.add::<P>(move || vec![blocking::run::<P>(threads, 2, hold, P::waits(ops)).ns()]);
            });
            groups.push(group);
        }
    }
}

fn add_hold<E: Exec>(groups: &mut Vec<Group>, scale: Scale) {
    for busy in [false, true] {
        for ceiling in [64, 256] {
            let shape = hold::Shape { tasks: 1_000, ceiling, busy };
            let window = scale.window;
            let ideal = ceiling as f64 / hold::HOLD.as_secs_f64();
            let queue = run_queue(busy);
            let name = format!("{}, {queue}, ceiling {ceiling} (ideal {ideal})", E::NAME);
            let mut group = Group::new("hold", scale.few_rounds).metric(name, "1/s", Higher);
            each_peer!(awaited, P => {
                if P::takes(ceiling) {
                    group.add::<P>(move || vec![hold::admissions::<P, E>(shape, window, hold::One)]);
                }
            });
            // As many tasks as permits and no limiter: what executor and timer let through.
            let all = hold::Shape { tasks: ceiling, ..shape };
            group.add::<NoLimiter>(move || {
                vec![hold::admissions::<NoLimiter, E>(all, window, hold::One)]
            });
            groups.push(group);
        }
    }
}

fn run_queue(busy: bool) -> &'static str {
    if busy { "busy run queue" } else { "idle run queue" }
}

fn add_mixed<E: Exec>(groups: &mut Vec<Group>, scale: Scale) {
    const THEME: &str = "mixed";
    const CEILING: usize = 256;
    let (crowd, window, rounds) = (scale.crowd, scale.window, scale.few_rounds.min(5));
    for busy in [false, true] {
        for mix in Mix::ALL {
            let row = format!("{}, {}, {}", E::NAME, run_queue(busy), mix.name());
            // So many requests hold their permits at once, for as long as a hold.
            let at_once = CEILING as f64 / mix.mean();
            let hold = hold::HOLD.as_secs_f64();

            let shape = hold::Shape { tasks: 1_000, ceiling: CEILING, busy };
            let ideal = at_once / hold;
            let mut looping = Group::new(THEME, rounds).metric(
                format!("looping: {row} (ideal {ideal:.0})"),
                "1/s",
                Higher,
            );
            each_peer!(weighted, P => {
                looping.add::<P>(move || vec![hold::admissions::<P, E>(shape, window, mix)]);
            });

            // The large mix takes as long with a fifth of the tasks, and its line is long enough.
            let tasks = if mix == Mix::UpTo64 { crowd / 5 } else { crowd };
            let shape = hold::Shape { tasks, ..shape };
            let ideal = tasks as f64 / at_once * hold * 1e3;
            let mut one_shot = Group::new(THEME, rounds).metric(
                format!("one-shot: {row}, {tasks} tasks (ideal {ideal:.0})"),
                "ms",
                Lower,
            );
            each_peer!(weighted, P => {
                one_shot.add::<P>(move || vec![hold::until_last::<P, E>(shape, mix)]);
            });
            groups.extend([looping, one_shot]);
        }
    }
}

fn add_fairness(groups: &mut Vec<Group>, scale: Scale) {
    const THEME: &str = "fairness";
    let ops = 50_000 / scale.divisor;
    for workers in [1, 2] {
        let shape = Shape { workers, tasks: 64, ceiling: 8 };
        let at = format!("{workers} {}", plural(workers));
        let mut group = Group::new(THEME, scale.few_rounds)
            .metric(format!("{at}: wait p50"), "µs", Neither)
            .metric(format!("{at}: wait p99"), "µs", Neither)
            .metric(format!("{at}: wait p100"), "µs", Neither)
            .metric(format!("{at}: oldest overtaken"), "%", Neither)
            .metric(format!("{at}: most overtakes of one"), "", Neither)
            .worst();
        each_peer!(awaited, P => {
            group.add::<P>(move || fairness::waits::<P, TokioExec>(shape, P::waits(ops)));
        });
        groups.push(group);
    }
    let tries = scale.head_tries;
    let mut group = Group::new(THEME, scale.few_rounds)
        .metric("wake-ups of the head while two threads barge", "", Neither)
        .worst();
    each_peer!(awaited, P => {
        group.add::<P>(move || vec![fairness::head_wakeups::<P>(tries)]);
    });
    groups.push(group);
}

const OVERTAKES: &str = "overtakes of a waiter by one that never yields";

fn add_starvation<E: Exec>(groups: &mut Vec<Group>, scale: Scale, workers: &[usize]) {
    for &workers in workers {
        let shape = starvation::Shape { workers, waiters: 1, ceiling: 1, most: scale.starved };
        let name = format!("{OVERTAKES}: {}, {workers} {}", E::NAME, plural(workers));
        let mut group = Group::new("fairness", scale.few_rounds).metric(name, "", Neither).worst();
        each_peer!(awaited, P => {
            group.add::<P>(move || vec![starvation::tasks::<P, E>(shape).overtakes as f64]);
        });
        group.add::<GrmgrPatience1>(move || {
            vec![starvation::tasks::<GrmgrPatience1, E>(shape).overtakes as f64]
        });
        groups.push(group);
    }
}

fn add_starvation_of_threads(groups: &mut Vec<Group>, scale: Scale) {
    let most = scale.starved;
    let mut group = Group::new("fairness", scale.few_rounds)
        .metric(format!("{OVERTAKES}: blocking threads"), "", Neither)
        .worst();
    each_peer!(blocking, P => {
        group.add::<P>(move || vec![starvation::threads::<P>(most).overtakes as f64]);
    });
    group.add::<GrmgrPatience1>(move || {
        vec![starvation::threads::<GrmgrPatience1>(most).overtakes as f64]
    });
    groups.push(group);
}

fn add_wakeup(groups: &mut Vec<Group>, scale: Scale) {
    const THEME: &str = "wakeup";
    let ops = 100_000 / scale.divisor;
    let mut one = Group::new(THEME, scale.rounds).metric("one wait, polled by hand", "ns", Lower);
    let mut line = Group::new(THEME, scale.rounds).metric("one wait, 1,000 in line", "ns", Lower);
    let mut two = Group::new(THEME, 1).metric("admitted by two releases at once", "", Higher);
    each_peer!(awaited, P => {
        one.add::<P>(move || vec![wakeup::hand_over::<P>(P::waits(ops)).ns()]);
        line.add::<P>(move || vec![wakeup::hand_over_in_line::<P>(1_000, P::waits(ops)).ns()]);
        two.add::<P>(move || vec![wakeup::admitted_by_two_releases::<P>()]);
    });
    let mut threads =
        Group::new(THEME, scale.rounds).metric("between two blocking threads", "ns", Lower);
    let ops = ops / 10;
    each_peer!(blocking, P => {
        threads.add::<P>(move || vec![wakeup::between_threads::<P>(P::waits(ops)).ns()]);
    });
    groups.extend([one, line, threads, two]);
}

fn add_drops(groups: &mut Vec<Group>, scale: Scale) {
    let ops = 1_000_000 / scale.divisor;
    let group = |what: &str| {
        Group::new("wakeup", scale.few_rounds)
            .metric(format!("one drop, {what}: p99.99"), "ns", Lower)
            .metric(format!("one drop, {what}: longest"), "ns", Neither)
            .worst()
    };
    let mut alone = group("nobody waits");
    each_peer!(tried, P => {
        alone.add::<P>(move || drops::uncontended::<P>(ops).tail());
    });
    // What reading the clock twice takes.
    alone.add::<NoLimiter>(move || drops::uncontended::<NoLimiter>(ops).tail());
    let shape = Shape { workers: 2, tasks: 1_000, ceiling: 8 };
    let mut crowd = group("tokio, 2 workers, 1000 tasks, ceiling 8");
    each_peer!(awaited, P => {
        crowd.add::<P>(move || drops::contended::<P, TokioExec>(shape, P::waits(ops)).tail());
    });
    crowd.add::<NoLimiter>(move || drops::contended::<NoLimiter, TokioExec>(shape, ops).tail());
    groups.extend([alone, crowd]);
}

fn add_resize(groups: &mut Vec<Group>, scale: Scale) {
    const THEME: &str = "resize";
    let mut on_tokio = raise_group(THEME, TokioExec::NAME, scale);
    let mut on_smol = raise_group(THEME, SmolExec::NAME, scale);
    each_peer!(raised, P => {
        on_tokio.add::<P>(|| resize::raise_with_waiters::<P, TokioExec>(1_000));
        on_smol.add::<P>(|| resize::raise_with_waiters::<P, SmolExec>(1_000));
    });
    let ops = 200_000 / scale.divisor;
    let mut pair =
        Group::new(THEME, scale.rounds).metric("up by one and down by one, idle", "ns", Lower);
    each_peer!(lowered, P => {
        pair.add::<P>(move || vec![resize::up_and_down::<P>(ops).ns()]);
    });
    groups.extend([on_tokio, on_smol, pair]);
}

fn raise_group(theme: &'static str, exec: &str, scale: Scale) -> Group {
    Group::new(theme, scale.rounds)
        .metric(format!("{exec}: raise by 1,000 with 1,000 waiting, the call"), "µs", Neither)
        .metric(format!("{exec}: raise by 1,000 with 1,000 waiting, last admitted"), "µs", Lower)
}

fn add_cancel(groups: &mut Vec<Group>, scale: Scale) {
    const THEME: &str = "cancel";
    for order in [Order::Arrival, Order::Reverse, Order::Random] {
        let name = order.name();
        let mut group = Group::new(THEME, scale.few_rounds.min(5))
            .metric(format!("10,000 waiters {name}, each"), "ns", Lower)
            .metric(format!("10,000 waiters {name}, each, against 1,000"), "×", Neither)
            .metric(format!("10,000 waiters {name}, leaked"), "B", Neither)
            .worst();
        each_peer!(awaited, P => {
            group.add::<P>(move || cancel::growth_and_leaks::<P>(10_000, order));
        });
        groups.push(group);
    }
}

fn add_memory(groups: &mut Vec<Group>) {
    const THEME: &str = "memory";
    let mut limiter = Group::new(THEME, 1).metric("limiter: struct", "B", Lower).metric(
        "limiter: heap, before anyone waits",
        "B",
        Lower,
    );
    let mut permit = Group::new(THEME, 1).metric("permit", "B", Lower);
    each_peer!(tried, P => {
        limiter.add::<P>(memory::limiter::<P>);
        permit.add::<P>(memory::permit::<P>);
    });
    let mut waiter = Group::new(THEME, 1)
        .metric("waiter: future", "B", Lower)
        .metric("waiter: heap beside it", "B", Lower)
        .metric("waiter: allocations", "", Lower)
        .metric("limiter: heap kept after 1,000 have waited", "B", Lower);
    let mut uncontended =
        Group::new(THEME, 1).metric("allocations of an uncontended acquire", "", Lower);
    each_peer!(awaited, P => {
        waiter.add::<P>(memory::waiter::<P>);
        uncontended.add::<P>(memory::uncontended::<P>);
    });
    groups.extend([limiter, permit, waiter, uncontended]);
}
