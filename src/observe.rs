//! What the limiter tells the world about itself: the one place where the features `stats` and
//! `tracing` are asked for. With both off, nothing of it is left.

#[cfg(feature = "stats")]
use core::time::Duration;

use crate::state::Word;
use crate::{AcquireError, Adjust, Adjustment, Limiter, TryAcquireError};

/// When a request began to wait, if anybody wants to know.
#[derive(Debug, Default)]
pub(crate) struct Since {
    #[cfg(feature = "stats")]
    at: Option<Duration>,
}

impl Limiter {
    /// What is to be done once `n` permits have been granted, told the word that has them in flight.
    // Made beforehand, and of nothing without `stats`: a granting path then has nothing to keep for
    // it.
    #[inline]
    pub(crate) fn on_granted(&self, n: usize) -> impl FnOnce(Word) {
        #[cfg(feature = "stats")]
        let granted = move |word: Word| self.counters.granted(n, word.in_flight());
        #[cfg(not(feature = "stats"))]
        let granted = |_| ();
        let _ = n;
        granted
    }

    /// A request has entered the line.
    pub(crate) fn on_waiting(&self) -> Since {
        #[cfg(feature = "tracing")]
        tracing::debug!(limiter = self.name(), waiting = self.waiting(), "waiting for a permit");
        #[cfg(feature = "stats")]
        self.counters.waiting(self.waiting());
        Since {
            #[cfg(feature = "stats")]
            at: self.now(),
        }
    }

    /// A request that had waited has been granted.
    pub(crate) fn on_waited(&self, since: &Since) {
        #[cfg(feature = "stats")]
        if let (Some(since), Some(now)) = (since.at, self.now()) {
            self.counters.waited(now.saturating_sub(since));
        }
        let _ = since;
    }

    /// A waiting request has been dropped, and with it, if `given_back`, a permit that it had been
    /// handed.
    pub(crate) fn on_cancelled(&self, given_back: bool) {
        if given_back {
            self.on_granted(1)(self.queue.word());
        }
        #[cfg(feature = "stats")]
        self.counters.cancelled();
    }

    /// A request has been refused.
    pub(crate) fn on_refused(&self, error: AcquireError) {
        #[cfg(feature = "tracing")]
        tracing::warn!(limiter = self.name(), %error, "refused");
        #[cfg(feature = "stats")]
        self.counters.refused(error);
        let _ = error;
    }

    /// A request that would not wait has been refused. No event: it is an answer, not a mishap.
    pub(crate) fn on_try_refused(&self, error: TryAcquireError) {
        #[cfg(feature = "stats")]
        self.counters.try_refused(error);
        let _ = error;
    }

    /// Somebody wanted the ceiling changed.
    pub(crate) fn on_adjusted(&self, adjust: Adjust, cause: &'static str, result: Adjustment) {
        #[cfg(feature = "tracing")]
        match result {
            Adjustment::Changed { from, to } => {
                tracing::info!(limiter = self.name(), from, to, cause, "ceiling changed");
            }
            Adjustment::Held { remaining } => {
                tracing::warn!(limiter = self.name(), ?adjust, ?remaining, cause, "ceiling held");
            }
            Adjustment::Unchanged { ceiling } => {
                tracing::info!(limiter = self.name(), ?adjust, ceiling, cause, "ceiling unchanged");
            }
        }
        #[cfg(feature = "stats")]
        if let Adjustment::Changed { from, to } = result {
            self.counters.changed(from, to, cause, self.now().unwrap_or_default());
        }
        let _ = (adjust, cause, result);
    }
}
