//! Prints the table of the controllers and their peers.
//!
//! `own`: only the experiments, on the seeds that were used for tuning. `trace SCENARIO [SEED]`: each second's
//! ceiling and completions. `charts FOLDER`: the drift of two hours, and the ways to the knee, as SVG.

mod chart;
mod peers;
mod scenarios;
mod world;

use std::error::Error;

use grmgr_adaptive::{Controller, Experiment, Vegas};
use plotters::style::RGBColor;
use world::{Outcomes, Scenario};

type Make = fn(usize, u64) -> Box<dyn Controller>;

const CONTROLLERS: &[(&str, Make)] = &[
    ("AIMD", |start, _| Box::new(peers::Aimd(start as f64))),
    ("Vegas 1 s", |start, seed| Box::new(Vegas::new(start).seed(seed))),
    ("Gradient2", |start, _| Box::new(peers::Windowed::new(peers::Gradient2::new(start)))),
    ("Envoy", |start, seed| Box::new(peers::Envoy::new(start, seed))),
    ("Vector ARC", |start, _| Box::new(peers::Arc::new(start))),
    ("failsafe-go", |start, _| Box::new(peers::Failsafe::new(start))),
    ("Experiment", EXPERIMENT),
];

const EXPERIMENT: Make = |start, seed| Box::new(Experiment::new(start).seed(seed));

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
        sum.shares.extend(one.shares);
    }
    sum
}

fn cell(scenario: &Scenario, o: &Outcomes) -> String {
    match scenario.name {
        "S8" => format!("{:.0}", o.ceiling),
        "S9" => format!("{:.0}·{:.0}", o.good, o.ceiling),
        "nine" if !o.shares.is_empty() => {
            let least = o.shares.iter().copied().fold(f64::MAX, f64::min);
            let most = o.shares.iter().copied().fold(0.0, f64::max);
            format!("{:.0}·{:.0}·{:.0} ({least:.0}–{most:.0} each)", o.good, o.latency, o.ceiling)
        }
        "S10" => format!("{:.0}·{:.1}", o.good, o.refused),
        _ => format!("{:.0}·{:.0}·{:.0}", o.good, o.latency, o.ceiling),
    }
}

const COLOURS: [RGBColor; 7] = [
    RGBColor(0xbb, 0xbb, 0xbb),
    RGBColor(0x1f, 0x77, 0xb4),
    RGBColor(0xff, 0x7f, 0x0e),
    RGBColor(0x2c, 0xa0, 0x2c),
    RGBColor(0x94, 0x67, 0xbd),
    RGBColor(0x8c, 0x56, 0x4b),
    RGBColor(0xd6, 0x27, 0x28),
];

fn lines(scenario: &Scenario) -> Vec<chart::Line> {
    let of = |((name, make), colour): (&(&str, Make), RGBColor)| {
        let course = world::run(scenario, UNSEEN[0], *make).course;
        let points =
            course.into_iter().map(|(second, ceiling, _)| (second, ceiling as f64)).collect();
        chart::Line { name: (*name).to_owned(), colour, points }
    };
    CONTROLLERS.iter().zip(COLOURS).map(of).collect()
}

fn charts(folder: &str) -> Result<(), Box<dyn Error>> {
    let write = |name: &str, panels: &[chart::Panel], seconds: f64| {
        std::fs::write(format!("{folder}/{name}.svg"), chart::draw(panels, seconds)?)
            .map_err(Box::<dyn Error>::from)
    };
    let panel = |title: &str, top: f64, scenario: &Scenario| chart::Panel {
        title: title.to_owned(),
        top,
        lines: lines(scenario),
    };
    let drift = scenarios::drift();
    let title =
        "Ceiling in two hours at twice the load; the knee is at 20 (what is above 80 is cut off)";
    write("drift", &[panel(title, 80.0, &drift)], drift.seconds)?;

    let all = scenarios::table();
    let minute =
        |name: &str| all.iter().find(|s| s.name == name).expect("it is in the table").clone();
    let panels = [
        panel("Ceiling from 2 in the first minute; the knee is at 20", 80.0, &minute("S2")),
        panel("Ceiling from 200 in the first minute; the knee is at 20", 200.0, &minute("S3")),
    ];
    write("convergence", &panels, 60.0)?;
    let steps = minute("S6");
    let title = "Ceiling while the knee goes from 20 to 5 at 450 s and back at 1350 s";
    write("steps", &[panel(title, 80.0, &steps)], steps.seconds)
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [command, folder] = &args[..]
        && command == "charts"
    {
        charts(folder).expect("the charts can be written");
        return;
    }
    if args.first().is_some_and(|arg| arg == "trace") {
        let name = args.get(1).map_or("S1", |name| name.as_str());
        let mut all = scenarios::table();
        all.extend([scenarios::steps(), scenarios::nine(), scenarios::drift()]);
        let scenario = all.iter().find(|s| s.name == name).expect("no such scenario");
        let seed = args.get(2).map_or(1, |seed| seed.parse().expect("a seed"));
        for (second, ceiling, good) in world::run(scenario, seed, EXPERIMENT).course {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The claim of the README is 97 % and 1.25. What is reached is better, and shall not get worse unseen.
    #[test]
    fn reaches_capacity_without_much_of_a_queue() {
        for scenario in scenarios::table() {
            let (least, most) = match scenario.name {
                "S1" => (0.99, 1.13),
                "S4" => (0.98, 1.12),
                "S5" => (0.98, 1.1),
                "S6" => (0.975, 1.16),
                "S7" => (0.985, 1.17),
                _ => continue,
            };
            let o = average(&scenario, &UNSEEN, EXPERIMENT);
            let (good, latency, _) = scenario.ideal;
            assert!(o.good >= least * good, "{}: {} a second", scenario.name, o.good);
            assert!(o.latency <= most * latency, "{}: {} ms", scenario.name, o.latency);
        }
    }

    #[test]
    fn a_refusing_server_is_not_pestered() {
        let scenarios = scenarios::table();
        let scenario = scenarios.iter().find(|s| s.name == "S10").unwrap();
        let o = world::run(scenario, UNSEEN[1], EXPERIMENT);
        assert!(o.good >= 97.0 && o.refused <= 3.0, "{} good, {} refused", o.good, o.refused);
    }

    #[test]
    fn finds_the_knee_in_seconds_from_far_below_and_from_far_above() {
        let scenarios = scenarios::table();
        for (name, least, most) in [("S2", 193.0, 113.0), ("S3", 194.0, 215.0)] {
            let scenario = scenarios.iter().find(|s| s.name == name).unwrap();
            let o = world::run(scenario, UNSEEN[1], EXPERIMENT);
            assert!(o.good >= least && o.latency <= most, "{name}: {}, {} ms", o.good, o.latency);
            let late = o.course.iter().filter(|second| second.0 > 12.0);
            assert!(late.clone().all(|second| (16..=27).contains(&second.1)), "{name}");
        }
    }

    #[test]
    fn comes_down_at_once_when_the_latency_jumps() {
        let scenarios = scenarios::table();
        let scenario = scenarios.iter().find(|s| s.name == "S6").unwrap();
        for seed in UNSEEN {
            let course = world::run(scenario, seed, EXPERIMENT).course;
            // From 20 workers to 5 at 450 s, where a request in line takes 0.4 s.
            let soon = course.iter().find(|second| second.0 >= 458.0).unwrap();
            assert!(soon.1 <= 8, "seed {seed}: {} after 8 s", soon.1);
        }
    }

    #[test]
    fn two_hours_bring_no_drift() {
        let o = world::run(&scenarios::drift(), UNSEEN[1], EXPERIMENT);
        assert!((16.0..=24.0).contains(&o.end), "ended at {}", o.end);
        assert!((19.0..=24.0).contains(&o.ceiling), "was at {}", o.ceiling);
    }

    #[test]
    fn clients_of_one_server_do_not_push_one_another_up() {
        let o = world::run(&scenarios::nine(), UNSEEN[1], EXPERIMENT);
        // Seventeen seconds if each looked at its own steps only.
        assert!(o.good > 290.0 && o.latency < 800.0, "{} good, {} ms", o.good, o.latency);
    }

    #[test]
    fn the_same_seed_gives_the_same_run() {
        let scenario = &scenarios::table()[1];
        let (one, two) = (world::run(scenario, 7, EXPERIMENT), world::run(scenario, 7, EXPERIMENT));
        assert_eq!(one.course, two.course);
    }
}
