//! The bars the crate is held to: ratios within one run, and a few plain figures.

use crate::peers::{
    Grmgr, GrmgrPatience1, GrmgrStats, GrmgrStrict, NoLimiter, Peer, Tokio, TwoRmws,
};

/// "No peer ahead" leaves room for a tie.
const TIE: f64 = 1.03;
/// One Control and Done of the Go library this crate follows, measured on the machine the bars were
/// set on. On another machine the bar made of it is only a hint.
const GO_PAIR_NS: f64 = 1_315.0;

/// What a figure is held against.
#[derive(Clone, Copy, Debug)]
pub enum To {
    /// A multiple of this column.
    Peer(&'static str),
    /// A multiple of the best counted peer.
    Best,
    /// The figure itself.
    Absolute,
}

/// A limit on a figure, or on its ratio to another.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// What it is held against.
    pub to: To,
    /// At most this, or at least, where more is better.
    pub limit: f64,
}

const fn times(peer: &'static str, limit: f64) -> Limit {
    Limit { to: To::Peer(peer), limit }
}

const fn best(limit: f64) -> Limit {
    Limit { to: To::Best, limit }
}

const fn figure(limit: f64) -> Limit {
    Limit { to: To::Absolute, limit }
}

/// One bar: in every row it is about, the subject keeps every limit.
#[derive(Clone, Debug)]
pub struct Bar {
    /// For the report.
    pub title: &'static str,
    /// Which column must keep it.
    pub subject: &'static str,
    /// The rows: their full names, with a `|` at the end, hold all parts of one of these lists.
    pub rows: &'static [&'static [&'static str]],
    /// All must hold.
    pub limits: Vec<Limit>,
    /// Counted and not timed, so that a quick run can tell as well.
    pub exact: bool,
    /// The next goal; a run is not failed by it.
    pub moonshot: Option<Limit>,
}

/// All of them.
#[must_use]
pub fn all() -> Vec<Bar> {
    let ours = Grmgr::NAME;
    let mut bars = vec![
        Bar {
            title: "try_acquire + drop",
            subject: ours,
            rows: &[&["uncontended: try_acquire"]],
            limits: vec![times(TwoRmws::NAME, 1.25), times(Tokio::NAME, 0.65), best(TIE)],
            exact: false,
            moonshot: Some(times(TwoRmws::NAME, 1.1)),
        },
        Bar {
            title: "acquire().await + drop",
            subject: ours,
            rows: &[&["uncontended: acquire()"]],
            limits: vec![times(TwoRmws::NAME, 1.25), best(TIE)],
            exact: false,
            moonshot: Some(times(TwoRmws::NAME, 1.1)),
        },
        Bar {
            title: "with feature stats: try_acquire + drop",
            subject: GrmgrStats::NAME,
            rows: &[&["uncontended: try_acquire"]],
            limits: vec![times(ours, 1.35)],
            exact: false,
            moonshot: Some(times(ours, 1.1)),
        },
        Bar {
            title: "with feature stats: two threads",
            subject: GrmgrStats::NAME,
            rows: &[&["uncontended: two threads, try_acquire"]],
            limits: vec![times(ours, 1.35)],
            exact: false,
            moonshot: Some(times(ours, 1.1)),
        },
        Bar {
            title: "two threads, ceiling never reached",
            subject: ours,
            rows: &[&["uncontended: two threads"]],
            limits: vec![times(Tokio::NAME, 0.90)],
            exact: false,
            moonshot: Some(times(TwoRmws::NAME, 1.0)),
        },
        Bar {
            title: "contended, 1 worker",
            subject: ours,
            rows: CONTENDED_1,
            limits: vec![times(Tokio::NAME, 0.60), best(TIE)],
            exact: false,
            moonshot: Some(times(NoLimiter::NAME, 1.0)),
        },
        Bar {
            title: "contended, 2 workers",
            subject: ours,
            rows: CONTENDED_2,
            limits: vec![times(Tokio::NAME, 0.75), best(TIE)],
            exact: false,
            moonshot: Some(times(Tokio::NAME, 0.50)),
        },
        Bar {
            title: "contended, ceiling 1",
            subject: ours,
            rows: CEILING_1,
            limits: vec![times(Tokio::NAME, 1.0)],
            exact: false,
            moonshot: Some(times(Tokio::NAME, 0.80)),
        },
        Bar {
            title: "patience(0), 1 worker",
            subject: GrmgrStrict::NAME,
            rows: CONTENDED_1_ALL,
            limits: vec![times(Tokio::NAME, 1.3)],
            exact: false,
            moonshot: Some(times(Tokio::NAME, 1.0)),
        },
        Bar {
            title: "patience(0), 2 workers",
            subject: GrmgrStrict::NAME,
            rows: CONTENDED_2_ALL,
            limits: vec![times(Tokio::NAME, 1.75)],
            exact: false,
            moonshot: Some(times(Tokio::NAME, 1.0)),
        },
        Bar {
            title: "blocking threads",
            subject: ours,
            rows: &[&["blocking:"]],
            limits: vec![best(TIE)],
            exact: false,
            moonshot: None,
        },
    ];
    for subject in [ours, GrmgrStrict::NAME] {
        bars.push(Bar {
            title: "2 ms holds",
            subject,
            rows: &[&["hold:"]],
            limits: vec![best(0.95)],
            exact: false,
            moonshot: Some(best(1.05)),
        });
        bars.push(Bar {
            title: "mixed sizes, looping tasks",
            subject,
            rows: &[&["mixed: looping"]],
            limits: vec![times(Tokio::NAME, 0.90)],
            exact: false,
            moonshot: Some(times(Tokio::NAME, 1.0)),
        });
        bars.push(Bar {
            title: "mixed sizes, one-shot tasks",
            subject,
            rows: &[&["mixed: one-shot"]],
            // Times, and the limit is on the rate: 1 / 0.90.
            limits: vec![times(Tokio::NAME, 1.11)],
            exact: false,
            moonshot: Some(times(Tokio::NAME, 1.0)),
        });
    }
    bars.extend(absolute());
    bars
}

/// Without the cell in which no task waits: there the executor's own share is most of the figure.
const CONTENDED_1: &[&[&str]] = &[
    &["contended: tokio current-thread, 1 worker,", "ceiling 8"],
    &["contended: tokio current-thread, 1 worker, 1000 tasks, ceiling 100"],
];
const CONTENDED_2: &[&[&str]] = &[
    &["contended: tokio, 2 workers,", "ceiling 8"],
    &["contended: tokio, 2 workers, 1000 tasks, ceiling 100"],
];
const CEILING_1: &[&[&str]] = &[
    &["contended: tokio current-thread, 1 worker, 64 tasks, ceiling 1|"],
    &["contended: tokio current-thread, 1 worker, 1000 tasks, ceiling 1|"],
    &["contended: tokio, 2 workers, 64 tasks, ceiling 1|"],
    &["contended: tokio, 2 workers, 1000 tasks, ceiling 1|"],
];
const CONTENDED_1_ALL: &[&[&str]] = &[&["contended: tokio current-thread, 1 worker,"]];
const CONTENDED_2_ALL: &[&[&str]] = &[&["contended: tokio, 2 workers,"]];

/// An executor with one thread runs the waiter as soon as the newcomer gives way.
const STARVATION: &[&[&str]] = &[&["fairness: overtakes", "1 worker"]];
/// With several threads it may be another that is to run the waiter, and the system may keep that from
/// doing so: a figure that depends on what else the machine does.
const STARVATION_THREADS: &[&[&str]] =
    &[&["fairness: overtakes", "2 workers"], &["fairness: overtakes", "blocking threads"]];

/// After this many overtakes for each time that a waiter may lose, a newcomer gives way.
const GIVES_WAY: u32 = 16;

fn absolute() -> Vec<Bar> {
    let bar = |title, subject, rows, limit| Bar {
        exact: true,
        title,
        subject,
        rows,
        limits: vec![figure(limit)],
        moonshot: None,
    };
    // The default patience, and the wake-up that finds the permit kept.
    let mut bars = vec![
        bar(
            "wake-ups of the head while two threads barge",
            Grmgr::NAME,
            &[&["fairness: wake-ups of the head"]],
            17.0,
        ),
        bar(
            "wake-ups of the head, patience(0)",
            GrmgrStrict::NAME,
            &[&["fairness: wake-ups of the head"]],
            1.0,
        ),
        bar(
            "two releases admit two waiters",
            Grmgr::NAME,
            &[&["wakeup: admitted by two releases"]],
            2.0,
        ),
    ];
    for (subject, patience) in
        [(Grmgr::NAME, 16), (GrmgrPatience1::NAME, 1), (GrmgrStrict::NAME, 0)]
    {
        // With patience(0) no newcomer overtakes at all.
        let overtakes = if patience == 0 { 0 } else { GIVES_WAY * (patience + 1) };
        let title = "overtakes by one that never yields";
        bars.push(Bar {
            moonshot: Some(figure(f64::from(patience + 1))),
            ..bar(title, subject, STARVATION, f64::from(overtakes))
        });
        bars.push(Bar {
            exact: false,
            ..bar(
                "overtakes beside other threads",
                subject,
                STARVATION_THREADS,
                f64::from(overtakes),
            )
        });
    }
    for subject in [Grmgr::NAME, GrmgrStrict::NAME] {
        bars.extend([
            Bar {
                exact: false,
                ..bar(
                    "10,000 waiters cancelled: linear",
                    subject,
                    &[&["cancel:", "against 1,000"]],
                    3.0,
                )
            },
            bar(
                "10,000 waiters cancelled: nothing leaked",
                subject,
                &[&["cancel:", "leaked"]],
                0.0,
            ),
        ]);
    }
    bars.extend([
        bar(
            "allocations of an uncontended acquire",
            Grmgr::NAME,
            &[&["memory: allocations of an uncontended acquire"]],
            0.0,
        ),
        Bar {
            moonshot: Some(figure(0.0)),
            ..bar("allocations of a waiter", Grmgr::NAME, &[&["memory: waiter: allocations"]], 1.0)
        },
        bar("size of a limiter", Grmgr::NAME, &[&["memory: limiter: struct"]], 256.0),
        bar("size of an acquire future", Grmgr::NAME, &[&["memory: waiter: future"]], 96.0),
        Bar {
            exact: false,
            ..bar(
                "100 times as fast as the Go original",
                Grmgr::NAME,
                &[&["uncontended: try_acquire"], &["uncontended: acquire()"]],
                GO_PAIR_NS / 100.0,
            )
        },
    ]);
    bars
}
