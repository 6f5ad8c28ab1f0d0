//! Charts as SVG: lines over time, one panel below the other.

use std::fmt::Write;

/// A line: its name, its colour and its points.
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) colour: &'static str,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Lines with a scale in common.
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) top: f64,
    pub(crate) lines: Vec<Line>,
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 180.0;
const LEFT: f64 = 48.0;
const RIGHT: f64 = 130.0;
const ABOVE: f64 = 26.0;
const BELOW: f64 = 26.0;
/// As many points a line, at most.
const POINTS: usize = 240;

/// Draws the panels over the same time, in seconds.
pub(crate) fn draw(panels: &[Panel], seconds: f64) -> String {
    let whole = ABOVE + HEIGHT + BELOW;
    let height = whole * panels.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    let wide = WIDTH - LEFT - RIGHT;
    for (i, panel) in panels.iter().enumerate() {
        let base = whole * i as f64 + ABOVE + HEIGHT;
        let x = |time: f64| LEFT + time / seconds * wide;
        let y = |value: f64| base - value.min(panel.top) / panel.top * HEIGHT;
        let title = &panel.title;
        let _ = writeln!(
            svg,
            "<text x=\"{LEFT}\" y=\"{:.0}\" font-weight=\"bold\">{title}</text>",
            base - HEIGHT - 9.0
        );
        for step in 0..=4 {
            let value = panel.top * f64::from(step) / 4.0;
            let at = y(value);
            let _ = writeln!(
                svg,
                "<path d=\"M{LEFT} {at:.0}h{wide}\" stroke=\"#ddd\"/><text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{value:.0}</text>",
                LEFT - 5.0,
                at + 4.0
            );
            let time = seconds * f64::from(step) / 4.0;
            let _ = writeln!(
                svg,
                "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\">{time:.0} s</text>",
                x(time),
                base + 15.0
            );
        }
        for (j, line) in panel.lines.iter().enumerate() {
            let Line { name, colour, points } = line;
            let mut path = String::new();
            for (n, (time, value)) in thinned(points).into_iter().enumerate() {
                let letter = if n == 0 { 'M' } else { 'L' };
                let _ = write!(path, "{letter}{:.1} {:.1}", x(time), y(value));
            }
            let _ = writeln!(
                svg,
                "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/><text x=\"{:.0}\" y=\"{:.0}\" fill=\"{colour}\">{name}</text>",
                WIDTH - RIGHT + 8.0,
                base - HEIGHT + 12.0 + 15.0 * j as f64
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// Means of stretches, so that the file stays small.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let each = points.len().div_ceil(POINTS).max(1);
    let mean = |stretch: &[(f64, f64)]| {
        let n = stretch.len() as f64;
        (stretch[0].0, stretch.iter().map(|point| point.1).sum::<f64>() / n)
    };
    points.chunks(each).map(mean).collect()
}
