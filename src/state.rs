//! The packed word: everything that has to change together, and the rules of how it changes.
//!
//! Nothing here waits or reads a clock: a [`Word`] is a plain value, and each method tells what it
//! means or what comes after it. An [`AtomicWord`] applies the transitions. The flags are known here
//! only; `cell.rs` and `waiter.rs` use their names.
//!
//! ```text
//! 63      56 55            28 27             0
//! | flags   |    ceiling     |   in flight   |
//! ```
//!
//! # The line
//!
//! Waiters stand in a *line*: one of them may sit in the *seat* at its front, the others sleep
//! behind it. Four flags tell what is known of the line; all clear means that nobody
//! waits.
//!
//! | `HEAD` | `CALLED` | the seat |
//! |---|---|---|
//! | 0 | 0 | vacant |
//! | 0 | 1 | *open*: a waiter from the queue has been woken for it and has not arrived yet |
//! | 1 | 0 | taken; the head sleeps |
//! | 1 | 1 | taken; the head has been woken and has not looked yet |
//!
//! `QUEUED`: waiters may sleep behind the seat. `DISPATCH`: one thread is calling waiters from the
//! queue, and has lowered `QUEUED` for the time being. `FAIR` goes with `HEAD`: the head has lost
//! often enough, and permits are kept for it.

mod atomic;

pub(crate) use self::atomic::AtomicWord;

/// Width of the two counts.
pub(crate) const COUNT_BITS: u32 = 28;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;

/// The largest ceiling, and so the largest number of permits in flight.
pub(crate) const MAX_COUNT: usize = COUNT_MASK as usize;

/// Waiters may sleep behind the seat: a release must look.
const QUEUED: u64 = 1 << 56;
/// A waiter sits in the seat at the front of the line.
const HEAD: u64 = 1 << 57;
/// The first in line has been called and has not looked yet.
const CALLED: u64 = 1 << 58;
/// Permits are kept for the head: no barging.
const FAIR: u64 = 1 << 59;
/// One thread is calling waiters from the queue; it looks again when it is done.
const DISPATCH: u64 = 1 << 60;
/// Nothing is granted any more. Never cleared.
const CLOSED: u64 = 1 << 61;
/// A cap has a term: a grant looks at the clock first.
const TIMED: u64 = 1 << 62;
/// A task waits for the limiter to be idle.
const IDLE: u64 = 1 << 63;

/// Any of these set: requests wait, or did, and QUEUED is left until a permit is free.
const LINE: u64 = QUEUED | HEAD | CALLED | DISPATCH;
/// Any of these set: a release has to look whether there is a waiter to wake. An open seat alone
/// (`CALLED`) needs nothing: the waiter on the way to it will look.
const LOOK: u64 = QUEUED | HEAD | IDLE;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word(u64);

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
    fn has(self, flags: u64) -> bool {
        self.0 & flags != 0
    }

    #[inline]
    fn with(self, flags: u64) -> Self {
        Self(self.0 | flags)
    }

    #[inline]
    fn without(self, flags: u64) -> Self {
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

    #[inline]
    pub(crate) fn is_closed(self) -> bool {
        self.has(CLOSED)
    }

    /// Whether a cap has a term.
    #[inline]
    pub(crate) fn is_timed(self) -> bool {
        self.has(TIMED)
    }

    /// Whether one thread is calling: it looks again when it is done.
    #[inline]
    pub(crate) fn is_dispatching(self) -> bool {
        self.has(DISPATCH)
    }

    /// Whether requests wait, as far as is known.
    #[inline]
    pub(crate) fn has_line(self) -> bool {
        self.has(LINE)
    }

    /// Whether waiters may sleep behind the seat, or a thread is calling them.
    #[inline]
    pub(crate) fn has_queue(self) -> bool {
        self.has(QUEUED | DISPATCH)
    }

    /// Whether a waiter sits in the seat.
    #[inline]
    pub(crate) fn has_head(self) -> bool {
        self.has(HEAD)
    }

    /// Whether the first in line has been called and has not looked yet.
    #[inline]
    pub(crate) fn is_called(self) -> bool {
        self.has(CALLED)
    }

    /// Whether the seat is neither taken nor open.
    #[inline]
    pub(crate) fn seat_is_vacant(self) -> bool {
        !self.has(HEAD | CALLED)
    }

    /// Whether a called waiter has not arrived yet, so that a waiter that has been called may take the
    /// seat.
    #[inline]
    pub(crate) fn seat_is_open(self) -> bool {
        self.0 & (HEAD | CALLED) == CALLED
    }

    /// Whether a release that led here must look for something to do.
    #[inline]
    pub(crate) fn wants_a_look(self) -> bool {
        self.has(LOOK)
    }

    /// I11: nothing in flight and nobody in line. After a close nobody is, whatever the flags say: all
    /// waiters have been refused.
    #[inline]
    pub(crate) fn is_idle(self) -> bool {
        self.in_flight() == 0 && (self.has(CLOSED) || !self.has(LINE))
    }

    /// Whether there is anything for waiters: a permit, or the end of waiting. If there is none, the
    /// author of this word has no [`duty`](Self::duty), unless nobody is in line any more.
    #[inline]
    pub(crate) fn has_news(self) -> bool {
        self.free() > 0 || self.has(CLOSED | IDLE)
    }
}

/// What a request may take.
impl Word {
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

    /// Whether no flag is set and any request may take `n`.
    #[inline]
    pub(crate) fn admits_if_plain(self, n: usize, alone_above: impl FnOnce() -> usize) -> bool {
        self.is_plain() && self.fits(n, alone_above)
    }

    /// Whether the first in line may take `n`.
    #[inline]
    pub(crate) fn admits(self, n: usize, alone_above: impl FnOnce() -> usize) -> bool {
        !self.has(CLOSED) && self.fits(n, alone_above)
    }

    /// Whether a request that is not in line may take `n`; `barrier` is [`newcomer_barrier`].
    #[inline]
    pub(crate) fn admits_newcomer(
        self,
        n: usize,
        barrier: u64,
        alone_above: impl FnOnce() -> usize,
    ) -> bool {
        !self.has(barrier) && self.fits(n, alone_above)
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
}

/// What comes after it.
impl Word {
    /// A waiter has gone to sleep behind the seat.
    #[inline]
    pub(crate) fn queued(self) -> Self {
        self.with(QUEUED)
    }

    /// A waiter has sat down. If it was on its way to the open seat it has not looked yet.
    #[inline]
    pub(crate) fn seated(self) -> Self {
        self.with(HEAD)
    }

    /// The first in line has been called.
    #[inline]
    pub(crate) fn called(self) -> Self {
        self.with(CALLED)
    }

    /// The head has looked, and sleeps.
    #[inline]
    pub(crate) fn asleep(self) -> Self {
        self.without(CALLED)
    }

    /// The head has lost often enough: permits are kept for it.
    #[inline]
    pub(crate) fn fair(self) -> Self {
        self.with(FAIR)
    }

    /// The head, or the waiter called to the open seat, has left the line.
    #[inline]
    pub(crate) fn vacated(self) -> Self {
        self.without(HEAD | CALLED | FAIR)
    }

    /// A call begins: to the open seat, if `seat`, and with `permits` handed over.
    pub(crate) fn calling(self, seat: bool, permits: usize) -> Self {
        let opened = if seat { CALLED } else { 0 };
        self.without(QUEUED).with(DISPATCH | opened).plus(permits)
    }

    /// All that sleep in the queue are about to be called.
    pub(crate) fn calling_all(self) -> Self {
        self.without(QUEUED)
    }

    /// One thread does what may run wakers under a lock.
    pub(crate) fn dispatching(self) -> Self {
        self.with(DISPATCH)
    }

    /// It is done.
    pub(crate) fn dispatched(self) -> Self {
        self.without(DISPATCH)
    }

    /// Nothing is granted any more.
    fn closed(self) -> Self {
        self.with(CLOSED)
    }

    /// A task waits for the limiter to be idle.
    pub(crate) fn awaited(self) -> Self {
        self.with(IDLE)
    }

    /// Those that wait for the limiter to be idle are about to be told.
    pub(crate) fn telling(self) -> Self {
        self.without(IDLE)
    }
}

impl Word {
    /// What the author of this word has to do now, given what is known of the line.
    #[inline]
    pub(crate) fn duty(self, line: &Line) -> Duty {
        if self.has(DISPATCH) {
            // Its owner ends by a read-modify-write of the word and then looks again.
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
        let seat = self.seat_is_vacant();
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

/// What is known of the waiters that are called by name; see `cell/list.rs`.
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
    /// Tell the tasks that wait for it that the limiter is idle.
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
    /// Call all waiters, without a permit: the limiter is closed.
    CallAll,
}

/// The flags that turn a newcomer away. With a patience of 0 that is any sign of a line.
pub(crate) const fn newcomer_barrier(patience: u32) -> u64 {
    let strict = if patience == 0 { LINE } else { 0 };
    CLOSED | FAIR | strict
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    const LINE: Line = Line {
        waiting: 3,
        listed: Listed::Nobody,
        first_only: false,
        head_wants: 1,
        alone_above: 9,
    };

    /// Ceiling 5, so many of it free.
    fn word(free: usize) -> Word {
        Word::new(5).plus(5 - free)
    }

    fn call(seat: bool, permits: usize) -> Duty {
        Duty::Call { seat, permits }
    }

    #[test]
    fn duty_of_a_word() {
        let listed = |listed| Line { listed, ..LINE };
        let large_head = Line { head_wants: 3, ..LINE };
        let free = word(3);
        let table = [
            ("nobody in line", free, LINE, Duty::Nothing),
            ("another thread calls", free.queued().dispatching(), LINE, Duty::Nothing),
            ("idle, and nobody asked", word(5), LINE, Duty::Nothing),
            ("idle, and a task asked", word(5).awaited(), LINE, Duty::AnnounceIdle),
            ("not idle: a permit is out", word(4).awaited(), LINE, Duty::Nothing),
            ("not idle: a line", word(5).awaited().called(), LINE, Duty::Nothing),
            ("nothing free for the head", word(0).seated(), LINE, Duty::Nothing),
            ("one for the head", word(1).seated(), LINE, Duty::WakeHead),
            ("the head has been called", word(1).seated().called(), LINE, Duty::Nothing),
            ("too few for a large head", word(2).seated(), large_head, Duty::Nothing),
            ("enough for a large head", free.seated(), large_head, Duty::WakeHead),
            (
                "a large head runs alone",
                word(5).seated(),
                Line { head_wants: 10, ..LINE },
                Duty::WakeHead,
            ),
            (
                "it does not: it is not above",
                word(5).seated(),
                Line { head_wants: 9, ..LINE },
                Duty::Nothing,
            ),
            ("nothing free for the queue", word(0).queued(), LINE, Duty::Nothing),
            ("the seat and the rest", free.queued(), LINE, call(true, 2)),
            ("no more than there are", free.queued(), Line { waiting: 2, ..LINE }, call(true, 1)),
            ("only the first", free.queued(), Line { first_only: true, ..LINE }, call(true, 0)),
            ("the seat is open", free.queued().called(), LINE, call(false, 2)),
            ("one is the called head's", word(1).queued().seated().called(), LINE, Duty::Nothing),
            ("all are a large head's", free.queued().seated().called(), large_head, Duty::Nothing),
            ("nobody is left", word(0).queued(), Line { waiting: 0, ..LINE }, call(false, 0)),
            ("behind the queue", free.queued(), listed(Listed::Behind), call(true, 2)),
            ("first, seat vacant", word(1).queued(), listed(Listed::First(4)), Duty::Serve),
            (
                "first, too few besides",
                free.queued().called(),
                listed(Listed::First(3)),
                Duty::Nothing,
            ),
            (
                "first, enough besides",
                free.queued().called(),
                listed(Listed::First(2)),
                Duty::Serve,
            ),
            (
                "first, in the seat",
                free.queued().seated().called(),
                listed(Listed::Seated),
                Duty::Nothing,
            ),
            ("closed", word(0).queued().closed(), LINE, Duty::CallAll),
            ("closed, with a head", word(0).queued().seated().closed(), LINE, Duty::WakeHead),
            ("closed, nobody in line", free.closed(), LINE, Duty::Nothing),
        ];
        for (case, word, line, duty) in table {
            assert_eq!(word.duty(&line), duty, "{case}");
        }
    }
}
