//! In-flight against ceiling, drawn by `plotters`.

use grmgr_monitor::recorded::{Line, Run};
use plotters::coord::combinators::BindKeyPoints;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::words::{percent, printable, wait};

const WIDTH: u32 = 960;
const PANEL: u32 = 190;
const TITLE: u32 = 44;
/// Panels at most; a chart of hundreds says nothing.
const PANELS: usize = 24;

const FLIGHT: RGBColor = RGBColor(0x2f, 0x6f, 0xed);
const CEILING: RGBColor = RGBColor(0xb4, 0x54, 0x0a);
const INK: RGBColor = RGBColor(0x16, 0x19, 0x1d);
const SOFT: RGBColor = RGBColor(0x5d, 0x66, 0x73);
const FAINT: RGBColor = RGBColor(0xe6, 0xe9, 0xed);

pub(super) fn svg(runs: &[Run]) -> Result<String, String> {
    let panels = runs.iter().flat_map(|run| run.limiters.iter().map(move |line| (run, line)));
    let mut panels: Vec<_> = panels.filter(|(_, line)| !line.points.is_empty()).collect();
    let left_out = panels.len().saturating_sub(PANELS);
    if left_out > 0 {
        // The busiest, each in its place.
        let mut busy: Vec<_> = panels.iter().map(|(_, line)| line.acquired).collect();
        busy.sort_unstable_by(|a, b| b.cmp(a));
        panels.retain(|(_, line)| line.acquired >= busy[PANELS - 1]);
        panels.truncate(PANELS);
    }
    let mut svg = String::new();
    let height = TITLE + PANEL * panels.len().max(1) as u32;
    draw(&mut svg, height, &panels, left_out, runs.len() > 1).map_err(|e| e.to_string())?;
    Ok(svg)
}

type Failed = Box<dyn std::error::Error>;

fn draw(
    svg: &mut String,
    height: u32,
    panels: &[(&Run, &Line)],
    left_out: usize,
    several: bool,
) -> Result<(), Failed> {
    let root = SVGBackend::with_string(svg, (WIDTH, height)).into_drawing_area();
    root.fill(&WHITE)?;
    let words = |size: i32, color: &RGBColor| ("sans-serif", size).into_font().color(color);
    let (head, body) = root.split_vertically(TITLE);
    head.draw_text("In flight", &words(16, &FLIGHT), (16, 16))?;
    head.draw_text("Ceiling", &words(16, &CEILING), (92, 16))?;
    head.draw_text("dashed: it was moved, shaded: paused", &words(13, &SOFT), (160, 18))?;
    if left_out > 0 {
        let text = format!("the busiest {} limiters; {left_out} more are in the table", PANELS);
        head.draw_text(&text, &words(13, &SOFT), (430, 18))?;
    }
    if panels.is_empty() {
        body.draw_text("No samples have been recorded yet.", &words(15, &SOFT), (16, 16))?;
    }
    for (area, (run, line)) in body.split_evenly((panels.len().max(1), 1)).iter().zip(panels) {
        let name = printable(&line.name);
        let title = if several { format!("{name}  ({})", printable(&run.run_id)) } else { name };
        area.draw_text(&title, &words(15, &INK), (16, 4))?;
        let right = Pos::new(HPos::Right, VPos::Top);
        area.draw_text(&waits(line), &words(12, &SOFT).pos(right), (WIDTH as i32 - 10, 6))?;
        panel(&area.margin(24, 8, 8, 20), line)?;
    }
    root.present()?;
    Ok(())
}

/// How long requests waited, in a line.
fn waits(line: &Line) -> String {
    let asked = line.acquired + line.cancelled;
    if line.waited == 0 || asked == 0 {
        return "nobody waited".into();
    }
    let share = percent((line.waited as f64 / asked as f64).min(1.0));
    let (p50, p99) = (wait(line.wait_p50), wait(line.wait_p99));
    format!("{share} waited; of those p50 {p50}, p99 {p99}; {} gave up", line.cancelled)
}

fn panel<DB: DrawingBackend>(
    area: &DrawingArea<DB, plotters::coord::Shift>,
    line: &Line,
) -> Result<(), Failed>
where
    DB::ErrorType: 'static,
{
    let (Some(first), Some(last)) = (line.points.first(), line.points.last()) else {
        return Ok(());
    };
    let (begin, end) = (first.unix_ms, last.unix_ms.max(first.unix_ms + 1_000));
    let top = line.points.iter().fold(1.0, |top: f64, p| top.max(p.in_flight).max(p.ceiling));
    let mut chart =
        ChartBuilder::on(area).x_label_area_size(22).y_label_area_size(44).build_cartesian_2d(
            (begin..end).with_key_points(round_times(begin, end)),
            0.0..top * 1.1,
        )?;
    let label = ("sans-serif", 12).into_font().color(&SOFT);
    let long = end - begin > 2 * 86_400_000;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(FAINT)
        .axis_style(FAINT)
        .label_style(label)
        .y_labels(4)
        .x_label_formatter(&|ms| time(*ms, long))
        .y_label_formatter(&|n| format!("{n:.0}"))
        .draw()?;
    // Behind the lines: where it was paused, and where its setting or a cap has moved.
    let mut paused_since = None;
    for point in &line.points {
        match (point.paused, paused_since) {
            (true, None) => paused_since = Some(point.unix_ms),
            (false, Some(since)) => {
                chart.draw_series([shade(since, point.unix_ms, top)])?;
                paused_since = None;
            }
            _ => {}
        }
    }
    if let Some(since) = paused_since {
        chart.draw_series([shade(since, end, top)])?;
    }
    for change in &line.change_points {
        let from_to = vec![(change.unix_ms, 0.0), (change.unix_ms, top * 1.1)];
        chart.draw_series(DashedLineSeries::new(from_to, 2, 3, SOFT.stroke_width(1)))?;
    }
    let flight = line.points.iter().map(|p| (p.unix_ms, p.in_flight));
    chart.draw_series(AreaSeries::new(flight, 0.0, FLIGHT.mix(0.15)).border_style(FLIGHT))?;
    // In steps: between two samples the ceiling stays.
    let mut steps: Vec<(i64, f64)> = Vec::with_capacity(line.points.len() * 2);
    for point in &line.points {
        if let Some((_, before)) = steps.last().copied() {
            steps.push((point.unix_ms, before));
        }
        steps.push((point.unix_ms, point.ceiling));
    }
    chart.draw_series(LineSeries::new(steps, CEILING.stroke_width(2)))?;
    Ok(())
}

fn shade(from: i64, to: i64, top: f64) -> Rectangle<(i64, f64)> {
    Rectangle::new([(from, 0.0), (to, top * 1.1)], SOFT.mix(0.15).filled())
}

/// Between 4 and 9 times within the span that people find on a clock, UTC.
fn round_times(begin: i64, end: i64) -> Vec<i64> {
    const SECOND: i64 = 1_000;
    const MINUTE: i64 = 60 * SECOND;
    const HOUR: i64 = 60 * MINUTE;
    const STEPS: [i64; 20] = [
        SECOND,
        2 * SECOND,
        5 * SECOND,
        10 * SECOND,
        15 * SECOND,
        30 * SECOND,
        MINUTE,
        2 * MINUTE,
        5 * MINUTE,
        10 * MINUTE,
        15 * MINUTE,
        30 * MINUTE,
        HOUR,
        2 * HOUR,
        3 * HOUR,
        6 * HOUR,
        12 * HOUR,
        24 * HOUR,
        48 * HOUR,
        7 * 24 * HOUR,
    ];
    let fits = |step: &&i64| (end - begin) / **step <= 9;
    let step = STEPS.iter().find(fits).copied().unwrap_or(((end - begin) / 8).max(1));
    let first = begin + (-begin).rem_euclid(step);
    (first..=end).step_by(step as usize).collect()
}

/// UTC, without a calendar: the time of day, or days and hours since the first.
fn time(unix_ms: i64, long: bool) -> String {
    let minutes = unix_ms.div_euclid(60_000);
    let (hour, minute) = (minutes.div_euclid(60).rem_euclid(24), minutes.rem_euclid(60));
    if long {
        let day = minutes.div_euclid(24 * 60);
        let (_, month, day) = civil(day);
        format!("{month:02}-{day:02} {hour:02}:{minute:02}")
    } else {
        format!("{hour:02}:{minute:02}:{:02}", unix_ms.div_euclid(1_000).rem_euclid(60))
    }
}

/// Year, month and day of a day since 1970 (the algorithm by Howard Hinnant).
fn civil(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    (year, month, of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_round() {
        let hour = 3_600_000;
        let noon = 1_764_072_000_000;
        assert_eq!(noon % (24 * hour), 12 * hour);
        for span in [1_000, 70_000, 600_000, 5 * hour, 26 * hour, 170 * hour] {
            let times = round_times(noon + 123, noon + 123 + span);
            assert!((1..=10).contains(&times.len()), "{span}: {}", times.len());
            assert!(times.iter().all(|at| at % 1_000 == 0), "{span}: {times:?}");
        }
        let times = round_times(noon + 1, noon + 600_000);
        assert_eq!(times[..2], [noon + 60_000, noon + 120_000]);
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(20_454), (2026, 1, 1));
    }
}
