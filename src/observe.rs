//! What the limiter tells the world about itself: the one place where the features `stats` and
//! `tracing` are asked for. Each has a file of what is done with it and one of the same functions
//! without it, of which nothing is left in the program.

use core::time::Duration;

use alloc::borrow::Cow;

use crate::caps::Hand;
use crate::error::AcquireError;
use crate::limiter::Limiter;
use crate::throttle::{Adjust, Adjustment};

#[cfg(feature = "stats")]
mod counted;
#[cfg(feature = "stats")]
pub(crate) use self::counted::{Held, Label, Since};

#[cfg(not(feature = "stats"))]
mod uncounted;
#[cfg(not(feature = "stats"))]
pub(crate) use self::uncounted::{Held, Label, Since};

#[cfg(feature = "tracing")]
mod traced;

#[cfg(not(feature = "tracing"))]
mod untraced;

/// A move of a hand on the ceiling, and the ceiling in force afterwards.
#[derive(Clone, Copy)]
#[allow(dead_code, reason = "without both features it is not read")]
pub(crate) struct Move {
    pub(crate) hand: Hand,
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) ceiling: usize,
}

impl Limiter {
    /// A request has entered the line.
    pub(crate) fn on_waiting(&self) -> Since {
        self.trace_waiting();
        self.count_waiting()
    }

    /// A waiting request has been dropped, and with it so many permits that it had been given.
    pub(crate) fn on_cancelled(&self, given_back: usize) {
        if given_back > 0 {
            self.on_granted(given_back)(self.cell.word.load());
        }
        self.count_cancelled();
    }

    /// A request has been refused.
    pub(crate) fn on_refused(&self, error: AcquireError) {
        self.trace_refused(error);
        self.count_refused(error);
    }

    /// A change of the setting was asked for; `ceiling` is in force afterwards.
    pub(crate) fn on_adjusted(
        &self,
        adjust: Adjust,
        cause: Cow<'static, str>,
        result: Adjustment,
        ceiling: usize,
        now: Duration,
    ) {
        match result {
            Adjustment::Changed { from, to } => {
                let hand = Hand::Setting;
                self.on_moved(Move { hand, from, to, ceiling }, cause, now);
            }
            Adjustment::Held { .. } | Adjustment::Unchanged { .. } => {
                self.trace_no_change(adjust, &cause, result);
            }
        }
    }

    /// A hand on the ceiling has moved.
    pub(crate) fn on_moved(&self, moved: Move, cause: Cow<'static, str>, at: Duration) {
        self.trace_moved(moved, &cause);
        self.count_moved(moved, cause, at);
    }
}
