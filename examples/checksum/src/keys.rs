//! Single keys from the terminal.

use std::sync::Arc;

use crate::control::Controls;

pub(crate) const HELP: &str = "keys: u up, d down, p pause, r resume, q quit";

/// As long as it lives, keys work. Then the terminal is again as it was.
#[cfg(unix)]
pub(crate) struct Keys {
    before: rustix::termios::Termios,
}

#[cfg(unix)]
impl Keys {
    /// Listens, if there is a terminal and it is ours to read from: a program in the background
    /// would be stopped if it tried.
    pub(crate) fn listen(controls: Arc<Controls>) -> Option<Self> {
        use rustix::termios::{self, LocalModes, OptionalActions};
        use std::io::{Read, stdin};

        let in_front = termios::tcgetpgrp(stdin()) == Ok(rustix::process::getpgrp());
        let before = termios::tcgetattr(stdin()).ok().filter(|_| in_front)?;
        let mut by_key = before.clone();
        by_key.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
        termios::tcsetattr(stdin(), OptionalActions::Now, &by_key).ok()?;
        // Left to itself: it ends with the program.
        std::thread::spawn(move || {
            stdin().lock().bytes().map_while(Result::ok).for_each(|key| press(&controls, key));
        });
        Some(Self { before })
    }
}

#[cfg(unix)]
impl Drop for Keys {
    fn drop(&mut self) {
        use rustix::termios::{OptionalActions, tcsetattr};
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.before);
    }
}

#[cfg(unix)]
fn press(controls: &Controls, key: u8) {
    use crate::control::Action::{Adjust, Pause, Resume};
    use grmgr::Adjust::{Down, Up};

    match key {
        b'u' => controls.apply(None, Adjust(Up), "key"),
        b'd' => controls.apply(None, Adjust(Down), "key"),
        b'p' => controls.apply(None, Pause, "key"),
        b'r' => controls.apply(None, Resume, "key"),
        b'q' => controls.stop(),
        _ => {}
    }
}

/// No keys here; the script works everywhere.
#[cfg(not(unix))]
pub(crate) struct Keys;

#[cfg(not(unix))]
impl Keys {
    pub(crate) fn listen(_: Arc<Controls>) -> Option<Self> {
        None
    }
}
