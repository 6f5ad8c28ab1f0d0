//! Charts as SVG: lines over time, one panel below the other.

use std::error::Error;

use plotters::prelude::*;

/// A line: its name, its colour and its points.
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) colour: RGBColor,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Lines with a scale in common.
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) top: f64,
    pub(crate) lines: Vec<Line>,
}

const WIDTH: u32 = 760;
/// Of a panel.
const HEIGHT: u32 = 240;
/// Width of the names beside a panel.
const LEGEND: u32 = 110;
const FONT: &str = "sans-serif";
/// As many points a line, at most.
const POINTS: usize = 240;

/// Draws the panels over the same time, in seconds.
///
/// # Errors
///
/// When the drawing library refuses.
pub(crate) fn draw(panels: &[Panel], seconds: f64) -> Result<String, Box<dyn Error>> {
    let mut image = String::new();
    {
        let size = (WIDTH, HEIGHT * panels.len() as u32);
        let whole = SVGBackend::with_string(&mut image, size).into_drawing_area();
        whole.fill(&WHITE)?;
        for (area, panel) in whole.split_evenly((panels.len(), 1)).iter().zip(panels) {
            let (area, legend) = area.split_horizontally(WIDTH - LEGEND);
            let mut chart = ChartBuilder::on(&area)
                .caption(&panel.title, (FONT, 14))
                .margin(8)
                .x_label_area_size(24)
                .y_label_area_size(44)
                .build_cartesian_2d(0.0..seconds, 0.0..panel.top)?;
            chart
                .configure_mesh()
                .disable_x_mesh()
                .light_line_style(TRANSPARENT)
                .label_style((FONT, 11))
                .x_label_formatter(&|time| format!("{time:.0} s"))
                .y_label_formatter(&|value| format!("{value:.0}"))
                .draw()?;
            for (line, below) in panel.lines.iter().zip((30..).step_by(15)) {
                let points =
                    thinned(&line.points).map(|(time, value)| (time, value.min(panel.top)));
                chart.draw_series(LineSeries::new(points, line.colour.stroke_width(2)))?;
                let style = (FONT, 11).into_font().color(&line.colour);
                legend.draw(&Text::new(line.name.as_str(), (8, below), style))?;
            }
        }
        whole.present()?;
    }
    Ok(image)
}

/// Means of stretches, so that the file stays small.
fn thinned(points: &[(f64, f64)]) -> impl Iterator<Item = (f64, f64)> {
    let mean = |stretch: &[(f64, f64)]| {
        let n = stretch.len() as f64;
        (stretch[0].0, stretch.iter().map(|point| point.1).sum::<f64>() / n)
    };
    points.chunks(points.len().div_ceil(POINTS).max(1)).map(mean)
}
