//! What is shown, and what keys do. No terminal here.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::client::{Detail, Frame, Limiter, News, Request, Wanted};

/// The orders that `o` goes through: what the dashboard calls them, and people.
pub(super) const ORDERS: [(&str, &str); 7] = [
    ("name", "by name"),
    ("full", "fullest first"),
    ("waiting", "most waiting first"),
    ("share", "largest share waiting first"),
    ("wait", "longest waits first"),
    ("rate", "most admitted first"),
    ("refused", "most refused first"),
];

/// Everything that is on the screen.
#[derive(Debug)]
pub(super) struct State {
    pub(super) address: String,
    pub(super) frame: Option<Frame>,
    /// Why there is no news.
    pub(super) lost: Option<String>,
    /// The name of the limiter that keys act on: it stays the same when others come and go.
    pub(super) selected: Option<String>,
    /// What came of the last key.
    pub(super) said: String,
    pub(super) input: Input,
    /// Part of the names.
    pub(super) filter: String,
    /// Which of [`ORDERS`].
    pub(super) order: usize,
    /// All about this one is shown.
    pub(super) open: Option<String>,
}

/// What keys go into.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Input {
    /// Commands.
    #[default]
    None,
    /// The ceiling that is being typed.
    Ceiling(String),
    /// A filter.
    Filter,
    /// The answer to a question.
    Answer(&'static str, Request),
}

/// What a key asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    None,
    Quit,
    Ask(Request),
}

impl State {
    pub(super) fn new(address: &str) -> Self {
        Self {
            address: address.into(),
            frame: None,
            lost: None,
            selected: None,
            said: String::new(),
            input: Input::None,
            filter: String::new(),
            order: 0,
            open: None,
        }
    }

    pub(super) fn limiters(&self) -> &[Limiter] {
        self.frame.as_ref().map_or(&[], |frame| &frame.limiters)
    }

    /// The limiter that is open, if the newest frame has it.
    pub(super) fn detail(&self) -> Option<&Detail> {
        let detail = self.frame.as_ref()?.detail.as_ref()?;
        (self.open.as_ref() == Some(&detail.limiter.name)).then_some(detail)
    }

    /// Where the selected limiter stands; the first, if it is gone.
    pub(super) fn position(&self) -> Option<usize> {
        let limiters = self.limiters();
        let of = |name: &String| limiters.iter().position(|limiter| limiter.name == *name);
        self.selected.as_ref().and_then(of).or((!limiters.is_empty()).then_some(0))
    }

    pub(super) fn wanted(&self) -> Wanted {
        let (part, detail) = (self.filter.clone(), self.open.clone());
        Wanted { part, order: ORDERS[self.order].0, detail }
    }

    pub(super) fn hear(&mut self, news: News) {
        match news {
            News::Frame(frame) => {
                self.frame = Some(*frame);
                self.lost = None;
            }
            News::Outcome(said) => self.said = said,
            News::Lost(reason) => self.lost = Some(reason),
        }
    }

    pub(super) fn key(&mut self, key: KeyEvent) -> Reaction {
        if key.kind != KeyEventKind::Press {
            return Reaction::None;
        }
        if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
            return Reaction::Quit;
        }
        match std::mem::take(&mut self.input) {
            Input::None => self.command(key.code),
            Input::Ceiling(typed) => self.type_ceiling(typed, key.code),
            Input::Filter => self.type_filter(key.code),
            Input::Answer(_, request) => match key.code {
                KeyCode::Char('y') | KeyCode::Enter => Reaction::Ask(request),
                _ => {
                    self.said = "nothing done".into();
                    Reaction::None
                }
            },
        }
    }

    fn command(&mut self, key: KeyCode) -> Reaction {
        match key {
            KeyCode::Char('q') => return Reaction::Quit,
            KeyCode::Esc if self.open.is_some() => return self.show(|state| state.open = None),
            KeyCode::Esc if !self.filter.is_empty() => {
                return self.show(|state| state.filter.clear());
            }
            KeyCode::Esc => return Reaction::Quit,
            KeyCode::Enter => {
                let Some(name) = self.name() else { return Reaction::None };
                return self.show(|state| state.open = Some(name));
            }
            KeyCode::Char('/') => self.input = Input::Filter,
            KeyCode::Char('o') => {
                return self.show(|state| state.order = (state.order + 1) % ORDERS.len());
            }
            KeyCode::Char('j') | KeyCode::Down => return self.go(1),
            KeyCode::Char('k') | KeyCode::Up => return self.go(-1),
            KeyCode::PageDown => return self.go(20),
            KeyCode::PageUp => return self.go(-20),
            KeyCode::Home => return self.go(isize::MIN),
            KeyCode::End => return self.go(isize::MAX),
            KeyCode::Char('u') => return self.press("up", None),
            KeyCode::Char('d') => return self.press("down", None),
            KeyCode::Char('p') => {
                let Some(at) = self.position() else { return Reaction::None };
                if self.limiters()[at].paused {
                    return self.press("resume", None);
                }
                let limiter = self.limiters()[at].name.clone();
                let request = Request::One { limiter, action: "pause", ceiling: None };
                self.input =
                    Input::Answer("pause it: nothing is granted until it is resumed", request);
            }
            KeyCode::Char('s') if self.position().is_some() => {
                self.input = Input::Ceiling(String::new());
            }
            KeyCode::Char('U') => {
                self.input = Input::Answer("raise all of them", Request::All { action: "up" });
            }
            KeyCode::Char('D') => {
                self.input = Input::Answer("lower all of them", Request::All { action: "down" });
            }
            _ => {}
        }
        Reaction::None
    }

    fn type_ceiling(&mut self, mut typed: String, key: KeyCode) -> Reaction {
        match key {
            KeyCode::Esc => return Reaction::None,
            KeyCode::Enter => {
                return match typed.parse() {
                    Ok(ceiling) => self.press("set", Some(ceiling)),
                    Err(_) => {
                        self.said = "not set: give a number".into();
                        Reaction::None
                    }
                };
            }
            KeyCode::Backspace => {
                typed.pop();
            }
            KeyCode::Char(digit) if digit.is_ascii_digit() && typed.len() < 9 => typed.push(digit),
            _ => {}
        }
        self.input = Input::Ceiling(typed);
        Reaction::None
    }

    /// What matches is shown with each key.
    fn type_filter(&mut self, key: KeyCode) -> Reaction {
        match key {
            KeyCode::Enter => return Reaction::None,
            KeyCode::Esc => return self.show(|state| state.filter.clear()),
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(char) if self.filter.len() < 200 => self.filter.push(char),
            _ => {}
        }
        self.input = Input::Filter;
        self.show(|_| {})
    }

    fn show(&mut self, change: impl FnOnce(&mut Self)) -> Reaction {
        change(self);
        Reaction::Ask(Request::Show(self.wanted()))
    }

    /// Of the limiter that keys act on.
    fn name(&self) -> Option<String> {
        self.position().map(|at| self.limiters()[at].name.clone())
    }

    fn go(&mut self, step: isize) -> Reaction {
        let Some(at) = self.position() else { return Reaction::None };
        let at = at.saturating_add_signed(step).min(self.limiters().len() - 1);
        let name = self.limiters()[at].name.clone();
        self.selected = Some(name.clone());
        match self.open {
            Some(_) => self.show(|state| state.open = Some(name)),
            None => Reaction::None,
        }
    }

    fn press(&mut self, action: &'static str, ceiling: Option<usize>) -> Reaction {
        let Some(limiter) = self.name() else { return Reaction::None };
        self.selected = Some(limiter.clone());
        Reaction::Ask(Request::One { limiter, action, ceiling })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn state(names: &[&str]) -> State {
        let limiter = |name: &&str| {
            serde_json::json!({ "name": name, "in_flight": 8, "ceiling": 10, "setting": 12, "min": 2,
                "max": 20, "waiting": 3, "paused": *name == "paused", "closed": false,
                "capped_by": "pressure", "share_waited": 0.06, "wait_p50_ms": 1.5,
                "wait_p99_ms": null, "per_second": 12.0, "cancelled": 4, "refused": 0,
                "peak_in_flight": 9, "peak_waiting": 7, "hold_up_ms": 4_100, "hold_down_ms": 0,
                "last_change": { "said": "capped at 10 by pressure" } })
        };
        let limiters: Vec<_> = names.iter().map(limiter).collect();
        let mut detail = names.first().map(limiter);
        if let Some(detail) = &mut detail {
            for (key, value) in [
                ("step_up", serde_json::json!("1")),
                ("step_down", serde_json::json!("50 %")),
                ("holds_up_ms", serde_json::json!(30_000)),
                ("holds_down_ms", serde_json::json!(0)),
                ("caps", serde_json::json!([{ "cause": "pressure", "at": 10 }])),
                ("reasons", serde_json::json!({ "closed": 0, "no_permits": 3 })),
                (
                    "holders",
                    serde_json::json!([{ "label": "report", "count": 2, "held_ms": 1_500 }]),
                ),
            ] {
                detail[key] = value;
            }
        }
        let frame = serde_json::json!({ "total": names.len() + 5, "matching": names.len(),
            "summary": { "full": 5, "waiting": 31, "paused": 2 }, "limiters": limiters,
            "detail": detail, "history": { "error": "the disk is full" },
            "pressure": { "verdict": "overload", "avg10": 71.2 } });
        let mut state = State::new("127.0.0.1:9187");
        state.hear(News::Frame(Box::new(serde_json::from_value(frame).unwrap())));
        state
    }

    fn keys(state: &mut State, keys: &str) -> Vec<Reaction> {
        let code = |key| match key {
            '\n' => KeyCode::Enter,
            '<' => KeyCode::Backspace,
            '!' => KeyCode::Esc,
            key => KeyCode::Char(key),
        };
        keys.chars().map(|key| state.key(code(key).into())).collect()
    }

    fn last(state: &mut State, these: &str) -> Reaction {
        keys(state, these).pop().unwrap()
    }

    fn one(limiter: &str, action: &'static str, ceiling: Option<usize>) -> Reaction {
        Reaction::Ask(Request::One { limiter: limiter.into(), action, ceiling })
    }

    fn shown(reaction: Reaction) -> Wanted {
        let Reaction::Ask(Request::Show(wanted)) = reaction else { panic!("{reaction:?}") };
        wanted
    }

    #[test]
    fn keys_act_on_the_selected_limiter() {
        let mut state = state(&["a", "b", "paused"]);
        assert_eq!(keys(&mut state, "u"), [one("a", "up", None)]);
        assert_eq!(last(&mut state, "jd"), one("b", "down", None));
        assert_eq!(last(&mut state, "jjjp"), one("paused", "resume", None));
        assert_eq!(last(&mut state, "q"), Reaction::Quit);
    }

    #[test]
    fn a_pause_and_all_at_once_are_asked_for_twice() {
        let mut state = state(&["a", "b"]);
        assert_eq!(last(&mut state, "p"), Reaction::None);
        assert_eq!(last(&mut state, "y"), one("a", "pause", None));
        assert_eq!(keys(&mut state, "pn"), [Reaction::None, Reaction::None]);
        assert_eq!(keys(&mut state, "Dq"), [Reaction::None, Reaction::None], "any other key is no");
        assert_eq!(last(&mut state, "D\n"), Reaction::Ask(Request::All { action: "down" }));
    }

    #[test]
    fn a_ceiling_is_typed_and_nothing_else_happens_meanwhile() {
        let mut state = state(&["a"]);
        let reactions = keys(&mut state, "s1x<25q\n");
        assert_eq!(reactions.last(), Some(&one("a", "set", Some(25))));
        assert!(reactions[..reactions.len() - 1].iter().all(|r| *r == Reaction::None));
        assert_eq!(last(&mut state, "s\n"), Reaction::None);
        assert!(state.said.contains("give a number"));
    }

    #[test]
    fn a_filter_and_an_order_are_asked_for() {
        let mut state = state(&["a"]);
        assert_eq!(shown(last(&mut state, "/dqx<")).part, "dq");
        assert_eq!(last(&mut state, "\n"), Reaction::None);
        let wanted = shown(last(&mut state, "oo"));
        assert_eq!((wanted.part.as_str(), wanted.order), ("dq", "waiting"));
        assert_eq!(shown(last(&mut state, "!")).part, "", "Escape: all of them again");
        assert_eq!(last(&mut state, "!"), Reaction::Quit);
    }

    #[test]
    fn one_is_opened_and_left() {
        let mut state = state(&["a", "b"]);
        assert_eq!(shown(last(&mut state, "\n")).detail.as_deref(), Some("a"));
        assert_eq!(state.detail().unwrap().limiter.name, "a");
        assert_eq!(shown(last(&mut state, "j")).detail.as_deref(), Some("b"), "the next one");
        assert_eq!(last(&mut state, "u"), one("b", "up", None));
        assert_eq!(shown(last(&mut state, "!")).detail, None);
    }

    #[test]
    fn the_selection_stays_with_its_limiter() {
        let mut state = state(&["a", "c"]);
        keys(&mut state, "j");
        state.hear(News::Frame(Box::new(tests::state(&["a", "b", "c"]).frame.unwrap())));
        assert_eq!(keys(&mut state, "u"), [one("c", "up", None)]);
        state.hear(News::Frame(Box::new(tests::state(&[]).frame.unwrap())));
        assert_eq!(keys(&mut state, "ujks"), [(); 4].map(|()| Reaction::None));
    }
}
