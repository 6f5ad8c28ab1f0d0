//! Prints the table of the controllers and their peers.

#![allow(unreachable_pub)]

mod peers;
mod scenarios;
mod world;

use grmgr_adaptive::{Controller, Experiment, Vegas};
use world::{Outcomes, Scenario};

type Make = fn(usize, u64) -> Box<dyn Controller>;

const CONTROLLERS: &[(&str, Make)] = &[
    ("AIMD", |start, _| Box::new(peers::Aimd(start as f64))),
    ("Vegas 1 s", |start, seed| Box::new(Vegas::new(start).seed(seed))),
    ("Gradient2", |start, _| Box::new(peers::Windowed::new(peers::Gradient2::new(start)))),
    ("Envoy", |start, seed| Box::new(peers::Envoy::new(start, seed))),
    ("Vector ARC", |start, _| Box::new(peers::Arc::new(start))),
    ("failsafe-go", |start, _| Box::new(peers::Failsafe::new(start))),
    ("Experiment", |start, seed| Box::new(Experiment::new(start).seed(seed))),
];

/// Used while the controller was made.
const TUNED: [u64; 5] = [1, 2, 3, 4, 5];
/// Not looked at before it was done.
const UNSEEN: [u64; 5] = [101, 102, 103, 104, 105];

fn average(scenario: &Scenario, seeds: &[u64], make: Make) -> Outcomes {
    let mut sum = Outcomes::default();
    let n = seeds.len() as f64;
    for &seed in seeds {
        let one = world::run(scenario, seed, make);
        sum.good += one.good / n;
        sum.refused += one.refused / n;
        sum.latency += one.latency / n;
        sum.ceiling += one.ceiling / n;
        sum.in_flight += one.in_flight / n;
        sum.end += one.end / n;
        sum.highest = sum.highest.max(one.highest);
    }
    sum
}

fn cell(scenario: &Scenario, o: &Outcomes) -> String {
    match scenario.name {
        "S8" => format!("{:.0}", o.ceiling),
        "S9" => format!("{:.0}·{:.0}", o.good, o.ceiling),
        "S10" => format!("{:.0}·{:.1}", o.good, o.refused),
        _ => format!("{:.0}·{:.0}·{:.0}", o.good, o.latency, o.ceiling),
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|arg| arg == "trace") {
        let all = scenarios::table();
        let name = args.get(1).map_or("S1", |name| name.as_str());
        let mut all: Vec<_> = all.into_iter().collect();
        all.extend([scenarios::steps(), scenarios::nine(), scenarios::drift()]);
        let scenario = all.iter().find(|s| s.name == name).expect("no such scenario");
        let seed = args.get(2).map_or(1, |seed| seed.parse().expect("a seed"));
        for (second, ceiling, good) in
            world::run(scenario, seed, CONTROLLERS.last().unwrap().1).course
        {
            println!("{second} {ceiling} {good}");
        }
        return;
    }
    let own = args.iter().any(|arg| arg == "own");
    let controllers = if own { &CONTROLLERS[CONTROLLERS.len() - 1..] } else { CONTROLLERS };
    let sets: &[(&str, [u64; 5])] =
        if own { &[("tuned", TUNED)] } else { &[("tuned", TUNED), ("unseen", UNSEEN)] };
    let mut all = scenarios::table();
    all.extend([scenarios::steps(), scenarios::nine()]);
    for (name, seeds) in sets {
        println!("\nSeeds {name}\n");
        print!("| | ideal |");
        for (name, _) in controllers {
            print!(" {name} |");
        }
        println!("\n|---|---|{}", "---|".repeat(controllers.len()));
        for scenario in &all {
            let (good, latency, ceiling) = scenario.ideal;
            let ideal = Outcomes { good, latency, ceiling, ..Outcomes::default() };
            print!("| {} {} | {} |", scenario.name, scenario.what, cell(scenario, &ideal));
            for (_, make) in controllers {
                print!(" {} |", cell(scenario, &average(scenario, seeds, *make)));
            }
            println!();
        }
        for (scenario, theirs) in scenarios::vector() {
            print!("| {} | {} |", scenario.name, theirs);
            for (_, make) in controllers {
                let o = average(&scenario, seeds, *make);
                print!(" {:.1}, {} ({:.0}/s, {:.1}) |", o.ceiling, o.highest, o.good, o.in_flight);
            }
            println!();
        }
    }
}
