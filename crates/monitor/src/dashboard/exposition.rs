//! `/metrics`: the text that Prometheus reads.

use std::fmt::{self, Write};

use grmgr::{Histogram, Snapshot};

use crate::sampler::Tracked;

/// The bounds of the histogram of waiting times, as powers of two of nanoseconds: 1 µs to 69 s in
/// steps of four. The limiter's own buckets end there, too, so nothing is guessed.
const BOUNDS: [u32; 14] = [10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34, 36];

type Gauge = (&'static str, &'static str, fn(&Snapshot) -> usize);

const GAUGES: [Gauge; 5] = [
    ("limiter_in_flight", "Permits in flight.", |last| last.in_flight),
    ("limiter_ceiling", "The ceiling now.", |last| last.ceiling),
    ("limiter_ceiling_min", "The lowest ceiling.", |last| last.min),
    ("limiter_ceiling_max", "The highest ceiling.", |last| last.max),
    ("limiter_waiting", "Requests that wait.", |last| last.waiting),
];

/// All limiters at the last sample.
pub(crate) fn text<'a>(limiters: impl Iterator<Item = &'a Tracked> + Clone) -> String {
    let mut out = String::new();
    // Writing to a `String` does not fail.
    let _ = write(&mut out, limiters);
    out
}

fn write<'a>(out: &mut String, limiters: impl Iterator<Item = &'a Tracked> + Clone) -> fmt::Result {
    for (name, help, value) in GAUGES {
        head(out, name, "gauge", help)?;
        for tracked in limiters.clone() {
            let value = value(&tracked.last);
            writeln!(out, "{name}{{limiter=\"{}\"}} {value}", Escaped(&tracked.name))?;
        }
    }
    let name = "limiter_acquired_total";
    head(out, name, "counter", "Permits granted.")?;
    for tracked in limiters.clone() {
        let value = tracked.last.stats.acquired;
        writeln!(out, "{name}{{limiter=\"{}\"}} {value}", Escaped(&tracked.name))?;
    }
    let name = "limiter_waited_total";
    head(out, name, "counter", "Requests that had to wait.")?;
    for tracked in limiters.clone() {
        let value = tracked.last.stats.waited;
        writeln!(out, "{name}{{limiter=\"{}\"}} {value}", Escaped(&tracked.name))?;
    }
    let name = "limiter_refused_total";
    head(out, name, "counter", "Requests refused, by reason.")?;
    for tracked in limiters.clone() {
        let limiter = Escaped(&tracked.name);
        for (reason, value) in tracked.refusals() {
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
    for tracked in limiters {
        histogram(out, name, &tracked.name, &tracked.last.stats.wait)?;
    }
    Ok(())
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

fn histogram(out: &mut String, name: &str, limiter: &str, waits: &Histogram) -> fmt::Result {
    let limiter = Escaped(limiter);
    let mut below = 0;
    let mut buckets = waits.buckets().peekable();
    for bound in BOUNDS {
        let bound = std::time::Duration::from_nanos(1 << bound);
        while let Some((_, count)) = buckets.next_if(|(end, _)| *end <= bound) {
            below += count;
        }
        let bound = bound.as_secs_f64();
        writeln!(out, "{name}_bucket{{limiter=\"{limiter}\",le=\"{bound}\"}} {below}")?;
    }
    let count = waits.count();
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
