//! `/metrics`: the text that Prometheus reads.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Write};

use grmgr::{Histogram, Stats};

use crate::counts::{ENDS, REASONS};
use crate::gauges::GAUGES;
use crate::sampler::Tracked;

/// Of so many limiters, all have all buckets from the beginning. Of more, one that never made
/// anybody wait has none: of thousands of limiters most never do.
const ALL_BUCKETS: usize = 100;

/// A counter: its name, what it says, and where to read it.
type Counter = (&'static str, &'static str, fn(&Stats) -> u64);

const COUNTERS: [Counter; 3] = [
    ("limiter_acquired_total", "Permits granted.", |stats| stats.acquired),
    ("limiter_waited_total", "Requests that had to wait.", |stats| stats.waited),
    ("limiter_cancelled_total", "Requests given up while they waited.", |stats| stats.cancelled),
];

/// All limiters: what they have counted at the last sample, and how they are now.
pub(crate) fn text<'a>(limiters: impl ExactSizeIterator<Item = &'a Tracked> + Clone) -> String {
    let mut out = String::new();
    // Writing to a `String` does not fail.
    let _ = write(&mut out, limiters);
    out
}

fn write<'a>(
    out: &mut String,
    limiters: impl ExactSizeIterator<Item = &'a Tracked> + Clone,
) -> fmt::Result {
    // As they are now: a change is to be seen by whoever has made it.
    let now: Vec<_> =
        limiters.clone().map(|tracked| (&tracked.name, tracked.snapshot_now())).collect();
    for (name, help, value) in GAUGES {
        head(out, name, "gauge", help)?;
        for (limiter, now) in &now {
            writeln!(out, "{name}{{limiter=\"{}\"}} {}", Escaped(limiter), value(now))?;
        }
    }
    let name = "limiter_cap";
    head(out, name, "gauge", "Where a cap stands, by its cause.")?;
    for (limiter, now) in &now {
        for (cause, at) in lowest_by_cause(&now.caps) {
            let (limiter, cause) = (Escaped(limiter), Escaped(cause));
            writeln!(out, "{name}{{limiter=\"{limiter}\",cause=\"{cause}\"}} {at}")?;
        }
    }
    for (name, help, value) in COUNTERS {
        head(out, name, "counter", help)?;
        for tracked in limiters.clone() {
            let value = value(&tracked.last.stats);
            writeln!(out, "{name}{{limiter=\"{}\"}} {value}", Escaped(&tracked.name))?;
        }
    }
    let name = "limiter_refused_total";
    head(out, name, "counter", "Requests refused, by reason.")?;
    for tracked in limiters.clone() {
        let limiter = Escaped(&tracked.name);
        for (reason, value) in REASONS.into_iter().zip(tracked.refused()) {
            writeln!(out, "{name}{{limiter=\"{limiter}\",reason=\"{reason}\"}} {value}")?;
        }
    }
    let name = "limiter_ceiling_changes_total";
    head(out, name, "counter", "Moves of the ceiling, by cause.")?;
    for tracked in limiters.clone() {
        let limiter = Escaped(&tracked.name);
        for count in &tracked.by_cause {
            let cause = Escaped(&count.cause);
            for (direction, value) in [("up", count.raised), ("down", count.lowered)] {
                writeln!(
                    out,
                    "{name}{{limiter=\"{limiter}\",direction=\"{direction}\",cause=\"{cause}\"}} {value}"
                )?;
            }
        }
    }
    let name = "limiter_wait_seconds";
    head(out, name, "histogram", "How long requests waited that had to.")?;
    let all = limiters.len() <= ALL_BUCKETS;
    for tracked in limiters {
        histogram(out, name, &tracked.name, &tracked.last.stats.wait, all)?;
    }
    Ok(())
}

/// Two caps may have the same cause, but not two series the same labels.
fn lowest_by_cause<'a>(caps: &'a [(Cow<'static, str>, usize)]) -> BTreeMap<&'a str, usize> {
    let mut lowest = BTreeMap::new();
    for (cause, at) in caps {
        let there = lowest.entry(&**cause).or_insert(*at);
        *there = (*there).min(*at);
    }
    lowest
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

fn histogram(
    out: &mut String,
    name: &str,
    limiter: &str,
    waits: &Histogram,
    all_buckets: bool,
) -> fmt::Result {
    let limiter = Escaped(limiter);
    let count = waits.count();
    if all_buckets || count > 0 {
        let mut below = 0;
        // The last bucket also holds all that is longer: it has no end that could be named.
        for (end, count) in waits.buckets().take(ENDS.len() - 1) {
            below += count;
            let end = end.as_secs_f64();
            writeln!(out, "{name}_bucket{{limiter=\"{limiter}\",le=\"{end}\"}} {below}")?;
        }
    }
    writeln!(out, "{name}_bucket{{limiter=\"{limiter}\",le=\"+Inf\"}} {count}")?;
    writeln!(out, "{name}_sum{{limiter=\"{limiter}\"}} {}", waits.sum().as_secs_f64())?;
    writeln!(out, "{name}_count{{limiter=\"{limiter}\"}} {count}")
}

/// A label's value: anything may be in a limiter's name.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in self.0.chars() {
            match char {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                char => f.write_char(char)?,
            }
        }
        Ok(())
    }
}
