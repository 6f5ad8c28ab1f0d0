//! Drawing it.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table, TableState};

use std::time::Duration;

use super::client::{Detail, Limiter};
use super::state::{Input, ORDERS, State};
use crate::words::{self, percent, printable};

const BAR: usize = 20;
const KEYS: &str = "j k select   Enter opens   u up   d down   s set   p pause   U D all   / filter   o order   q quit";

/// A column, and how wide the terminal has to be for it: what matters least goes first.
struct Column {
    title: &'static str,
    from: u16,
    width: Constraint,
    cell: fn(&Limiter) -> Cell<'static>,
}

const COLUMNS: [Column; 11] = [
    Column { title: "limiter", from: 0, width: Constraint::Fill(2), cell: name },
    Column {
        title: "in flight | ceiling",
        from: 106,
        width: Constraint::Length(BAR as u16 + 1),
        cell: |limiter| {
            let full = limiter.in_flight >= limiter.ceiling && limiter.waiting > 0;
            Cell::from(bar(limiter)).style(if full { Color::Magenta } else { Color::Blue })
        },
    },
    Column {
        title: "",
        from: 0,
        width: Constraint::Length(13),
        cell: |limiter| right(format!("{} / {}", limiter.in_flight, limiter.ceiling)),
    },
    Column {
        title: "waiting",
        from: 36,
        width: Constraint::Length(7),
        cell: |limiter| right(limiter.waiting.to_string()),
    },
    Column {
        title: "waited",
        from: 78,
        width: Constraint::Length(6),
        cell: |limiter| right(limiter.share_waited.map_or("–".into(), percent)),
    },
    Column {
        title: "p50",
        from: 110,
        width: Constraint::Length(7),
        cell: |limiter| right(wait(limiter.wait_p50_ms)),
    },
    Column {
        title: "p99",
        from: 88,
        width: Constraint::Length(7),
        cell: |limiter| right(wait(limiter.wait_p99_ms)),
    },
    Column {
        title: "per s",
        from: 56,
        width: Constraint::Length(7),
        cell: |limiter| right(format!("{:.0}", limiter.per_second)),
    },
    Column {
        title: "refused",
        from: 120,
        width: Constraint::Length(8),
        cell: |limiter| right(limiter.refused.to_string()),
    },
    Column { title: "hold", from: 56, width: Constraint::Length(5), cell: hold },
    Column { title: "last change", from: 132, width: Constraint::Fill(3), cell: change },
];

pub(super) fn draw(frame: &mut Frame<'_>, state: &mut State) {
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(2), Constraint::Min(1), Constraint::Length(2)])
            .areas(frame.area());
    frame.render_widget(header(state), head);
    if let Some(open) = &state.open {
        match state.detail() {
            Some(detail) => frame.render_widget(Paragraph::new(about(detail)), body),
            None => frame.render_widget(format!("no limiter is named {}", printable(open)), body),
        }
        frame.render_widget(Paragraph::new(footer(state)), foot);
        return;
    }
    if state.limiters().is_empty() {
        let none = match state.filter.is_empty() {
            true => "no limiter is registered yet",
            false => "no limiter has that in its name",
        };
        frame.render_widget(none, body);
    }
    let columns: Vec<_> = COLUMNS.iter().filter(|column| body.width >= column.from).collect();
    let row = |limiter| Row::new(columns.iter().map(|column| (column.cell)(limiter)));
    let titles = columns.iter().map(|column| column.title);
    let widths = columns.iter().map(|column| column.width);
    let mut table = Table::new(state.limiters().iter().map(row), widths)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    if !state.limiters().is_empty() {
        table = table.header(Row::new(titles).style(Style::new().dim()));
    }
    let mut selection = TableState::new().with_selected(state.position());
    frame.render_stateful_widget(table, body, &mut selection);
    frame.render_widget(Paragraph::new(footer(state)), foot);
}

fn header(state: &State) -> Line<'_> {
    let mut line = Line::from(vec![" grmgr top ".bold().reversed(), " ".into()]);
    line.push_span(Span::from(state.address.as_str()));
    if let Some(reason) = &state.lost {
        line.push_span(format!("   no answer: {reason}; trying again").fg(Color::Red));
        return line;
    }
    let Some(frame) = &state.frame else { return line };
    let at = state.position().map_or(0, |at| at + 1);
    line.push_span(format!("   {at}/{}", frame.matching));
    if frame.matching < frame.total {
        line.push_span(format!(" of {}", frame.total));
    }
    if state.order > 0 {
        line.push_span(format!(", {}", ORDERS[state.order].1));
    }
    if !state.filter.is_empty() {
        line.push_span(format!(", with {:?}", printable(&state.filter)));
    }
    let sum = &frame.summary;
    line.push_span(
        format!("   {} full, {} waiting, {} paused", sum.full, sum.waiting, sum.paused).bold(),
    );
    if let Some(pressure) = &frame.pressure {
        let color = if pressure.verdict == "overload" { Color::Red } else { Color::Reset };
        let avg10 = pressure.avg10.map_or(String::new(), |avg10| format!(" {avg10:.0} %"));
        line.push_span(format!("   CPU {}{avg10}", printable(&pressure.verdict)).fg(color));
    }
    if let Some(error) = frame.history.as_ref().and_then(|history| history.error.as_ref()) {
        line.push_span(format!("   history not written: {}", printable(error)).fg(Color::Red));
    }
    line
}

fn footer(state: &State) -> Vec<Line<'_>> {
    // What has been said has a line of its own, above the keys.
    let first = match &state.input {
        Input::Ceiling(typed) => {
            format!("new ceiling: {typed}_   Enter sets it, Esc does not").bold().into()
        }
        Input::Filter => {
            let typed = printable(&state.filter);
            format!("with this in the name: {typed}_   Enter keeps it, Esc shows all").bold().into()
        }
        Input::Answer(question, _) => format!("{question}?   y does it, any other key does not")
            .fg(Color::Yellow)
            .bold()
            .into(),
        Input::None => Line::from(said(&state.said).bold()),
    };
    vec![first, KEYS.dim().into()]
}

/// As [`printable`], but whole: what has been said is no name.
fn said(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}

/// All about one limiter.
fn about(detail: &Detail) -> Vec<Line<'static>> {
    let Detail { limiter: of, .. } = detail;
    let row = |title: &str, text: String| {
        Line::from(vec![format!("  {title:<18}").dim(), Span::from(text)])
    };
    let ms = |ms: Option<f64>| words::wait(ms.map(|ms| Duration::from_secs_f64(ms / 1e3)));
    let hold = |ms: u64| words::duration(Duration::from_millis(ms));
    let mut lines = vec![Line::from(printable(&of.name)).bold(), Line::from(bar(of))];
    let state = match of {
        Limiter { closed: true, .. } => "closed",
        Limiter { paused: true, .. } => "paused",
        _ if of.in_flight >= of.ceiling => "full",
        _ => "open",
    };
    lines.push(row("state", state.into()));
    lines.push(row("in flight", format!("{}, most ever {}", of.in_flight, of.peak_in_flight)));
    lines.push(row(
        "ceiling",
        format!("{}, set to {}, of {} to {}", of.ceiling, of.setting, of.min, of.max),
    ));
    lines.push(row("waiting", format!("{}, most ever {}", of.waiting, of.peak_waiting)));
    let share = of.share_waited.map_or("–".into(), percent);
    let (p50, p99) = (ms(of.wait_p50_ms), ms(of.wait_p99_ms));
    lines.push(row("waited", format!("{share}; of those p50 {p50}, p99 {p99}")));
    lines.push(row("admitted", format!("{:.0} a second", of.per_second)));
    let reasons = detail.reasons.iter().filter(|(_, n)| **n > 0);
    let reasons: Vec<_> = reasons.map(|(reason, n)| format!("{n} {}", printable(reason))).collect();
    let reasons = if reasons.is_empty() { "0".into() } else { reasons.join(", ") };
    lines.push(row("refused", reasons));
    lines.push(row("given up waiting", of.cancelled.to_string()));
    lines.push(row("steps", format!("{} up, {} down", detail.step_up, detail.step_down)));
    let holds = (hold(detail.holds_up_ms), hold(detail.holds_down_ms));
    lines.push(row("holds", format!("{} up, {} down", holds.0, holds.1)));
    for cap in &detail.caps {
        lines.push(row("cap", format!("{} by {}", cap.at, printable(&cap.cause))));
    }
    let last = of.last_change.as_ref().map_or("none".into(), |change| said(&change.said));
    lines.push(row("last change", last));
    for holder in detail.holders.iter().take(10) {
        let label = if holder.label.is_empty() { "(no label)" } else { &holder.label };
        let (count, held) = (holder.count, hold(holder.held_ms));
        lines.push(row("holder", format!("{count} for {held}: {}", printable(label))));
    }
    lines
}

fn right(text: String) -> Cell<'static> {
    Cell::from(Line::from(text).right_aligned())
}

/// Its state before its name: of a long name the end may be cut.
fn name(limiter: &Limiter) -> Cell<'static> {
    let name = printable(&limiter.name);
    match limiter {
        Limiter { closed: true, .. } => Line::from(vec!["closed ".fg(Color::Red), name.into()]),
        Limiter { paused: true, .. } => Line::from(vec!["paused ".fg(Color::Yellow), name.into()]),
        Limiter { capped_by: Some(_), .. } => {
            Line::from(vec!["capped ".fg(Color::Yellow), name.into()])
        }
        _ => Line::from(name),
    }
    .into()
}

fn wait(ms: Option<f64>) -> String {
    words::wait(ms.map(|ms| Duration::from_secs_f64(ms / 1e3)))
}

fn hold(limiter: &Limiter) -> Cell<'static> {
    right(match limiter.hold_up_ms.max(limiter.hold_down_ms) {
        0 => String::new(),
        ms => format!("{} s", ms.div_ceil(1_000)),
    })
}

fn change(limiter: &Limiter) -> Cell<'static> {
    let words = limiter.last_change.as_ref().map(|change| said(&change.said));
    words.unwrap_or_default().into()
}

/// From 0 to the highest ceiling: what is in flight, and a mark at the ceiling.
fn bar(limiter: &Limiter) -> String {
    let scale = limiter.max.max(limiter.in_flight).max(1);
    let cells = |n: usize| (n * BAR).div_ceil(scale).min(BAR);
    let (filled, ceiling, lowest) =
        (cells(limiter.in_flight), cells(limiter.ceiling), cells(limiter.min));
    let cell = |i: usize| match i {
        i if i == ceiling => '|',
        i if i < filled => '█',
        i if i < lowest => '-',
        _ => '·',
    };
    (0..=BAR).map(cell).collect()
}

#[cfg(test)]
mod tests {
    use super::super::state::tests::state;
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn screen(state: &mut State, width: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, 8)).unwrap();
        terminal.draw(|frame| draw(frame, state)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn a_limiter_is_a_line() {
        let mut state = state(&["db", "paused"]);
        let screen = screen(&mut state, 170);
        let line = screen.lines().find(|line| line.contains("db")).unwrap();
        for part in [
            "████████··|··········",
            "8 / 10",
            "6 %",
            "1.5 ms",
            "–",
            "5 s",
            "capped at 10 by pressure",
        ] {
            assert!(line.contains(part), "no {part} in {line}");
        }
        assert!(screen.contains("paused paused"));
        assert!(screen.contains("1/2 of 7   5 full, 31 waiting, 2 paused"), "{screen}");
        assert!(screen.contains("CPU overload 71 %"));
        assert!(screen.contains("history not written: the disk is full"));
    }

    #[test]
    fn one_that_is_open_is_told_in_detail() {
        let mut state = state(&["db"]);
        state.open = Some("db".into());
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        terminal.draw(|frame| draw(frame, &mut state)).unwrap();
        let screen = terminal.backend().to_string();
        for part in [
            "10, set to 12, of 2 to 20",
            "6 %; of those p50 1.5 ms, p99 –",
            "3 no_permits",
            "1 up, 50 % down",
            "10 by pressure",
            "2 for 1.5 s: report",
        ] {
            assert!(screen.contains(part), "no {part} in {screen}");
        }
        state.open = Some("nobody".into());
        terminal.draw(|frame| draw(frame, &mut state)).unwrap();
        assert!(terminal.backend().to_string().contains("no limiter is named nobody"));
    }

    #[test]
    fn any_size_and_any_name_can_be_drawn() {
        let mut state = state(&["\u{1b}[2J\n", "", "a name that is much longer than its column"]);
        for width in [1, 10, 40, 80, 300] {
            let screen = screen(&mut state, width);
            assert!(!screen.contains('\u{1b}'));
        }
        assert!(screen(&mut super::super::state::tests::state(&[]), 80).contains("no limiter is"));
    }

    #[test]
    fn in_a_narrow_terminal_the_name_and_the_numbers_stay() {
        let mut state = state(&["thumbnails", "paused"]);
        for width in [40, 60, 80, 100, 120] {
            let screen = screen(&mut state, width);
            let line = screen.lines().find(|line| line.contains("thumbnails"));
            assert!(line.is_some_and(|line| line.contains("8 / 10")), "{width}: {screen}");
            assert!(screen.contains("paused paused"), "{width}: {screen}");
        }
    }
}
