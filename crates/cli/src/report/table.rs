//! In columns.

use std::fmt::{self, Write};

use std::time::Duration;

use grmgr_monitor::recorded::{Line, Run};

use crate::words::{duration, percent, printable, wait};

const HEAD: [&str; 17] = [
    "limiter",
    "samples",
    "in flight",
    "max",
    "ceiling",
    "from–to",
    "now",
    "full",
    "waiting",
    "max",
    "waited",
    "p50",
    "p99",
    "given up",
    "granted",
    "refused",
    "changes",
];

pub(super) fn write(f: &mut fmt::Formatter<'_>, runs: &[Run]) -> fmt::Result {
    if runs.is_empty() {
        return f.write_str("no run has been recorded yet\n");
    }
    for (i, run) in runs.iter().enumerate() {
        if i > 0 {
            f.write_char('\n')?;
        }
        if run.limiters.is_empty() {
            writeln!(f, "run {}: no samples", printable(&run.run_id))?;
            continue;
        }
        let duration = duration(Duration::from_secs(run.seconds.unsigned_abs()));
        let Run { run_id, first, last, .. } = run;
        writeln!(f, "run {}: {first} to {last} UTC ({duration})", printable(run_id))?;
        let rows: Vec<_> = run.limiters.iter().map(cells).collect();
        let width = |column: usize| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([HEAD[column].chars().count()]).max().unwrap_or(0)
        };
        let widths: [usize; HEAD.len()] = std::array::from_fn(width);
        line(f, &widths, &HEAD.map(String::from))?;
        for row in &rows {
            line(f, &widths, row)?;
        }
    }
    Ok(())
}

fn cells(line: &Line) -> [String; HEAD.len()] {
    let changes = line.changes.iter().map(|(cause, n)| format!("{n} {}", printable(cause)));
    // No change of the ceiling, but whoever asks what has been done will ask for it, too.
    let paused = (line.paused > 0.0).then(|| format!("paused {}", percent(line.paused)));
    let changes: Vec<_> = changes.chain(paused).collect();
    let (ceiling, waiting) = (&line.ceiling, &line.waiting);
    let asked = line.acquired + line.cancelled;
    let waited = (asked > 0).then(|| percent((line.waited as f64 / asked as f64).min(1.0)));
    let reasons: Vec<_> = line.reasons.iter().map(|(reason, n)| format!("{n} {reason}")).collect();
    let refused = match &reasons[..] {
        [] => line.refused.to_string(),
        [one] => one.clone(),
        more => format!("{} ({})", line.refused, more.join(", ")),
    };
    [
        printable(&line.name),
        line.samples.to_string(),
        format!("{:.1}", line.in_flight.mean),
        line.in_flight.max.to_string(),
        format!("{:.1}", ceiling.mean),
        format!("{}–{}", ceiling.min, ceiling.max),
        line.last_ceiling.to_string(),
        percent(line.full),
        format!("{:.1}", waiting.mean),
        waiting.max.to_string(),
        waited.unwrap_or("–".into()),
        wait(line.wait_p50),
        wait(line.wait_p99),
        line.cancelled.to_string(),
        line.acquired.to_string(),
        refused,
        if changes.is_empty() { "none".into() } else { changes.join(", ") },
    ]
}

fn line(f: &mut fmt::Formatter<'_>, widths: &[usize], cells: &[String]) -> fmt::Result {
    let last = cells.len() - 1;
    let mut text = String::new();
    for (i, (cell, width)) in cells.iter().zip(widths).enumerate() {
        // Words to the left, numbers to the right.
        match i {
            0 => write!(text, "{cell:<width$}")?,
            i if i == last => write!(text, "  {cell}")?,
            _ => write!(text, "  {cell:>width$}")?,
        }
    }
    writeln!(f, "  {}", text.trim_end())
}
