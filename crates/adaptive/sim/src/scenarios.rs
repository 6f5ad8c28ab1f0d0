//! The scenarios, as data.

use crate::world::{Scenario, Service};

const MANY: usize = 100_000;

const BASE: Scenario = Scenario {
    name: "",
    what: "",
    rate: 400.0,
    clients: 1,
    service: Service::Fixed(0.1),
    workers: &[(0.0, 20)],
    network: &[],
    refuses_above: usize::MAX,
    start: 20,
    seconds: 1800.0,
    counted_from: 0.0,
    requests: 0,
    ideal: (200.0, 100.0, 20.0),
};

pub(crate) fn table() -> Vec<Scenario> {
    vec![
        Scenario { name: "S1", what: "load 2 ×, c 20, 100 ms, 30 min", ..BASE },
        Scenario {
            name: "S2",
            what: "the same from ceiling 2, first 60 s",
            start: 2,
            seconds: 60.0,
            ..BASE
        },
        Scenario { name: "S3", what: "from 200, first 60 s", start: 200, seconds: 60.0, ..BASE },
        Scenario {
            name: "S4",
            what: "exponential service",
            service: Service::Exponential(0.1),
            ..BASE
        },
        Scenario {
            name: "S5",
            what: "90 % 20 ms, 10 % 500 ms",
            service: Service::Bimodal(0.9, 0.02, 0.5),
            rate: 588.0,
            ideal: (294.0, 68.0, 20.0),
            ..BASE
        },
        Scenario {
            name: "S6",
            what: "c 20 → 5 → 20",
            workers: &[(0.0, 20), (450.0, 5), (1350.0, 20)],
            ideal: (125.0, 100.0, 12.5),
            ..BASE
        },
        Scenario {
            name: "S7",
            what: "c 12, 100 rps, 150 ms",
            workers: &[(0.0, 12)],
            service: Service::Fixed(0.15),
            rate: 100.0,
            ideal: (80.0, 150.0, 12.0),
            ..BASE
        },
        Scenario {
            name: "S8",
            what: "5 rps (ceiling must stay 20)",
            rate: 5.0,
            ideal: (5.0, 100.0, 20.0),
            ..BASE
        },
        Scenario {
            name: "S9",
            what: "network 50 → 250 ms, needs 25",
            workers: &[(0.0, MANY)],
            service: Service::Exponential(0.001),
            network: &[(0.0, 0.05), (900.0, 0.25)],
            rate: 100.0,
            counted_from: 900.0,
            ideal: (100.0, 250.0, 25.0),
            ..BASE
        },
        Scenario {
            name: "S10",
            what: "server refuses above 10",
            workers: &[(0.0, MANY)],
            refuses_above: 10,
            ideal: (100.0, 100.0, 10.0),
            ..BASE
        },
    ]
}

/// Vector's, with what its own tests allow its own controller: mean and maximum of the limit.
pub(crate) fn vector() -> Vec<(Scenario, &'static str)> {
    let link = |delay, scale, knee, knee_exp, jitter| Scenario {
        service: Service::Vector { delay, scale, knee, knee_exp, jitter },
        workers: &[(0.0, MANY)],
        start: 1,
        seconds: 1000.0,
        ..BASE
    };
    let none = f64::MAX;
    vec![
        (
            Scenario {
                name: "constant-link",
                requests: 500,
                seconds: 6.0,
                rate: 100.0,
                ..link(0.1, 0.0, none, 1.0, 0.0)
            },
            "16–18, 22–32",
        ),
        (
            Scenario {
                name: "jittery-link",
                requests: 500,
                seconds: 6.0,
                rate: 100.0,
                ..link(0.1, 0.0, none, 1.0, 0.1)
            },
            "9–20, 20–40",
        ),
        (
            Scenario {
                name: "shallow-knee",
                rate: 100.0,
                seconds: 200.0,
                ..link(0.1, 0.0, 10.0, 1.1, 0.0)
            },
            "in flight 9–11, at most 12; 87–89/s",
        ),
        (
            Scenario {
                name: "slow-link",
                rate: 50.0,
                seconds: 100.0,
                ..link(0.1, 1.0, none, 1.0, 0.0)
            },
            "1.5–5",
        ),
        (
            Scenario {
                name: "defers-at-high-concurrency",
                refuses_above: 5,
                rate: 100.0,
                seconds: 60.0,
                ..link(0.1, 0.0, none, 1.0, 0.0)
            },
            "4–29, 6–41",
        ),
    ]
}

pub(crate) fn steps() -> Scenario {
    Scenario {
        name: "steps",
        what: "150 rps, 40 ms, workers 4 … 1 … 4",
        rate: 150.0,
        service: Service::Fixed(0.04),
        workers: &[
            (0.0, 4),
            (40.0, 3),
            (80.0, 2),
            (120.0, 1),
            (180.0, 2),
            (210.0, 3),
            (240.0, 4),
            (360.0, 1),
            (450.0, 4),
        ],
        seconds: 510.0,
        ideal: (71.1, 40.0, 2.84),
        ..BASE
    }
}

pub(crate) fn nine() -> Scenario {
    Scenario {
        name: "nine",
        what: "nine clients × 60 rps on one server of 30",
        rate: 60.0,
        clients: 9,
        workers: &[(0.0, 30)],
        ideal: (300.0, 100.0, 3.33),
        ..BASE
    }
}

pub(crate) fn drift() -> Scenario {
    Scenario { name: "drift", what: "two hours", seconds: 7200.0, ..BASE }
}
