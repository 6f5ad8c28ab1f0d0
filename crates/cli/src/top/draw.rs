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

/// A column, and how wide the terminal has to be for it: what matters least goes first.
struct Column {
    title: &'static str,
    from: u16,
    width: Constraint,
    cell: fn(&Limiter) -> Cell<'static>,
}

const COLUMNS: [Column; 10] = [
    Column { title: "limiter", from: 0, width: Constraint::Fill(2), cell: name },
    Column {
        title: "in flight | ceiling",
        from: 72,
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
    Column { title: "last change", from: 100, width: Constraint::Fill(3), cell: change },
];

pub(super) fn draw(frame: &mut Frame<'_>, state: &mut State) {
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(2), Constraint::Min(1), Constraint::Length(2)])
            .areas(frame.area());
    frame.render_widget(header(state), head);
    if state.limiters().is_empty() {
        frame.render_widget("no limiter is registered yet", body);
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
        1 => "   1 limiter".into(),
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

fn right(text: String) -> Cell<'static> {
    Cell::from(Line::from(text).right_aligned())
}

/// Its state before its name: of a long name the end may be cut.
fn name(limiter: &Limiter) -> Cell<'static> {
    let name = printable(&limiter.name);
    match limiter {
        Limiter { closed: true, .. } => Line::from(vec!["closed ".fg(Color::Red), name.into()]),
        Limiter { paused: true, .. } => Line::from(vec!["paused ".fg(Color::Yellow), name.into()]),
        _ => Line::from(name),
    }
    .into()
}

fn wait(ms: Option<f64>) -> String {
    match ms {
        None => "–".into(),
        Some(ms) if ms < 1.0 => format!("{:.0} µs", ms * 1e3),
        Some(ms) if ms < 1e3 => format!("{ms:.0} ms"),
        Some(ms) => format!("{:.1} s", ms / 1e3),
    }
}

fn hold(limiter: &Limiter) -> Cell<'static> {
    right(match limiter.hold_ms {
        0 => String::new(),
        ms => format!("{} s", ms.div_ceil(1_000)),
    })
}

fn change(limiter: &Limiter) -> Cell<'static> {
    let words = limiter
        .last_change
        .as_ref()
        .map(|change| format!("{} → {} {}", change.from, change.to, printable(&change.cause)));
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
