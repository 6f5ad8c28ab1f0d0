//! The packed word: everything that has to change together, and the rules of how it changes.
//!
//! Nothing here waits, reads a clock or touches memory: a [`Word`] is a plain value, and each
//! method tells what it means or what comes after it. `queue.rs` and `waiter.rs` apply the
//! transitions by compare-and-swap.
//!
//! ```text
//! 63      56 55            28 27             0
//! | flags   |    ceiling     |   in flight   |
//! ```
//!
//! # The line
//!
//! Waiters stand in a *line*: one of them may sit in the *seat* at its front, the others sleep in
//! the queue behind it. Four flags tell what is known of the line; all clear means that nobody
//! waits.
//!
//! | `HEAD` | `CALLED` | the seat |
//! |---|---|---|
//! | 0 | 0 | vacant |
//! | 0 | 1 | *open*: a waiter from the queue has been woken for it and has not arrived yet |
//! | 1 | 0 | taken; the head sleeps |
//! | 1 | 1 | taken; the head has been woken and has not looked yet |
//!
//! `QUEUED`: somebody may sleep in the queue. `DISPATCH`: one thread is calling waiters from the
//! queue, and has lowered `QUEUED` for the time being. `FAIR` goes with `HEAD`: the head has lost
//! often enough, what is freed is kept for it.

/// Width of the two counts.
pub(crate) const COUNT_BITS: u32 = 28;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;

/// The largest ceiling, and so the largest number of permits in flight.
pub(crate) const MAX_COUNT: usize = COUNT_MASK as usize;

/// Somebody may sleep in the queue: whoever frees a permit must look.
pub(crate) const QUEUED: u64 = 1 << 56;
/// A waiter sits in the seat at the front of the line.
pub(crate) const HEAD: u64 = 1 << 57;
/// The first in line has been woken and has not looked yet.
pub(crate) const CALLED: u64 = 1 << 58;
/// Permits are kept for the head: no barging.
pub(crate) const FAIR: u64 = 1 << 59;
/// One thread is calling waiters from the queue; it looks again when it is done.
pub(crate) const DISPATCH: u64 = 1 << 60;
/// Nothing is granted any more. Never cleared.
pub(crate) const CLOSED: u64 = 1 << 61;
/// A cap has a term: who grants looks at the clock first.
pub(crate) const TIMED: u64 = 1 << 62;
/// Somebody waits for the limiter to be idle.
pub(crate) const IDLE: u64 = 1 << 63;

/// Any of these set: somebody waits for a permit, or did, and QUEUED is left until a permit is free.
pub(crate) const LINE: u64 = QUEUED | HEAD | CALLED | DISPATCH;
/// Any of these set: a release has to look whether somebody is to be woken. An open seat alone
/// (`CALLED`) needs nothing: who is on the way will look.
const LOOK: u64 = QUEUED | HEAD | IDLE;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word(pub(crate) u64);

impl Word {
    pub(crate) const fn new(ceiling: usize) -> Self {
        Self((ceiling as u64) << COUNT_BITS)
    }

    #[inline]
    pub(crate) fn in_flight(self) -> usize {
        (self.0 & COUNT_MASK) as usize
    }

    #[inline]
    pub(crate) fn ceiling(self) -> usize {
        ((self.0 >> COUNT_BITS) & COUNT_MASK) as usize
    }

    /// Whether any of `flags` is set.
    #[inline]
    pub(crate) fn has(self, flags: u64) -> bool {
        self.0 & flags != 0
    }

    #[inline]
    pub(crate) fn with(self, flags: u64) -> Self {
        Self(self.0 | flags)
    }

    #[inline]
    pub(crate) fn without(self, flags: u64) -> Self {
        Self(self.0 & !flags)
    }

    /// With this ceiling, and with or without a term of it.
    pub(crate) fn with_ceiling(self, ceiling: usize, timed: bool) -> Self {
        debug_assert!(ceiling <= MAX_COUNT);
        let kept = self.0 & !(COUNT_MASK << COUNT_BITS | TIMED);
        Self(kept | (ceiling as u64) << COUNT_BITS | if timed { TIMED } else { 0 })
    }

    /// `n` more in flight.
    #[inline]
    pub(crate) fn plus(self, n: usize) -> Self {
        debug_assert!(self.in_flight() + n <= MAX_COUNT);
        Self(self.0 + n as u64)
    }

    /// `n` fewer in flight.
    #[inline]
    pub(crate) fn minus(self, n: usize) -> Self {
        debug_assert!(self.in_flight() >= n, "more permits given back than granted (I2)");
        Self(self.0 - n as u64)
    }

    /// Permits that could be granted one by one right now (I5: none while over-subscribed or closed).
    #[inline]
    pub(crate) fn free(self) -> usize {
        if self.has(CLOSED) { 0 } else { self.ceiling().saturating_sub(self.in_flight()) }
    }

    /// Whether no flag is set.
    #[inline]
    pub(crate) fn is_plain(self) -> bool {
        self.0 >> (2 * COUNT_BITS) == 0
    }

    /// Whether no flag is set and anybody may take `n`.
    #[inline]
    pub(crate) fn admits_if_plain(self, n: usize, alone_above: impl FnOnce() -> usize) -> bool {
        self.is_plain() && self.fits(n, alone_above)
    }

    /// I1: whether a request for `n` fits under the ceiling, or may run alone, as those for more than
    /// `alone_above` may; that is asked for only where it matters.
    #[inline]
    fn fits(self, n: usize, alone_above: impl FnOnce() -> usize) -> bool {
        if n == 1 {
            self.in_flight() < self.ceiling()
        } else {
            self.in_flight() + n <= self.ceiling()
                || (self.in_flight() == 0 && self.ceiling() > 0 && n > alone_above())
        }
    }

    /// Whether the first in line may take `n`.
    #[inline]
    pub(crate) fn admits(self, n: usize, alone_above: impl FnOnce() -> usize) -> bool {
        !self.has(CLOSED) && self.fits(n, alone_above)
    }

    /// Whether somebody who does not stand in line may take `n`; `barrier` is
    /// [`newcomer_barrier`].
    #[inline]
    pub(crate) fn admits_newcomer(
        self,
        n: usize,
        barrier: u64,
        alone_above: impl FnOnce() -> usize,
    ) -> bool {
        !self.has(barrier) && self.fits(n, alone_above)
    }

    /// Whether a release that led here must look for something to do.
    #[inline]
    pub(crate) fn wants_a_look(self) -> bool {
        self.has(LOOK)
    }

    /// Whether a called waiter has not arrived yet, so that whoever holds a call may take the
    /// seat.
    #[inline]
    pub(crate) fn seat_is_open(self) -> bool {
        self.0 & (HEAD | CALLED) == CALLED
    }

    /// I11: nothing in flight and nobody waits. After a close nobody waits, whatever the line
    /// still looks like: all in it have been refused.
    #[inline]
    pub(crate) fn is_idle(self) -> bool {
        self.in_flight() == 0 && (self.has(CLOSED) || !self.has(LINE))
    }

    /// Whether the head, which asks for `wants`, sleeps on though permits are free, and newcomers may
    /// take them.
    #[inline]
    pub(crate) fn passes_over(self, wants: usize, alone_above: usize) -> bool {
        self.has(HEAD)
            && !self.has(CALLED | FAIR)
            && self.free() > 0
            && !self.admits(wants, || alone_above)
    }

    /// The word after the head, or the waiter called to the open seat, has left the line.
    #[inline]
    pub(crate) fn vacated(self) -> Self {
        self.without(HEAD | CALLED | FAIR)
    }

    /// Whether there is anything for those who wait: a permit, or the end of waiting. Who brings
    /// a word about in which there is not has no [`duty`](Self::duty), unless nobody waits any more.
    #[inline]
    pub(crate) fn has_news(self) -> bool {
        self.free() > 0 || self.has(CLOSED | IDLE)
    }

    /// What whoever brought this word about has to do now, given what is known of the line.
    #[inline]
    pub(crate) fn duty(self, line: &Line) -> Duty {
        if self.has(DISPATCH) {
            // Its owner leaves by a read-modify-write of the word and then looks again.
            return Duty::Nothing;
        }
        if self.has(IDLE) && self.is_idle() {
            return Duty::AnnounceIdle;
        }
        let free = self.free();
        // I17: a large head sleeps on until there is enough for it.
        if self.has(HEAD)
            && !self.has(CALLED)
            && (self.has(CLOSED) || self.admits(line.head_wants, || line.alone_above))
        {
            return Duty::WakeHead;
        }
        if !self.has(QUEUED) {
            return Duty::Nothing;
        }
        if line.waiting == 0 {
            return Duty::Call { seat: false, permits: 0 };
        }
        if self.has(CLOSED) {
            return Duty::CallAll;
        }
        if free == 0 {
            return Duty::Nothing;
        }
        // I3, I6: the first in line takes what it asks for as head; what is free beyond that is for the
        // next behind it.
        let seat = !self.has(HEAD | CALLED);
        let surplus = free.saturating_sub(if seat { 1 } else { line.head_wants });
        match line.listed {
            #[cfg(feature = "std")]
            Listed::First(n) if seat || surplus >= n => return Duty::Serve,
            #[cfg(feature = "std")]
            Listed::First(_) | Listed::Seated => return Duty::Nothing,
            #[cfg(feature = "std")]
            Listed::Behind => {}
            Listed::Nobody => {}
        }
        let asleep = line.waiting - usize::from(seat);
        let permits = if line.first_only { 0 } else { surplus.min(asleep) };
        if seat || permits > 0 { Duty::Call { seat, permits } } else { Duty::Nothing }
    }
}

/// What is known of the line beside the word, as far as a [`Duty`] depends on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    /// Waiters, whether asleep, called or seated.
    pub(crate) waiting: usize,
    pub(crate) listed: Listed,
    /// Whether nobody behind the first in line may be called.
    pub(crate) first_only: bool,
    /// The permits that the head asks for.
    pub(crate) head_wants: usize,
    /// Requests for more than this may run alone.
    pub(crate) alone_above: usize,
}

/// What is known of the waiters that are called by name; see `queue/list.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listed {
    /// There are none.
    Nobody,
    /// Others may sleep in front of them.
    #[cfg(feature = "std")]
    Behind,
    /// They are the first in line, and the first of them asks for so many permits.
    #[cfg(feature = "std")]
    First(usize),
    /// Likewise, and it sleeps in the seat.
    #[cfg(feature = "std")]
    Seated,
}

/// What is counted beside the word: waiters that have not finished, whether asleep, called or
/// seated, and permits handed to them that they have not claimed yet.
///
/// ```text
/// 63          32 31           0
/// |   handed    |   waiting    |
/// ```
#[derive(Clone, Copy)]
pub(crate) struct Counts(pub(crate) u64);

impl Counts {
    pub(crate) const WAITER: u64 = 1;
    pub(crate) const HANDED: u64 = 1 << 32;

    #[inline]
    pub(crate) fn waiting(self) -> usize {
        self.0 as u32 as usize
    }

    #[inline]
    pub(crate) fn handed(self) -> usize {
        (self.0 >> 32) as usize
    }
}

/// What a change of the word obliges its author to do; see [`Word::duty`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Duty {
    Nothing,
    /// Tell those who wait for it that the limiter is idle.
    AnnounceIdle,
    /// Wake the head: there is something for it.
    WakeHead,
    /// Call waiters from the queue: one to the open seat, if `seat`, and one for each of
    /// `permits`, which are counted in flight beforehand. With neither it only finds out that
    /// nobody waits.
    Call {
        seat: bool,
        permits: usize,
    },
    /// Serve the waiters that are called by name.
    #[cfg(feature = "std")]
    Serve,
    /// Call everybody, without a permit: the limiter is closed.
    CallAll,
}

/// The flags that turn a newcomer away. With a patience of 0 that is any sign of a line.
pub(crate) const fn newcomer_barrier(patience: u32) -> u64 {
    let strict = if patience == 0 { LINE } else { 0 };
    CLOSED | FAIR | strict
}
