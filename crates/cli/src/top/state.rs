//! What is shown, and what keys do. No terminal here.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::client::{Frame, Limiter, News, Press};

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
    /// The ceiling that is being typed.
    pub(super) typing: Option<String>,
}

/// What a key asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    None,
    Quit,
    Press(Press),
}

impl State {
    pub(super) fn new(address: &str) -> Self {
        Self {
            address: address.into(),
            frame: None,
            lost: None,
            selected: None,
            said: String::new(),
            typing: None,
        }
    }

    pub(super) fn limiters(&self) -> &[Limiter] {
        self.frame.as_ref().map_or(&[], |frame| &frame.limiters)
    }

    /// Where the selected limiter stands; the first, if it is gone.
    pub(super) fn position(&self) -> Option<usize> {
        let limiters = self.limiters();
        let of = |name: &String| limiters.iter().position(|limiter| limiter.name == *name);
        self.selected.as_ref().and_then(of).or((!limiters.is_empty()).then_some(0))
    }

    pub(super) fn hear(&mut self, news: News) {
        match news {
            News::Frame(frame) => {
                self.frame = Some(frame);
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
        match self.typing.take() {
            Some(typed) => self.type_on(typed, key.code),
            None => self.command(key.code),
        }
    }

    fn command(&mut self, key: KeyCode) -> Reaction {
        match key {
            KeyCode::Char('q') | KeyCode::Esc => return Reaction::Quit,
            KeyCode::Char('j') | KeyCode::Down => self.go(1),
            KeyCode::Char('k') | KeyCode::Up => self.go(-1),
            KeyCode::Char('u') => return self.press("up", None),
            KeyCode::Char('d') => return self.press("down", None),
            KeyCode::Char('p') => {
                let paused = self.position().is_some_and(|at| self.limiters()[at].paused);
                return self.press(if paused { "resume" } else { "pause" }, None);
            }
            KeyCode::Char('s') if self.position().is_some() => self.typing = Some(String::new()),
            KeyCode::Char('U') => return Reaction::Press(Press::All { action: "up" }),
            KeyCode::Char('D') => return Reaction::Press(Press::All { action: "down" }),
            _ => {}
        }
        Reaction::None
    }

    fn type_on(&mut self, mut typed: String, key: KeyCode) -> Reaction {
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
        self.typing = Some(typed);
        Reaction::None
    }

    fn go(&mut self, step: isize) {
        let Some(at) = self.position() else { return };
        let at = at.saturating_add_signed(step).min(self.limiters().len() - 1);
        self.selected = Some(self.limiters()[at].name.clone());
    }

    fn press(&mut self, action: &'static str, ceiling: Option<usize>) -> Reaction {
        let Some(at) = self.position() else { return Reaction::None };
        let limiter = self.limiters()[at].name.clone();
        self.selected = Some(limiter.clone());
        Reaction::Press(Press::One { limiter, action, ceiling })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn state(names: &[&str]) -> State {
        let limiter = |name: &&str| {
            serde_json::json!({ "name": name, "in_flight": 8, "ceiling": 10, "min": 2, "max": 20,
                "waiting": 3, "paused": *name == "paused", "closed": false, "wait_p50_ms": 1.5,
                "wait_p99_ms": null, "per_second": 12.0, "refused": 0, "hold_ms": 4_100,
                "last_change": { "from": 12, "to": 10, "cause": "pressure" } })
        };
        let limiters: Vec<_> = names.iter().map(limiter).collect();
        let frame = serde_json::json!({ "total": names.len(), "limiters": limiters,
            "history": { "error": "the disk is full" },
            "pressure": { "verdict": "overload", "avg10": 71.2 } });
        let mut state = State::new("127.0.0.1:9187");
        state.hear(News::Frame(serde_json::from_value(frame).unwrap()));
        state
    }

    fn keys(state: &mut State, keys: &str) -> Vec<Reaction> {
        let code = |key| match key {
            '\n' => KeyCode::Enter,
            '<' => KeyCode::Backspace,
            key => KeyCode::Char(key),
        };
        keys.chars().map(|key| state.key(code(key).into())).collect()
    }

    fn one(limiter: &str, action: &'static str, ceiling: Option<usize>) -> Reaction {
        Reaction::Press(Press::One { limiter: limiter.into(), action, ceiling })
    }

    #[test]
    fn keys_act_on_the_selected_limiter() {
        let mut state = state(&["a", "b", "paused"]);
        assert_eq!(keys(&mut state, "u"), [one("a", "up", None)]);
        assert_eq!(keys(&mut state, "jd").pop(), Some(one("b", "down", None)));
        assert_eq!(keys(&mut state, "jjjp").pop(), Some(one("paused", "resume", None)));
        assert_eq!(keys(&mut state, "kkkkp").pop(), Some(one("a", "pause", None)));
        assert_eq!(keys(&mut state, "D"), [Reaction::Press(Press::All { action: "down" })]);
        assert_eq!(keys(&mut state, "q"), [Reaction::Quit]);
    }

    #[test]
    fn a_ceiling_is_typed_and_nothing_else_happens_meanwhile() {
        let mut state = state(&["a"]);
        let reactions = keys(&mut state, "s1x<25q\n");
        assert_eq!(reactions.last(), Some(&one("a", "set", Some(25))));
        assert!(reactions[..reactions.len() - 1].iter().all(|r| *r == Reaction::None));
        assert_eq!(keys(&mut state, "s\n").pop(), Some(Reaction::None));
        assert!(state.said.contains("give a number"));
    }

    #[test]
    fn the_selection_stays_with_its_limiter() {
        let mut state = state(&["a", "c"]);
        keys(&mut state, "j");
        state.hear(News::Frame(tests::state(&["a", "b", "c"]).frame.unwrap()));
        assert_eq!(keys(&mut state, "u"), [one("c", "up", None)]);
        state.hear(News::Frame(tests::state(&[]).frame.unwrap()));
        assert_eq!(keys(&mut state, "ujks"), [(); 4].map(|()| Reaction::None));
    }
}
