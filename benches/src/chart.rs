//! The curves as an SVG image that reads well on a light and on a dark page.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::curves::{Curve, Panel};
use crate::peers::Kind;
use crate::stats::median_and_spread;

const WIDTH: u32 = 1_320;
const HEIGHT: u32 = 500;
const LEGEND: u32 = 56;
/// Length of a line in the legend.
const SAMPLE: i32 = 26;
const FONT: &str = "sans-serif";

/// Stands for "the colour of text" in the drawing; the style sheet replaces it.
const INK: RGBColor = RGBColor(0x24, 0x29, 0x2f);
/// Stands for the grid.
const GRID: RGBColor = RGBColor(0xd0, 0xd7, 0xde);

/// The page's own scheme decides; there is no background, so that the page shows through.
const STYLE: &str = r##"<style>
@media (prefers-color-scheme: dark) {
  [fill="#24292F"] { fill: #e6edf3; }
  [stroke="#24292F"] { stroke: #e6edf3; }
  [stroke="#D0D7DE"] { stroke: #3d444d; }
}
</style>
"##;

/// A curve this many times above the usual is left out: it would press the others together.
const OFF_SCALE: f64 = 20.0;

type Failed = Box<dyn std::error::Error>;

/// Draws the panels side by side.
///
/// # Errors
///
/// When a panel has no points, or the drawing library refuses.
pub fn svg(panels: &[Panel]) -> Result<String, Failed> {
    let (panels, left_out) = on_scale(panels);
    let panels = panels.as_slice();
    let mut image = String::new();
    {
        let whole = SVGBackend::with_string(&mut image, (WIDTH, HEIGHT)).into_drawing_area();
        let (legend, charts) = whole.split_vertically(LEGEND);
        draw_legend(&legend, panels, &left_out)?;
        for (area, panel) in charts.split_evenly((1, panels.len())).iter().zip(panels) {
            draw_panel(area, panel)?;
        }
        whole.present()?;
    }
    Ok(with_style(&image))
}

/// Without the peers that are off the scale in some panel, and their names.
fn on_scale(panels: &[Panel]) -> (Vec<Panel>, Vec<&'static str>) {
    let middle = |curve: &Curve| {
        let values: Vec<f64> = curve.points.iter().map(|point| point.1).collect();
        median_and_spread(&values).0
    };
    let mut left_out = Vec::new();
    for panel in panels {
        let middles: Vec<f64> = panel.curves.iter().map(middle).collect();
        let usual = median_and_spread(&middles).0;
        let far = panel.curves.iter().filter(|curve| middle(curve) > usual * OFF_SCALE);
        left_out.extend(far.map(|curve| curve.peer));
    }
    left_out.sort_unstable();
    left_out.dedup();
    let mut panels = panels.to_vec();
    for panel in &mut panels {
        panel.curves.retain(|curve| !left_out.contains(&curve.peer));
    }
    (panels, left_out)
}

/// Right after the opening tag.
fn with_style(image: &str) -> String {
    let opening = image.find("<svg").and_then(|start| {
        let end = image[start..].find('>')?;
        Some(start + end + 1)
    });
    let (head, body) = image.split_at(opening.unwrap_or(0));
    format!("{head}\n{STYLE}{body}")
}

/// Colours of middling lightness, told apart on white as on black.
fn colour(place: usize, kind: Kind) -> RGBColor {
    const OURS: [RGBColor; 2] = [RGBColor(0xe5, 0x48, 0x3c), RGBColor(0xe0, 0x8a, 0x1e)];
    const PEERS: [RGBColor; 5] = [
        RGBColor(0x3b, 0x82, 0xf6),
        RGBColor(0x1a, 0x9e, 0x77),
        RGBColor(0x9b, 0x5d, 0xe5),
        RGBColor(0xd9, 0x4f, 0x9e),
        RGBColor(0x8a, 0x8f, 0x1f),
    ];
    const OTHERS: RGBColor = RGBColor(0x80, 0x88, 0x92);
    match kind {
        Kind::Ours => OURS[place % OURS.len()],
        Kind::Counted => PEERS[place % PEERS.len()],
        Kind::Shown | Kind::Floor => OTHERS,
    }
}

/// Every curve with its colour: its place among those of its kind picks it.
fn styled(panel: &Panel) -> impl Iterator<Item = (&Curve, ShapeStyle)> {
    panel.curves.iter().map(|curve| {
        let same_kind = panel.curves.iter().filter(|other| other.kind == curve.kind);
        let place = same_kind.take_while(|other| other.peer != curve.peer).count();
        let width = if curve.kind == Kind::Ours { 3 } else { 2 };
        let style = colour(place, curve.kind).stroke_width(width);
        (curve, style)
    })
}

/// Length of a dash, for those that are no counted peers.
fn dash(kind: Kind) -> Option<i32> {
    match kind {
        Kind::Ours | Kind::Counted => None,
        Kind::Shown => Some(8),
        Kind::Floor => Some(3),
    }
}

fn draw_legend(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    panels: &[Panel],
    left_out: &[&str],
) -> Result<(), Failed> {
    let Some(panel) = panels.iter().max_by_key(|panel| panel.curves.len()) else {
        return Ok(());
    };
    let text = (FONT, 15).into_font().color(&INK);
    let mut left = 24;
    for (curve, style) in styled(panel) {
        let length = dash(curve.kind).unwrap_or(SAMPLE);
        for start in (0..SAMPLE).step_by(length as usize + 4) {
            let end = (start + length).min(SAMPLE);
            area.draw(&PathElement::new([(left + start, 28), (left + end, 28)], style))?;
        }
        area.draw(&Text::new(curve.peer, (left + 34, 20), text.clone()))?;
        left += 60 + 8 * curve.peer.len() as i32;
    }
    if !left_out.is_empty() {
        let note = format!("off the scale: {}", left_out.join(", "));
        area.draw(&Text::new(note, (left, 20), text))?;
    }
    Ok(())
}

/// Where the vertical axis, seldom two decades high, has its lines.
fn one_two_five(range: &Range<f64>) -> Vec<f64> {
    let decades = (0..7).map(|power| 10_f64.powi(power));
    let lines = decades.flat_map(|one| [one, one * 2.0, one * 5.0]);
    // The library draws those outside as well.
    lines.filter(|line| range.contains(line)).collect()
}

fn draw_panel(area: &DrawingArea<SVGBackend<'_>, Shift>, panel: &Panel) -> Result<(), Failed> {
    let points = || panel.curves.iter().flat_map(|curve| &curve.points);
    let most = points().map(|point| point.0).fold(1.0, f64::max);
    let slowest = points().map(|point| point.1).fold(100.0, f64::max);
    let fastest = points().map(|point| point.1).fold(slowest, f64::min);
    let range = fastest * 0.8..slowest * 1.2;
    let lines = one_two_five(&range);
    let text = (FONT, 14).into_font().color(&INK);
    let title = (FONT, 17).into_font().color(&INK);
    let title = title.pos(Pos::new(HPos::Left, VPos::Top));

    let mut chart = ChartBuilder::on(area)
        .caption(&panel.title, title)
        .margin(12)
        .margin_right(32)
        .x_label_area_size(46)
        .y_label_area_size(64)
        .build_cartesian_2d((1.0..most).log_scale(), range.log_scale().with_key_points(lines))?;
    chart
        .configure_mesh()
        .axis_style(INK)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .label_style(text.clone())
        .axis_desc_style(text)
        .x_desc(panel.over)
        .y_desc("ns an operation")
        .x_labels(6)
        .y_labels(8)
        .x_label_formatter(&|size| crate::table::number(*size))
        .y_label_formatter(&|ns| crate::table::number(*ns))
        .draw()?;
    for (curve, style) in styled(panel) {
        let points = curve.points.iter().copied();
        match dash(curve.kind) {
            Some(length) => {
                chart.draw_series(DashedLineSeries::new(points, length as u32, 4, style))?;
            }
            None => {
                chart.draw_series(LineSeries::new(points, style))?;
            }
        }
    }
    Ok(())
}
