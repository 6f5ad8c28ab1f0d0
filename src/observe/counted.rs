//! Feature `stats`: counters, the log of changes, and the holders of permits.

use core::time::Duration;
use std::sync::LazyLock;

use alloc::borrow::Cow;
use alloc::boxed::Box;

use crate::error::{AcquireError, TryAcquireError};
use crate::limiter::Limiter;
use crate::observe::Move;
use crate::state::{COUNT_BITS, MAX_COUNT, Word};
use crate::stats::{Change, Holders, cut};

/// When a request began to wait.
#[derive(Debug, Default)]
pub(crate) struct Since {
    at: Option<Duration>,
}

/// The label of a request. Boxed: a request that need not wait should be as small as possible.
#[derive(Debug, Default)]
pub(crate) struct Label {
    text: Option<Box<Cow<'static, str>>>,
}

/// The permits of a guard: their number in the lower bits, and above it which of the limiter's holders
/// the guard is. 0: none, because they are not tracked or the guard has no permits.
// One word, whichever it is: a guard of three is moved in parts, and read again before the parts have
// arrived.
#[derive(Clone, Copy, Default)]
pub(crate) struct Held(u64);

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

/// Counters and the log of changes.
impl Limiter {
    /// Returns the step to take once `n` permits have been granted; it is given the word that has them in
    /// flight.
    // Made beforehand, and of nothing without `stats`: a granting path then has nothing to keep for
    // it.
    #[inline]
    pub(crate) fn on_granted(&self, n: usize) -> impl FnOnce(Word) {
        move |word: Word| self.counters.granted(n, word.in_flight())
    }

    pub(super) fn count_waiting(&self) -> Since {
        self.counters.waiting(self.waiting());
        Since { at: self.now() }
    }

    /// A request that had waited has been granted.
    pub(crate) fn on_waited(&self, since: &Since) {
        if let (Some(since), Some(now)) = (since.at, self.now()) {
            self.counters.waited(now.saturating_sub(since));
        }
    }

    pub(super) fn count_cancelled(&self) {
        self.counters.cancelled();
    }

    pub(super) fn count_refused(&self, error: AcquireError) {
        self.counters.refused(error);
    }

    /// A request that would not wait has been refused. No event: it is an answer, not a mishap.
    pub(crate) fn on_try_refused(&self, error: TryAcquireError) {
        self.counters.try_refused(error);
    }

    pub(super) fn count_moved(&self, moved: Move, cause: Cow<'static, str>, at: Duration) {
        let Move { hand, from, to, ceiling } = moved;
        self.counters.changed(Change { number: 0, hand, from, to, ceiling, cause, at });
    }

    /// The time for the log of changes.
    pub(crate) fn now_for_log(&self) -> Duration {
        self.now().unwrap_or_default()
    }
}

/// Guards. Each of these is one predictable branch for a limiter that does not track its holders.
impl Limiter {
    /// The limiter, now tracking its holders.
    pub(crate) const fn tracked(mut self) -> Self {
        let holders = LazyLock::new((|| Box::new(Holders::new())) as fn() -> _);
        // A constant can drop nothing. Nothing is lost: the book is made for the first permit.
        core::mem::forget(self.holders.replace(holders));
        self
    }

    /// The book of its holders, if it tracks them.
    #[inline]
    pub(crate) fn tracked_holders(&self) -> Option<&Holders> {
        self.holders.as_ref().map(|holders| &***holders)
    }

    /// A request has been labelled.
    pub(crate) fn on_labelled(&self, label: Cow<'static, str>) -> Label {
        Label { text: self.tracks_holders().then(|| Box::new(cut(label))) }
    }

    /// A guard is about to be made for `n` permits. They are given back if the clock panics.
    #[cold]
    pub(crate) fn on_held(&self, n: usize, label: Label) -> Held {
        let Some(holders) = self.tracked_holders() else { return Held::new(n) };
        if n == 0 {
            return Held::new(0);
        }
        let give_back = GiveBack(self, n);
        let since = self.now().unwrap_or_default();
        let label = label.text.map(|text| *text).unwrap_or_default();
        let holder = holders.enter(label, n, since);
        core::mem::forget(give_back);
        Held::tracked(n, holder)
    }

    /// `n` of the permits of a guard, which has as many or more, go into a guard of their own.
    pub(crate) fn on_split(&self, held: &mut Held, n: usize) -> Held {
        let left = held.count() - n;
        let Some(holders) = self.tracked_holders().filter(|_| held.is_tracked()) else {
            *held = Held::new(left);
            return Held::new(n);
        };
        if left == 0 {
            return core::mem::take(held);
        }
        if n == 0 {
            return Held::new(0);
        }
        let holder = holders.split(held.holder(), n);
        *held = Held::tracked(left, held.holder());
        Held::tracked(n, holder)
    }

    /// The permits of one guard go into another.
    pub(crate) fn on_merged(&self, held: &mut Held, other: Held) {
        // Cannot overflow: all of them are in flight, of which there are at most MAX_CEILING.
        let count = held.count() + other.count();
        let Some(holders) = self.tracked_holders() else {
            *held = Held::new(count);
            return;
        };
        match (held.is_tracked(), other.is_tracked()) {
            (true, true) => holders.merge(held.holder(), other.holder()),
            (false, true) => *held = other,
            (_, false) => {}
        }
        *held = Held::tracked(count, held.holder());
    }

    /// Permits stay in flight without their guard.
    pub(crate) fn on_forgotten(&self, held: Held) {
        if let Some(holders) = self.tracked_holders().filter(|_| held.is_tracked()) {
            holders.forget(held.holder());
        }
    }

    /// The permits of a guard are labelled, or labelled anew.
    pub(crate) fn on_relabelled(&self, held: Held, label: Cow<'static, str>) {
        if let Some(holders) = self.tracked_holders().filter(|_| held.is_tracked()) {
            holders.relabel(held.holder(), cut(label));
        }
    }

    /// Gives back the permits of a tracked guard.
    #[cold]
    pub(crate) fn on_given_back(&self, held: Held) {
        self.release_tracked(held.count(), |holders| {
            holders.give_back(held.holder(), held.count())
        });
    }

    /// Gives back a forgotten permit.
    pub(crate) fn on_done(&self) {
        self.release_tracked(1, Holders::done);
    }

    /// Gives back `n` permits, and counts how long they were held if that is tracked.
    fn release_tracked(&self, n: usize, since: impl FnOnce(&Holders) -> Duration) {
        if let Some(holders) = self.tracked_holders() {
            let give_back = GiveBack(self, n);
            let since = since(holders);
            let now = self.now().unwrap_or_default();
            holders.held(now.saturating_sub(since), n);
            core::mem::forget(give_back);
        }
        self.release(n);
    }
}

/// Gives permits back if the clock panics, without asking it once more for the end of terms: a second
/// panic would abort.
struct GiveBack<'a>(&'a Limiter, usize);

impl Drop for GiveBack<'_> {
    fn drop(&mut self) {
        self.0.cell.release(self.1, || ());
    }
}
