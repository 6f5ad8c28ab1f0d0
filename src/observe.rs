//! What the limiter tells the world about itself: the one place where the features `stats` and
//! `tracing` are asked for. With both off, nothing of it is left.

use core::time::Duration;

use alloc::borrow::Cow;
#[cfg(feature = "stats")]
use alloc::boxed::Box;

#[cfg(feature = "stats")]
use crate::Change;
use crate::state::Word;
#[cfg(feature = "stats")]
use crate::state::{COUNT_BITS, MAX_COUNT};
#[cfg(feature = "stats")]
use crate::stats::{Holders, cut};
use crate::{AcquireError, Adjust, Adjustment, Hand, Limiter, TryAcquireError};

/// When a request began to wait, if anybody wants to know.
#[derive(Debug, Default)]
pub(crate) struct Since {
    #[cfg(feature = "stats")]
    at: Option<Duration>,
}

/// What a request is labelled with, if anybody wants to know.
#[derive(Debug, Default)]
pub(crate) struct Label {
    /// Boxed: a request that need not wait has as little as possible to look after.
    #[cfg(feature = "stats")]
    text: Option<Box<Cow<'static, str>>>,
}

/// The permits of a guard: how many, and which of the limiter's holders it is, if those are tracked
/// and it has any.
// One word, whichever it is: a guard of three is moved in parts, and read again before the parts have
// arrived.
#[cfg(not(feature = "stats"))]
#[derive(Clone, Copy, Default)]
pub(crate) struct Held(usize);

/// The same: the number in the lower bits, the holder above. 0: none.
#[cfg(feature = "stats")]
#[derive(Clone, Copy, Default)]
pub(crate) struct Held(u64);

#[cfg(not(feature = "stats"))]
impl Held {
    #[inline]
    pub(crate) fn new(count: usize) -> Self {
        Self(count)
    }

    #[inline]
    pub(crate) fn count(self) -> usize {
        self.0
    }

    #[inline]
    pub(crate) fn is_tracked(self) -> bool {
        false
    }
}

#[cfg(feature = "stats")]
impl Held {
    #[inline]
    pub(crate) fn new(count: usize) -> Self {
        Self(count as u64)
    }

    #[inline]
    pub(crate) fn count(self) -> usize {
        self.0 as usize & MAX_COUNT
    }

    #[inline]
    pub(crate) fn is_tracked(self) -> bool {
        self.0 > MAX_COUNT as u64
    }

    fn tracked(count: usize, holder: u32) -> Self {
        Self(count as u64 | u64::from(holder) << COUNT_BITS)
    }

    fn holder(self) -> u32 {
        (self.0 >> COUNT_BITS) as u32
    }
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

    /// A waiting request has been dropped, and with it so many permits that it had been given.
    pub(crate) fn on_cancelled(&self, given_back: usize) {
        if given_back > 0 {
            self.on_granted(given_back)(self.cell.word.load());
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

/// The holders. Each of these is one predictable branch for a limiter that does not track them, and
/// nothing without `stats`.
impl Limiter {
    /// The limiter, now tracking who holds its permits.
    #[cfg(feature = "stats")]
    pub(crate) fn tracked(self) -> Self {
        Self { holders: Some(Box::new(Holders::new())), ..self }
    }

    /// A request has been labelled.
    pub(crate) fn on_labelled(&self, label: Cow<'static, str>) -> Label {
        #[cfg(feature = "stats")]
        if self.holders.is_some() {
            return Label { text: Some(Box::new(cut(label))) };
        }
        let _ = label;
        Label::default()
    }

    /// Whether it tracks its holders.
    #[inline]
    pub(crate) fn tracks_holders(&self) -> bool {
        #[cfg(feature = "stats")]
        return self.holders.is_some();
        #[cfg(not(feature = "stats"))]
        false
    }

    /// A guard is about to be made for `n` permits. They are given back if the clock panics.
    #[cold]
    pub(crate) fn on_held(&self, n: usize, label: Label) -> Held {
        #[cfg(feature = "stats")]
        if let Some(holders) = &self.holders
            && n > 0
        {
            let give_back = GiveBack(self, n);
            let since = self.now().unwrap_or_default();
            let label = label.text.map(|text| *text).unwrap_or_default();
            let holder = holders.enter(label, n, since);
            core::mem::forget(give_back);
            return Held::tracked(n, holder);
        }
        let _ = label;
        Held::new(n)
    }

    /// `n` of the permits of a guard, which has so many, go into one of their own.
    pub(crate) fn on_split(&self, held: &mut Held, n: usize) -> Held {
        let left = held.count() - n;
        #[cfg(feature = "stats")]
        if let Some(holders) = &self.holders
            && held.is_tracked()
        {
            if left == 0 {
                return core::mem::take(held);
            }
            if n > 0 {
                let holder = holders.split(held.holder(), n);
                *held = Held::tracked(left, held.holder());
                return Held::tracked(n, holder);
            }
            return Held::new(0);
        }
        *held = Held::new(left);
        Held::new(n)
    }

    /// The permits of one guard go into another.
    pub(crate) fn on_merged(&self, held: &mut Held, other: Held) {
        // Cannot overflow: all of them are in flight, of which there are at most MAX_CEILING.
        let count = held.count() + other.count();
        #[cfg(feature = "stats")]
        if let Some(holders) = &self.holders {
            match (held.is_tracked(), other.is_tracked()) {
                (true, true) => holders.merge(held.holder(), other.holder()),
                (false, true) => *held = other,
                (_, false) => {}
            }
            *held = Held::tracked(count, held.holder());
            return;
        }
        *held = Held::new(count);
    }

    /// Permits stay in flight without their guard.
    pub(crate) fn on_forgotten(&self, held: Held) {
        #[cfg(feature = "stats")]
        if let Some(holders) = &self.holders
            && held.is_tracked()
        {
            holders.forget(held.holder());
        }
        let _ = held;
    }

    /// Gives back the permits of a tracked guard.
    #[cold]
    pub(crate) fn on_given_back(&self, held: Held) {
        #[cfg(feature = "stats")]
        self.release_tracked(held.count(), |holders| {
            holders.give_back(held.holder(), held.count())
        });
        #[cfg(not(feature = "stats"))]
        self.release(held.count());
    }

    /// Gives back a forgotten permit.
    pub(crate) fn on_done(&self) {
        #[cfg(feature = "stats")]
        if self.holders.is_some() {
            return self.release_tracked(1, Holders::done);
        }
        self.release(1);
    }

    #[cfg(feature = "stats")]
    fn release_tracked(&self, n: usize, since: impl FnOnce(&Holders) -> Duration) {
        let give_back = GiveBack(self, n);
        if let Some(holders) = &self.holders {
            let since = since(holders);
            let now = self.now().unwrap_or_default();
            holders.held(now.saturating_sub(since), n);
        }
        core::mem::forget(give_back);
        self.release(n);
    }
}

/// Gives permits back if the clock panics, without asking it once more for the end of terms: a second
/// panic would abort.
#[cfg(feature = "stats")]
struct GiveBack<'a>(&'a Limiter, usize);

#[cfg(feature = "stats")]
impl Drop for GiveBack<'_> {
    fn drop(&mut self) {
        self.0.cell.release(self.1, || ());
    }
}
