//! The simulated world: clients with a limiter each, a server, Poisson arrivals, an event queue.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use grmgr_adaptive::{Controller, Outcome, Sample};

/// Numbers that look random (splitmix64), so that a seed gives the same run everywhere.
#[derive(Clone, Debug)]
pub(crate) struct Lots(pub(crate) u64);

impl Lots {
    pub(crate) fn draw(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Exponentially distributed, with mean 1.
    pub(crate) fn exp(&mut self) -> f64 {
        -(1.0 - self.draw()).ln()
    }
}

/// How long a worker of the server is busy with a request, in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Service {
    Fixed(f64),
    Exponential(f64),
    /// The share of fast ones, their time, the time of the others.
    Bimodal(f64, f64, f64),
    /// Vector's: delay · (1 + (n−1)·scale + (knee_exp^max(0, n−knee) − 1) + jitter·Exp(1)).
    Vector {
        delay: f64,
        scale: f64,
        knee: f64,
        knee_exp: f64,
        jitter: f64,
    },
}

impl Service {
    fn draw(self, n: usize, lots: &mut Lots) -> f64 {
        match self {
            Self::Fixed(time) => time,
            Self::Exponential(mean) => mean * lots.exp(),
            Self::Bimodal(share, fast, slow) => {
                if lots.draw() < share {
                    fast
                } else {
                    slow
                }
            }
            Self::Vector { delay, scale, knee, knee_exp, jitter } => {
                let over = (n as f64 - knee).max(0.0);
                let noise = if jitter > 0.0 { jitter * lots.exp() } else { 0.0 };
                delay * (1.0 + (n as f64 - 1.0) * scale + (knee_exp.powf(over) - 1.0) + noise)
            }
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// Requests a second of each client.
    pub(crate) rate: f64,
    pub(crate) clients: usize,
    pub(crate) service: Service,
    /// From when on there are how many workers.
    pub(crate) workers: &'static [(f64, usize)],
    /// From when on the network takes how long.
    pub(crate) network: &'static [(f64, f64)],
    /// The server refuses what would be more than this in it.
    pub(crate) refuses_above: usize,
    pub(crate) start: usize,
    pub(crate) seconds: f64,
    /// What is before is not counted.
    pub(crate) counted_from: f64,
    /// Requests in all; 0: no end.
    pub(crate) requests: usize,
    /// What the best ceiling gives: good a second, mean latency in ms, ceiling.
    pub(crate) ideal: (f64, f64, f64),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Outcomes {
    pub(crate) good: f64,
    pub(crate) refused: f64,
    /// In milliseconds.
    pub(crate) latency: f64,
    pub(crate) ceiling: f64,
    pub(crate) end: f64,
    pub(crate) highest: usize,
    pub(crate) in_flight: f64,
    /// Second, ceiling, completions in that second: one client's.
    pub(crate) course: Vec<(f64, usize, usize)>,
    /// Completions of each client.
    pub(crate) shares: Vec<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival(usize),
    Done(usize),
    Left(usize),
    Refused(usize),
    Workers(usize),
    Second,
}

struct Client<'a> {
    controller: Box<dyn Controller + 'a>,
    ceiling: usize,
    in_flight: usize,
    queue: VecDeque<f64>,
    completed: f64,
}

#[derive(Clone, Copy)]
struct Request {
    client: usize,
    started: f64,
    in_flight: usize,
}

const QUEUE_FOR: f64 = 1.0;

fn at(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

pub(crate) fn run(
    scenario: &Scenario,
    seed: u64,
    make: impl Fn(usize, u64) -> Box<dyn Controller>,
) -> Outcomes {
    let mut lots = Lots(seed.wrapping_mul(0x1234_5678_9abc_def1));
    let mut clients: Vec<Client<'_>> = (0..scenario.clients)
        .map(|i| {
            let controller = make(scenario.start, seed * 100 + i as u64);
            let ceiling = controller.ceiling();
            Client { controller, ceiling, in_flight: 0, queue: VecDeque::new(), completed: 0.0 }
        })
        .collect();
    let mut events = BinaryHeap::new();
    let mut number = 0u64;
    let mut push = |events: &mut BinaryHeap<_>, time: f64, event: Event| {
        number += 1;
        events.push(Reverse((at(time), number, event)));
    };
    for i in 0..clients.len() {
        push(&mut events, lots.exp() / scenario.rate, Event::Arrival(i));
    }
    for &(time, workers) in scenario.workers {
        push(&mut events, time, Event::Workers(workers));
    }
    push(&mut events, 1.0, Event::Second);
    let network = |now: f64| {
        scenario.network.iter().rev().find(|(from, _)| *from <= now).map_or(0.0, |(_, n)| *n)
    };

    let mut requests: Vec<Request> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let (mut workers, mut busy, mut in_server) = (0, 0, 0usize);
    let mut waiting: VecDeque<usize> = VecDeque::new();
    let mut result = Outcomes::default();
    let (mut area, mut flight_area, mut latencies) = (0.0, 0.0, 0.0);
    let mut last = scenario.counted_from;
    let mut in_second = 0;
    let mut asked = 0;

    while let Some(Reverse((nanos, _, event))) = events.pop() {
        let now = nanos as f64 / 1e9;
        if now > scenario.seconds {
            break;
        }
        if now > last {
            for client in &clients {
                area += client.ceiling as f64 * (now - last);
                flight_area += client.in_flight as f64 * (now - last);
            }
            last = now;
        }
        // Which client may have room now.
        let mut look = None;
        match event {
            Event::Arrival(i) => {
                asked += 1;
                clients[i].queue.push_back(now);
                if scenario.requests == 0 || asked < scenario.requests {
                    push(&mut events, now + lots.exp() / scenario.rate, Event::Arrival(i));
                }
                look = Some(i);
            }
            Event::Workers(n) => workers = n,
            Event::Second => {
                result.course.push((now, clients[0].ceiling, in_second));
                in_second = 0;
                push(&mut events, now + 1.0, Event::Second);
            }
            // A worker is done; the answer travels.
            Event::Done(id) => {
                busy -= 1;
                in_server -= 1;
                push(&mut events, now + network(requests[id].started), Event::Left(id));
            }
            Event::Left(id) | Event::Refused(id) => {
                let Request { client: i, started, in_flight } = requests[id];
                free.push(id);
                let good = matches!(event, Event::Left(_));
                let latency = now - started;
                if now >= scenario.counted_from {
                    if good {
                        result.good += 1.0;
                        latencies += latency;
                        clients[i].completed += 1.0;
                    } else {
                        result.refused += 1.0;
                    }
                }
                if good && i == 0 {
                    in_second += 1;
                }
                let client = &mut clients[i];
                client.in_flight -= 1;
                let sample = Sample {
                    started: Duration::from_nanos(at(started)),
                    latency: Duration::from_nanos(at(latency)),
                    in_flight,
                    outcome: if good { Outcome::Success } else { Outcome::Overload },
                };
                if let Some(to) = client.controller.observe(Duration::from_nanos(nanos), sample) {
                    client.ceiling = to;
                    result.highest = result.highest.max(to);
                }
                look = Some(i);
            }
        }
        if let Some(i) = look {
            let client = &mut clients[i];
            while client.in_flight < client.ceiling {
                let Some(came) = client.queue.pop_front() else { break };
                if now - came > QUEUE_FOR {
                    continue;
                }
                client.in_flight += 1;
                let request = Request { client: i, started: now, in_flight: client.in_flight };
                let id = free.pop().unwrap_or_else(|| {
                    requests.push(request);
                    requests.len() - 1
                });
                requests[id] = request;
                if in_server >= scenario.refuses_above {
                    push(&mut events, now + 0.001, Event::Refused(id));
                } else {
                    in_server += 1;
                    waiting.push_back(id);
                }
            }
            while client.queue.front().is_some_and(|came| now - came > QUEUE_FOR) {
                client.queue.pop_front();
            }
        }
        while busy < workers {
            let Some(id) = waiting.pop_front() else { break };
            busy += 1;
            let n =
                if matches!(scenario.service, Service::Vector { .. }) { in_server } else { busy };
            push(&mut events, now + scenario.service.draw(n, &mut lots), Event::Done(id));
        }
    }
    let counted = last - scenario.counted_from;
    result.latency = latencies / result.good.max(1.0) * 1000.0;
    result.good /= counted;
    result.refused /= counted;
    result.ceiling = area / counted / clients.len() as f64;
    result.in_flight = flight_area / counted / clients.len() as f64;
    result.end = clients[0].ceiling as f64;
    result.shares = clients.iter().map(|client| client.completed / counted).collect();
    result
}
