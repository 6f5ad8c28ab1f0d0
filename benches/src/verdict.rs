//! How a run stands against the bars.

use std::fmt::Write as _;

use crate::bars::{Bar, Limit, To};
use crate::measure::{Better, Figure, Row};
use crate::table::{number, percent};

/// A bar in one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Kept.
    Met,
    /// Missed by no more than the spread of this run.
    WithinSpread,
    /// Missed.
    Missed,
}

/// One limit of a bar in one row.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The row.
    pub row: String,
    /// The limit.
    pub limit: Limit,
    /// The column it was held against, where there is one.
    pub against: Option<&'static str>,
    /// Whether it is a floor for the figure and not a cap.
    pub at_least: bool,
    /// What was measured.
    pub measured: Figure,
    /// By what share it lies on the wrong side; negative on the right one.
    pub excess: f64,
    /// The verdict.
    pub verdict: Verdict,
}

/// Holds a limit against every row the bar is about and that was measured.
#[must_use]
pub fn judge(bar: &Bar, limit: Limit, rows: &[Row]) -> Vec<Judged> {
    rows.iter()
        .filter(|row| is_about(bar, row))
        .filter_map(|row| judge_row(bar, limit, row))
        .collect()
}

fn is_about(bar: &Bar, row: &Row) -> bool {
    let name = row.full_name() + "|";
    bar.rows.iter().any(|parts| parts.iter().all(|part| name.contains(part)))
}

fn judge_row(bar: &Bar, limit: Limit, row: &Row) -> Option<Judged> {
    let subject = row.column(bar.subject)?;
    let against = match limit.to {
        To::Peer(peer) => Some(row.column(peer)?),
        To::Best => Some(row.best_counted()?),
        To::Absolute => None,
    };
    let measured = match against {
        Some(against) => row.ratio(subject, against)?,
        None => row.figure(subject),
    };
    let at_least = row.metric.better == Better::Higher;
    let excess = excess(measured.value, limit.limit, at_least);
    let verdict = if excess <= 0.0 {
        Verdict::Met
    } else if excess <= measured.spread {
        Verdict::WithinSpread
    } else {
        Verdict::Missed
    };
    Some(Judged {
        row: row.full_name(),
        limit,
        against: against.map(|column| column.peer),
        at_least,
        measured,
        excess,
        verdict,
    })
}

fn excess(value: f64, limit: f64, at_least: bool) -> f64 {
    let by = if at_least { limit - value } else { value - limit };
    if limit == 0.0 { by } else { by / limit }
}

impl Judged {
    fn limit_text(&self) -> String {
        let sign = if self.at_least { "≥" } else { "≤" };
        match (self.limit.to, self.against) {
            (To::Best, _) => format!("{sign} {} × best peer", self.limit.limit),
            (_, Some(peer)) => format!("{sign} {} × {peer}", self.limit.limit),
            (_, None) => format!("{sign} {}", number(self.limit.limit)),
        }
    }

    fn measured_text(&self) -> String {
        let value = match self.against {
            Some(peer) if matches!(self.limit.to, To::Best) => {
                format!("{:.2} × {peer}", self.measured.value)
            }
            Some(_) => format!("{:.2}", self.measured.value),
            None => number(self.measured.value),
        };
        format!("{value} (spread {})", percent(self.measured.spread))
    }
}

/// The bars as Markdown, each with the row that is worst off, and whether any is missed.
#[must_use]
pub fn report(bars: &[Bar], rows: &[Row]) -> (String, bool) {
    let mut table = String::from(
        "### bars\n\n| bar | for | limit | worst row | measured | | moonshot |\n\
         |---|---|---|---|---:|---|---|\n",
    );
    let mut missed = String::new();
    for bar in bars {
        for limit in &bar.limits {
            let judged = judge(bar, *limit, rows);
            let Some(worst) = judged.iter().max_by(|a, b| a.excess.total_cmp(&b.excess)) else {
                let _ =
                    writeln!(table, "| {} | {} | | not measured | | | |", bar.title, bar.subject);
                continue;
            };
            let _ = writeln!(
                table,
                "| {} | {} | {} | {} | {} | {} | {} |",
                bar.title,
                bar.subject,
                worst.limit_text(),
                worst.row,
                worst.measured_text(),
                verdict_text(worst.verdict),
                moonshot(bar, rows),
            );
            for judged in judged.iter().filter(|one| one.verdict == Verdict::Missed) {
                let _ = writeln!(
                    missed,
                    "- {}, {}, {}: {}, measured {}",
                    bar.title,
                    bar.subject,
                    judged.row,
                    judged.limit_text(),
                    judged.measured_text(),
                );
            }
        }
    }
    let any = !missed.is_empty();
    if any {
        let _ = write!(table, "\nMissed by more than the spread of this run:\n\n{missed}");
    }
    (table, any)
}

fn verdict_text(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Met => "met",
        Verdict::WithinSpread => "within the spread",
        Verdict::Missed => "**missed**",
    }
}

/// In how many rows the next goal is reached, and what it is.
fn moonshot(bar: &Bar, rows: &[Row]) -> String {
    let Some(limit) = bar.moonshot else {
        return String::new();
    };
    let judged = judge(bar, limit, rows);
    let Some(first) = judged.first() else {
        return String::new();
    };
    let met = judged.iter().filter(|one| one.excess <= 0.0).count();
    format!("{}: {met} of {}", first.limit_text(), judged.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Group;
    use crate::peers::{Grmgr, Kind, Peer, Std, Tokio};
    use crate::watchdog::Watchdog;

    fn row(better: Better, ours: &'static [f64]) -> Row {
        assert_eq!(Grmgr::KIND, Kind::Ours);
        let mut group = Group::new("test", 2).metric("row", "", better);
        let mut samples = ours.iter();
        group.add::<Grmgr>(move || vec![*samples.next().expect("a sample a round")]);
        group.add::<Tokio>(|| vec![100.0]);
        group.add::<Std>(|| vec![50.0]);
        group.run(&Watchdog::start()).remove(0)
    }

    fn verdict(row: &Row, to: To, limit: f64) -> Verdict {
        let limit = Limit { to, limit };
        let bar = Bar {
            title: "",
            subject: Grmgr::NAME,
            rows: &[&["test: row|"]],
            limits: vec![limit],
            exact: false,
            moonshot: None,
        };
        judge(&bar, limit, std::slice::from_ref(row))[0].verdict
    }

    #[test]
    fn a_cap_is_met_missed_or_missed_within_the_spread() {
        let steady = row(Better::Lower, &[60.0, 60.0]);
        assert_eq!(verdict(&steady, To::Peer("tokio"), 0.6), Verdict::Met);
        assert_eq!(verdict(&steady, To::Peer("tokio"), 0.5), Verdict::Missed);
        assert_eq!(verdict(&steady, To::Best, 1.03), Verdict::Missed);
        assert_eq!(verdict(&steady, To::Absolute, 60.0), Verdict::Met);
        let noisy = row(Better::Lower, &[40.0, 80.0]);
        assert_eq!(verdict(&noisy, To::Peer("tokio"), 0.5), Verdict::WithinSpread);
    }

    #[test]
    fn where_more_is_better_the_limit_is_a_floor() {
        let row = row(Better::Higher, &[90.0, 90.0]);
        assert_eq!(verdict(&row, To::Best, 0.95), Verdict::Missed);
        assert_eq!(verdict(&row, To::Best, 0.85), Verdict::Met);
    }
}
