//! `grmgr top`: a running program's limiters in a terminal, through its dashboard.

// `client` talks to the dashboard from a thread of its own, so that a slow answer never holds up a
// key; `state` is what is shown and what keys do, without a terminal; `draw` draws it.

mod client;
mod draw;
mod state;

use std::fmt;
use std::io::{self, IsTerminal};
use std::time::Duration;

use ratatui::crossterm::event::{self, Event};

use client::Client;
use state::{Reaction, State};

/// Why there is nothing to see.
#[derive(Debug)]
pub(crate) enum TopError {
    /// The dashboard does not answer, or is none.
    Dashboard {
        /// The address that was asked.
        address: String,
        /// What came instead of an answer.
        reason: String,
    },
    /// The terminal cannot be used.
    Terminal(io::Error),
}

impl fmt::Display for TopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dashboard { address, reason } => write!(
                f,
                "no dashboard at {address}: {reason}. Give the address that the program's monitor \
                 serves it at, such as 127.0.0.1:9187"
            ),
            Self::Terminal(error) => write!(f, "cannot use this terminal: {error}"),
        }
    }
}

impl std::error::Error for TopError {}

/// Shows the limiters of the program whose dashboard is at this address until `q` is pressed. The
/// token is what the program's monitor was given, if it was.
///
/// # Errors
///
/// If the dashboard does not answer at first, or the terminal cannot be used. A dashboard that is
/// lost later is waited for.
pub(crate) fn run(address: &str, token: Option<String>) -> Result<(), TopError> {
    let state = State::new(address);
    let client = Client::connect(address, token, state.wanted())
        .map_err(|reason| TopError::Dashboard { address: address.into(), reason })?;
    if !io::stdout().is_terminal() {
        let reason = "the output does not go to one";
        return Err(TopError::Terminal(io::Error::other(reason)));
    }
    let mut terminal = ratatui::try_init().map_err(TopError::Terminal)?;
    let result = show(&mut terminal, &client, state);
    ratatui::restore();
    result.map_err(TopError::Terminal)
}

fn show(
    terminal: &mut ratatui::DefaultTerminal,
    client: &Client,
    mut state: State,
) -> io::Result<()> {
    loop {
        while let Some(news) = client.news() {
            state.hear(news);
        }
        terminal.draw(|frame| draw::draw(frame, &mut state))?;
        if !event::poll(Duration::from_millis(100))? {
            continue;
        }
        if let Event::Key(key) = event::read()? {
            match state.key(key) {
                Reaction::None => {}
                Reaction::Quit => return Ok(()),
                Reaction::Ask(request) => client.ask(request),
            }
        }
    }
}
