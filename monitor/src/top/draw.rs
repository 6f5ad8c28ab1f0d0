//! Drawing it.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Row, Table, TableState};

use super::client::Limiter;
use super::state::State;
use crate::report::printable;

const BAR: usize = 20;
const KEYS: &str = "j k select   u up   d down   s set   p pause   U D all   q quit";

pub(super) fn draw(frame: &mut Frame<'_>, state: &mut State) {
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(2), Constraint::Min(1), Constraint::Length(2)])
            .areas(frame.area());
    frame.render_widget(header(state), head);
    let rows = state.limiters().iter().map(row);
    let widths = [
        Constraint::Fill(1),
        Constraint::Length(BAR as u16 + 2),
        Constraint::Length(13),
        Constraint::Length(8),
        Constraint::Length(8),
        Constraint::Length(8),
        Constraint::Length(9),
        Constraint::Length(8),
        Constraint::Length(5),
        Constraint::Fill(1),
    ];
    let titles = [
        "limiter",
        "in flight | ceiling",
        "",
        "waiting",
        "p50",
        "p99",
        "per s",
        "refused",
        "hold",
        "last change",
    ];
    let table = Table::new(rows, widths)
        .header(Row::new(titles).style(Style::new().dim()))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut selection = TableState::new().with_selected(state.position());
    frame.render_stateful_widget(table, body, &mut selection);
    frame.render_widget(footer(state), foot);
}

fn header(state: &State) -> Line<'_> {
    let mut line = Line::from(vec![" grmgr top ".bold().reversed(), " ".into()]);
    line.push_span(Span::from(state.address.as_str()));
    if let Some(reason) = &state.lost {
        line.push_span(format!("   no answer: {reason}; trying again").fg(Color::Red));
        return line;
    }
    let Some(frame) = &state.frame else { return line };
    let shown = frame.limiters.len();
    line.push_span(match frame.total {
        total if total > shown => format!("   {shown} of {total} limiters"),
        total => format!("   {total} limiters"),
    });
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

fn footer(state: &State) -> Line<'_> {
    match &state.typing {
        Some(typed) => format!("new ceiling: {typed}_   Enter sets it, Esc does not").bold().into(),
        None if state.said.is_empty() => KEYS.dim().into(),
        None => Line::from(vec![printable(&state.said).bold(), "   ".into(), KEYS.dim()]),
    }
}

fn row(limiter: &Limiter) -> Row<'static> {
    let right = |text: String| Cell::from(Line::from(text).right_aligned());
    let ms = |wait: Option<f64>| match wait {
        None => "–".into(),
        Some(ms) if ms < 1.0 => format!("{:.0} µs", ms * 1e3),
        Some(ms) if ms < 1e3 => format!("{ms:.0} ms"),
        Some(ms) => format!("{:.1} s", ms / 1e3),
    };
    let hold = match limiter.hold_ms {
        0 => String::new(),
        ms => format!("{} s", ms.div_ceil(1_000)),
    };
    let state = match limiter {
        Limiter { closed: true, .. } => " closed",
        Limiter { paused: true, .. } => " paused",
        _ => "",
    };
    let change = limiter.last_change.as_ref().map_or(String::new(), |change| {
        format!(" {} → {} {}", change.from, change.to, printable(&change.cause))
    });
    let full = limiter.in_flight >= limiter.ceiling && limiter.waiting > 0;
    Row::new(vec![
        Cell::from(format!("{}{state}", printable(&limiter.name))),
        Cell::from(bar(limiter)).style(if full { Color::Magenta } else { Color::Blue }),
        right(format!("{} / {}", limiter.in_flight, limiter.ceiling)),
        right(limiter.waiting.to_string()),
        right(ms(limiter.wait_p50_ms)),
        right(ms(limiter.wait_p99_ms)),
        right(format!("{:.0}", limiter.per_second)),
        right(limiter.refused.to_string()),
        right(hold),
        Cell::from(change),
    ])
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
        let screen = screen(&mut state, 140);
        let line = screen.lines().find(|line| line.contains("db")).unwrap();
        for part in ["████████··|··········", "8 / 10", "2 ms", "–", "5 s", "12 → 10 pressure"]
        {
            assert!(line.contains(part), "no {part} in {line}");
        }
        assert!(screen.contains("paused paused"));
        assert!(screen.contains("CPU overload 71 %"));
        assert!(screen.contains("history not written: the disk is full"));
    }

    #[test]
    fn any_size_and_any_name_can_be_drawn() {
        let mut state = state(&["\u{1b}[2J\n", "", "a name that is much longer than its column"]);
        for width in [1, 10, 40, 80, 300] {
            let screen = screen(&mut state, width);
            assert!(!screen.contains('\u{1b}'));
        }
    }
}
