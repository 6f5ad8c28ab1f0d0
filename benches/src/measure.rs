//! Runs the peers of a group in turns and keeps every sample.
//!
//! One round runs each peer once; the next starts with another peer. A machine that slows down for
//! a while so slows all of them, and what is compared is taken within the same round.

use std::fmt;

use crate::peers::{Kind, Peer};
use crate::stats::{median_and_spread, quantile};
use crate::watchdog::Watchdog;

/// Which way is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Time, bytes.
    Lower,
    /// Throughput.
    Higher,
    /// A fact to know.
    Neither,
}

/// What stands for all rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Summary {
    /// The median.
    Median,
    /// The greatest, where the promise is about the worst case.
    Max,
}

/// One figure that a group measures.
#[derive(Clone, Debug)]
pub struct Metric {
    /// Row name.
    pub name: String,
    /// Unit, for the table.
    pub unit: &'static str,
    /// Which way is good.
    pub better: Better,
    /// What stands for all rounds.
    pub summary: Summary,
}

type Run = Box<dyn FnMut() -> Vec<f64>>;

struct Cell {
    peer: &'static str,
    kind: Kind,
    run: Run,
    samples: Vec<Vec<f64>>,
}

/// Peers doing the same work, which yields one or several figures.
pub struct Group {
    theme: &'static str,
    rounds: usize,
    metrics: Vec<Metric>,
    cells: Vec<Cell>,
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("theme", &self.theme)
            .field("rounds", &self.rounds)
            .field("metrics", &self.metrics)
            .finish_non_exhaustive()
    }
}

impl Group {
    /// A group without metrics and peers yet.
    #[must_use]
    pub fn new(theme: &'static str, rounds: usize) -> Self {
        Self { theme, rounds, metrics: Vec::new(), cells: Vec::new() }
    }

    /// Adds the next figure of those each run yields.
    #[must_use]
    pub fn metric(mut self, name: impl Into<String>, unit: &'static str, better: Better) -> Self {
        self.metrics.push(Metric { name: name.into(), unit, better, summary: Summary::Median });
        self
    }

    /// Has the last metric stand for its worst round.
    #[must_use]
    pub fn worst(mut self) -> Self {
        if let Some(metric) = self.metrics.last_mut() {
            metric.summary = Summary::Max;
        }
        self
    }

    /// Adds a peer, with the work done through it.
    pub fn add<P: Peer>(&mut self, run: impl FnMut() -> Vec<f64> + 'static) {
        self.cells.push(Cell {
            peer: P::NAME,
            kind: P::KIND,
            run: Box::new(run),
            samples: Vec::new(),
        });
    }

    /// The names of its rows, with the theme.
    pub fn names(&self) -> impl Iterator<Item = String> + '_ {
        self.metrics.iter().map(|metric| full_name(self.theme, &metric.name))
    }

    /// Runs all rounds. A first round is thrown away where there are several: it pays for cold
    /// caches, and for the limiter's code being paged in.
    #[must_use]
    pub fn run(mut self, watchdog: &Watchdog) -> Vec<Row> {
        let warm_up = usize::from(self.rounds > 2);
        let peers = self.cells.len();
        let label = self.names().next().unwrap_or_default();
        for round in 0..self.rounds + warm_up {
            for turn in 0..peers {
                let cell = &mut self.cells[(round + turn) % peers];
                let sample = watchdog.watch(&label, cell.peer, || (cell.run)());
                if round >= warm_up {
                    cell.samples.push(sample);
                }
            }
        }
        let cells = &self.cells;
        self.metrics
            .iter()
            .enumerate()
            .map(|(index, metric)| Row {
                theme: self.theme,
                metric: metric.clone(),
                columns: cells
                    .iter()
                    .map(|cell| Column {
                        peer: cell.peer,
                        kind: cell.kind,
                        samples: cell.samples.iter().map(|sample| sample[index]).collect(),
                    })
                    .collect(),
            })
            .collect()
    }
}

fn full_name(theme: &str, name: &str) -> String {
    format!("{theme}: {name}")
}

/// One figure of all peers.
#[derive(Clone, Debug)]
pub struct Row {
    /// Which table it belongs to.
    pub theme: &'static str,
    /// What was measured.
    pub metric: Metric,
    /// The peers that took part.
    pub columns: Vec<Column>,
}

/// One peer's samples of one figure, in the order of the rounds.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name.
    pub peer: &'static str,
    /// How it enters the comparison.
    pub kind: Kind,
    /// One sample a round.
    pub samples: Vec<f64>,
}

/// A figure with its spread: the distance of its quartiles as a share of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// The figure.
    pub value: f64,
    /// Its spread.
    pub spread: f64,
}

impl Row {
    /// Name with theme.
    #[must_use]
    pub fn full_name(&self) -> String {
        full_name(self.theme, &self.metric.name)
    }

    /// A peer's column.
    #[must_use]
    pub fn column(&self, peer: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.peer == peer)
    }

    /// A column's figure.
    #[must_use]
    pub fn figure(&self, column: &Column) -> Figure {
        let (median, spread) = median_and_spread(&column.samples);
        match self.metric.summary {
            Summary::Median => Figure { value: median, spread },
            // The worst case is what it is: other rounds being better excuses nothing.
            Summary::Max => Figure {
                value: column.samples.iter().copied().fold(f64::MIN, f64::max),
                spread: 0.0,
            },
        }
    }

    /// The best of the counted peers.
    #[must_use]
    pub fn best_counted(&self) -> Option<&Column> {
        let counted = self.columns.iter().filter(|column| column.kind == Kind::Counted);
        let value = |column: &&Column| self.figure(column).value;
        match self.metric.better {
            Better::Lower => counted.min_by(|a, b| value(a).total_cmp(&value(b))),
            Better::Higher => counted.max_by(|a, b| value(a).total_cmp(&value(b))),
            Better::Neither => None,
        }
    }

    /// One column's figure as a multiple of another's. The spread is that of the ratios taken
    /// within each round, so that drift between rounds does not widen it.
    #[must_use]
    pub fn ratio(&self, of: &Column, to: &Column) -> Option<Figure> {
        let value = self.figure(of).value / self.figure(to).value;
        let mut ratios: Vec<f64> =
            of.samples.iter().zip(&to.samples).map(|(of, to)| of / to).collect();
        ratios.sort_by(f64::total_cmp);
        let quartiles = quantile(&ratios, 0.75) - quantile(&ratios, 0.25);
        let spread = quartiles / quantile(&ratios, 0.5);
        value
            .is_finite()
            .then_some(Figure { value, spread: if spread.is_finite() { spread } else { 0.0 } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::{Std, Tokio};

    fn measured(better: Better) -> Row {
        let mut group = Group::new("test", 5).metric("row", "ns", better);
        let mut drift = 1.0;
        group.add::<Tokio>(move || {
            drift += 1.0;
            vec![drift * 10.0]
        });
        let mut drift = 1.0;
        group.add::<Std>(move || {
            drift += 1.0;
            vec![drift * 20.0]
        });
        group.run(&Watchdog::start()).remove(0)
    }

    #[test]
    fn drift_that_hits_all_peers_leaves_the_ratio_sharp() {
        let row = measured(Better::Lower);
        let (tokio, std) = (&row.columns[0], &row.columns[1]);
        assert!(row.figure(tokio).spread > 0.3);
        let ratio = row.ratio(std, tokio).expect("a ratio");
        assert_eq!((ratio.value, ratio.spread), (2.0, 0.0));
    }

    #[test]
    fn the_best_peer_depends_on_which_way_is_good() {
        let best = |better| measured(better).best_counted().map(|column| column.peer);
        assert_eq!(best(Better::Lower), Some("tokio"));
        assert_eq!(best(Better::Higher), Some("std"));
        assert_eq!(best(Better::Neither), None);
    }
}
