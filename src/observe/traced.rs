//! Feature `tracing`. A ceiling that has moved is INFO; all else is the normal state of a limiter that
//! sheds load, and DEBUG.

use crate::caps::Hand;
use crate::error::AcquireError;
use crate::limiter::Limiter;
use crate::observe::Move;
use crate::throttle::{Adjust, Adjustment};

impl Limiter {
    pub(super) fn trace_waiting(&self) {
        tracing::debug!(limiter = self.name(), waiting = self.waiting(), "waiting for a permit");
    }

    pub(super) fn trace_refused(&self, error: AcquireError) {
        tracing::debug!(limiter = self.name(), %error, "refused");
    }

    /// A change that was asked for and has not been made.
    pub(super) fn trace_no_change(&self, adjust: Adjust, cause: &str, result: Adjustment) {
        let limiter = self.name();
        match result {
            Adjustment::Held { remaining } => {
                tracing::debug!(limiter, %adjust, ?remaining, cause, "ceiling held");
            }
            Adjustment::Unchanged { ceiling } => {
                tracing::debug!(limiter, %adjust, ceiling, cause, "ceiling unchanged");
            }
            Adjustment::Changed { .. } => {}
        }
    }

    pub(super) fn trace_moved(&self, moved: Move, cause: &str) {
        let Move { hand, from, to, ceiling } = moved;
        let hand = if hand == Hand::Cap { "cap" } else { "setting" };
        tracing::info!(limiter = self.name(), hand, from, to, ceiling, cause, "ceiling changed");
    }
}
