//! In columns.

use std::fmt::{self, Write};

use grmgr_monitor::recorded::{Line, Run};

const HEAD: [&str; 13] = [
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
    "granted",
    "refused",
    "changes",
];
/// Longer names are cut.
const NAME: usize = 40;

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
        let duration = duration(run.seconds);
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
    let paused = (line.paused > 0.0).then(|| format!("paused {:.0} %", line.paused * 100.0));
    let changes: Vec<_> = changes.chain(paused).collect();
    let (ceiling, waiting) = (&line.ceiling, &line.waiting);
    [
        printable(&line.name),
        line.samples.to_string(),
        format!("{:.1}", line.in_flight.mean),
        line.in_flight.max.to_string(),
        format!("{:.1}", ceiling.mean),
        format!("{}–{}", ceiling.min, ceiling.max),
        line.last_ceiling.to_string(),
        format!("{:.0} %", line.full * 100.0),
        format!("{:.1}", waiting.mean),
        waiting.max.to_string(),
        line.acquired.to_string(),
        line.refused.to_string(),
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

/// A name as it may go to a terminal: without control characters.
pub(crate) fn printable(name: &str) -> String {
    let mut text = String::new();
    for char in name.chars() {
        if char.is_control() || matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            text.extend(char.escape_default());
        } else {
            text.push(char);
        }
    }
    if text.chars().count() > NAME {
        text = text.chars().take(NAME - 1).chain(['…']).collect();
    }
    text
}

fn duration(seconds: i64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} days", seconds / 86_400),
    }
}
