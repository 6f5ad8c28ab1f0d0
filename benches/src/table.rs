//! The comparison as Markdown: one table a theme, a row a figure, a column a peer.

use std::fmt::Write as _;

use crate::measure::{Better, Figure, Row};
use crate::peers::{Grmgr, Kind, Peer, Tokio};

/// All tables.
#[must_use]
pub fn markdown(rows: &[Row]) -> String {
    let mut themes: Vec<&str> = rows.iter().map(|row| row.theme).collect();
    themes.dedup();
    themes
        .into_iter()
        .map(|theme| {
            let rows: Vec<&Row> = rows.iter().filter(|row| row.theme == theme).collect();
            one_theme(theme, &rows)
        })
        .collect()
}

fn one_theme(theme: &str, rows: &[&Row]) -> String {
    let peers = peers_of(rows);
    // Ratios say nothing where no figure is better than another.
    let ratios = rows.iter().any(|row| row.metric.better != Better::Neither);
    let mut table = format!("### {theme}\n\n| |");
    for (name, kind) in &peers {
        let shown = if *kind == Kind::Shown { " *" } else { "" };
        let _ = write!(table, " {name}{shown} |");
    }
    if ratios {
        table.push_str(" ÷ tokio | ÷ best peer |");
    }
    table.push_str(" spread |\n|---|");
    let columns = peers.len() + if ratios { 3 } else { 1 };
    table.push_str(&"---:|".repeat(columns));
    table.push('\n');
    for row in rows {
        table.push_str(&line(row, &peers, ratios));
    }
    table.push('\n');
    table
}

/// In the order ours, counted, shown, floors; each as first met.
fn peers_of(rows: &[&Row]) -> Vec<(&'static str, Kind)> {
    let mut peers: Vec<(&'static str, Kind)> = Vec::new();
    for kind in [Kind::Ours, Kind::Counted, Kind::Shown, Kind::Floor] {
        for column in rows.iter().flat_map(|row| &row.columns) {
            if column.kind == kind && !peers.contains(&(column.peer, kind)) {
                peers.push((column.peer, kind));
            }
        }
    }
    peers
}

fn line(row: &Row, peers: &[(&str, Kind)], ratios: bool) -> String {
    let unit = match row.metric.unit {
        "" => String::new(),
        unit => format!(", {unit}"),
    };
    let mut line = format!("| {}{unit} |", row.metric.name);
    for (peer, _) in peers {
        let value =
            row.column(peer).map_or_else(|| "–".into(), |column| number(row.figure(column).value));
        let _ = write!(line, " {value} |");
    }
    let ours = row.column(Grmgr::NAME);
    if ratios {
        let scored = ours.filter(|_| row.metric.better != Better::Neither);
        let tokio = scored.and_then(|ours| row.ratio(ours, row.column(Tokio::NAME)?));
        let best = scored.and_then(|ours| row.ratio(ours, row.best_counted()?));
        let _ = write!(line, " {} | {} |", ratio(tokio), ratio(best));
    }
    let spread = ours.map_or_else(|| "–".into(), |ours| percent(row.figure(ours).spread));
    let _ = writeln!(line, " {spread} |");
    line
}

fn ratio(figure: Option<Figure>) -> String {
    figure.map_or_else(
        || "–".into(),
        |Figure { value, spread }| {
            let half = value * spread / 2.0;
            format!("{value:.2} ± {half:.2}")
        },
    )
}

/// A share as a percentage.
#[must_use]
pub fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// Three digits that mean something, with commas between thousands.
#[must_use]
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    let decimals = match value.abs() {
        size if size == 0.0 || size >= 99.95 || size.fract() == 0.0 => 0,
        size if size >= 9.995 => 1,
        _ => 2,
    };
    let plain = format!("{value:.decimals$}");
    let (whole, fraction) = plain.split_at(plain.find('.').unwrap_or(plain.len()));
    let (sign, digits) = whole.split_at(usize::from(whole.starts_with('-')));
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}{fraction}")
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_show_three_digits_and_group_thousands() {
        assert_eq!(number(4.4149), "4.41");
        assert_eq!(number(21.64), "21.6");
        assert_eq!(number(151.2), "151");
        assert_eq!(number(1_314_789.6), "1,314,790");
        assert_eq!(number(-2_000.0), "-2,000");
        assert_eq!(number(2.0), "2");
    }
}
