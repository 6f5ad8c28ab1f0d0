//! What the limiter tells the world about itself: the one place where the features `stats` and
//! `tracing` are asked for. With both off, nothing of it is left.

use core::time::Duration;

use alloc::borrow::Cow;

#[cfg(feature = "stats")]
use crate::Change;
use crate::{AcquireError, Adjust, Adjustment, Hand, Limiter, TryAcquireError};

/// When a request began to wait, if anybody wants to know.
#[derive(Debug, Default)]
pub(crate) struct Since {
    #[cfg(feature = "stats")]
    at: Option<Duration>,
}

impl Limiter {
    /// `n` permits have been granted.
    #[inline]
    pub(crate) fn on_granted(&self, n: usize) {
        #[cfg(feature = "stats")]
        self.counters.granted(n, self.in_flight());
        let _ = n;
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
            self.on_granted(1);
        }
        #[cfg(feature = "stats")]
        self.counters.cancelled();
    }

    /// A request has been refused.
    pub(crate) fn on_refused(&self, error: AcquireError) {
        #[cfg(feature = "tracing")]
        tracing::debug!(limiter = self.name(), %error, "refused");
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

    /// Somebody wanted the setting changed; `ceiling` is in force afterwards.
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
                self.on_changed(Hand::Setting, from, to, ceiling, cause, now);
            }
            #[cfg(feature = "tracing")]
            Adjustment::Held { remaining } => tracing::debug!(
                limiter = self.name(),
                %adjust,
                ?remaining,
                cause = &*cause,
                "ceiling held"
            ),
            #[cfg(feature = "tracing")]
            Adjustment::Unchanged { ceiling } => tracing::debug!(
                limiter = self.name(),
                %adjust,
                ceiling,
                cause = &*cause,
                "ceiling unchanged"
            ),
            #[cfg(not(feature = "tracing"))]
            _ => {}
        }
        let _ = adjust;
    }

    /// A hand on the ceiling has moved; `ceiling` is in force afterwards.
    pub(crate) fn on_changed(
        &self,
        hand: Hand,
        from: usize,
        to: usize,
        ceiling: usize,
        cause: Cow<'static, str>,
        at: Duration,
    ) {
        #[cfg(feature = "tracing")]
        {
            let hand = if hand == Hand::Cap { "cap" } else { "setting" };
            tracing::info!(
                limiter = self.name(),
                hand,
                from,
                to,
                ceiling,
                cause = &*cause,
                "ceiling changed"
            );
        }
        #[cfg(feature = "stats")]
        self.counters.changed(Change { number: 0, hand, from, to, ceiling, cause, at });
        #[cfg(not(feature = "stats"))]
        let _ = (hand, from, to, ceiling, cause, at);
    }
}
