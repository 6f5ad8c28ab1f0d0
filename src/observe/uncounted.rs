//! Without feature `stats`: the types and functions of `counted.rs`. Nothing is counted, no request has
//! a label, no guard is tracked, and no clock is asked.

use core::time::Duration;

use alloc::borrow::Cow;

use crate::error::{AcquireError, TryAcquireError};
use crate::limiter::Limiter;
use crate::observe::Move;
use crate::state::Word;

/// When a request began to wait: not asked.
#[derive(Debug, Default)]
pub(crate) struct Since {}

/// The label of a request: not kept.
#[derive(Debug, Default)]
pub(crate) struct Label {}

/// The permits of a guard: how many.
#[derive(Clone, Copy, Default)]
pub(crate) struct Held(usize);

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

/// Counters and the log of changes.
impl Limiter {
    #[inline]
    pub(crate) fn on_granted(&self, _permits: usize) -> impl FnOnce(Word) {
        |_| ()
    }

    pub(super) fn count_waiting(&self) -> Since {
        Since {}
    }

    pub(crate) fn on_waited(&self, _: &Since) {}

    pub(super) fn count_cancelled(&self) {}

    pub(super) fn count_refused(&self, _: AcquireError) {}

    pub(crate) fn on_try_refused(&self, _: TryAcquireError) {}

    pub(super) fn count_moved(&self, _: Move, _cause: Cow<'static, str>, _at: Duration) {}

    pub(crate) fn now_for_log(&self) -> Duration {
        Duration::ZERO
    }
}

/// Guards.
impl Limiter {
    pub(crate) fn on_labelled(&self, _: Cow<'static, str>) -> Label {
        Label {}
    }

    #[inline]
    pub(crate) fn tracks_holders(&self) -> bool {
        false
    }

    pub(crate) fn on_held(&self, n: usize, _: Label) -> Held {
        Held(n)
    }

    pub(crate) fn on_split(&self, held: &mut Held, n: usize) -> Held {
        held.0 -= n;
        Held(n)
    }

    pub(crate) fn on_merged(&self, held: &mut Held, other: Held) {
        held.0 += other.0;
    }

    pub(crate) fn on_forgotten(&self, _: Held) {}

    pub(crate) fn on_relabelled(&self, _: Held, _: Cow<'static, str>) {}

    pub(crate) fn on_given_back(&self, held: Held) {
        self.release(held.0);
    }

    pub(crate) fn on_done(&self) {
        self.release(1);
    }
}
