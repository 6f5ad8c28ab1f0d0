//! The limiter's side of the line: the word, the places to sleep in, and who is woken when.
//!
//! The one rule that keeps wake-ups from being lost: **whoever changes what a [`Duty`] depends on
//! does a read-modify-write of the word after it, and then does what the word obliges to.** All
//! such operations are totally ordered and each acquires what was before it, so of any two
//! changes the later one's author sees both. That is all the ordering there is: no fence, no
//! `SeqCst`.
//!
//! A *call* is a notification of a sleeping waiter. It carries one *token*, not addressed to
//! anybody: the open seat, or a permit that was counted in flight beforehand (`handed`). A waiter
//! that finds itself notified claims a token. There are never fewer tokens than notified waiters that
//! have claimed none, except after a close; there are more only while a call is under way, which
//! takes them back.

use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use event_listener::{Event, EventListener, Listener};

use crate::state::{
    CALLED, CLOSED, DISPATCH, Duty, FAIR, HEAD, IDLE, PAUSED, QUEUED, Word, newcomer_barrier,
};
use crate::sync::AtomicWaker;
use crate::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};
use crate::sync::const_unless_loom;

// In this order, what a release, a wake-up and a newcomer touch lies in one cache line: a limiter
// begins with its queue, at the beginning of a line.
#[repr(C)]
pub(crate) struct Queue {
    word: AtomicU64,
    /// Flags at which a newcomer may not take a permit.
    barrier: u64,
    /// The head's waker. Only who sits in the seat registers here.
    pub(crate) head: AtomicWaker,
    /// Waiters that have not finished, whether asleep, called or seated. A waiter in the queue is
    /// counted before it sets QUEUED.
    waiting: AtomicU32,
    /// Those of them that ask for more than one permit.
    large: AtomicU32,
    /// Permits handed to waiters that have not claimed them yet.
    handed: AtomicU32,
    /// How often the head may lose before permits are kept for it.
    pub(crate) patience: u32,
    /// How many may wait. `u32::MAX` stands for any number: so many would not fit in memory.
    max_waiting: u32,

    /// Where waiters sleep.
    line: Event,
    /// Where a large request sleeps that had been called out of turn (see [`Queue::displace`]).
    /// It is served before `line`.
    front: Event,
    /// Where those sleep who wait for the limiter to be idle.
    idle: Event,
}

/// What becomes of the wish to be told when the limiter is idle.
pub(crate) enum IdleListener {
    IsIdle,
    Asleep(EventListener),
    /// Another thread is calling or telling; it is about to be done.
    TryAgain,
}

/// Which waker a listener has, without keeping it alive: what its data pointer says. Two wakers that
/// have it in common share what they own, so that none of them drops the last of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WakerId(usize);

impl WakerId {
    pub(crate) fn of(waker: &Waker) -> Self {
        Self(waker.data().addr())
    }
}

/// What a notified waiter finds.
pub(crate) enum Token {
    /// The open seat, with the word after the claim.
    Seat(Word),
    /// One permit, already counted in flight.
    Permit,
    /// Nothing: the limiter is closed, and somebody else was quicker.
    Nothing,
}

impl Queue {
    const_unless_loom! {
        pub(crate) fn new(ceiling: usize, patience: u32, max_waiting: u32) -> Self {
            Self {
                word: AtomicU64::new(Word::new(ceiling).0),
                barrier: newcomer_barrier(patience),
                patience,
                max_waiting,
                waiting: AtomicU32::new(0),
                large: AtomicU32::new(0),
                handed: AtomicU32::new(0),
                line: Event::new(),
                front: Event::new(),
                head: AtomicWaker::new(),
                idle: Event::new(),
            }
        }
    }

    /// The word now. Acquire: who decides by it that there is nothing to do must see the side
    /// counters of everybody who changed it before.
    #[inline]
    pub(crate) fn word(&self) -> Word {
        Word(self.word.load(Acquire))
    }

    /// One compare-and-swap. AcqRel, as the rule above demands; Acquire on failure because the
    /// caller goes on with what it found.
    #[inline]
    pub(crate) fn replace(&self, old: Word, new: Word) -> Result<Word, Word> {
        match self.word.compare_exchange(old.0, new.0, AcqRel, Acquire) {
            Ok(_) => Ok(new),
            Err(found) => Err(Word(found)),
        }
    }

    /// Applies `change` and returns the word before and after; `None` from it changes nothing.
    pub(crate) fn update(
        &self,
        mut change: impl FnMut(Word) -> Option<Word>,
    ) -> Result<(Word, Word), Word> {
        let mut word = self.word();
        loop {
            let Some(next) = change(word) else {
                return Err(word);
            };
            match self.replace(word, next) {
                Ok(next) => return Ok((word, next)),
                Err(found) => word = found,
            }
        }
    }

    /// A read-modify-write that changes nothing: makes the side counters known (the rule above).
    fn publish(&self) -> Word {
        Word(self.word.fetch_add(0, AcqRel))
    }

    /// Takes `n` permits without standing in line; whether it could.
    #[inline]
    pub(crate) fn take(&self, n: usize) -> bool {
        // Relaxed, here and below: a word that is out of date costs a failed exchange and no more.
        let word = Word(self.word.load(Relaxed));
        // Without any flag, as it mostly is, there is no need to know which ones count.
        (word.admits_if_plain(n) && self.try_take(word, n).is_ok()) || self.take_flagged(n)
    }

    #[inline(never)]
    fn take_flagged(&self, n: usize) -> bool {
        let mut word = Word(self.word.load(Relaxed));
        while self.admits_newcomer(word, n) {
            match self.try_take(word, n) {
                Ok(_) => return true,
                Err(found) => word = Word(found),
            }
        }
        false
    }

    #[inline]
    fn try_take(&self, word: Word, n: usize) -> Result<u64, u64> {
        // Acquire pairs with the AcqRel of `release`: what was done under the permit before is
        // seen by who has it now. Nothing is released: a taker has changed no counter.
        self.word.compare_exchange_weak(word.0, word.plus(n).0, Acquire, Relaxed)
    }

    /// Whether somebody who does not stand in line may take `n`.
    #[inline]
    pub(crate) fn admits_newcomer(&self, word: Word, n: usize) -> bool {
        word.admits_newcomer(n, self.barrier)
    }

    /// Gives back `n` permits.
    #[inline]
    pub(crate) fn release(&self, n: usize) {
        // AcqRel: releases the work done under the permit to its next holder, and acquires the
        // side counters of those who stand in line.
        let word = Word(self.word.fetch_sub(n as u64, AcqRel));
        if !word.is_plain() {
            self.released(word.minus(n));
        }
    }

    #[cold]
    #[inline(never)]
    fn released(&self, word: Word) {
        if word.wants_a_look() {
            self.settle(word);
        }
    }

    /// Does what `word`, which the caller has just brought about, obliges to.
    #[inline(never)]
    pub(crate) fn settle(&self, mut word: Word) {
        loop {
            // Relaxed: ordered by the read-modify-write that gave us `word`.
            let line = || (self.waiting(), self.large.load(Relaxed) == 0);
            let done = match word.duty(line) {
                Duty::Nothing => return,
                Duty::AnnounceIdle => self.dispatch(word, word.without(IDLE), || {
                    self.idle.notify_additional_relaxed(usize::MAX);
                }),
                // With CALLED set nobody else wakes the head until it has looked.
                Duty::WakeHead => self.replace(word, word.with(CALLED)).inspect(|_| {
                    self.head.wake();
                }),
                Duty::Call { seat, permits } => self.call(word, seat, permits),
                Duty::CallAll => self.dispatch(word, word.without(QUEUED), || {
                    self.notify(usize::MAX);
                }),
            };
            word = done.unwrap_or_else(|found| found);
        }
    }

    /// Calls waiters from the queue: one to the seat, if `seat`, and `permits` more, each with a
    /// permit.
    ///
    /// QUEUED is lowered first and raised again only if somebody may be left: everybody asked for
    /// was there, and there are waiters at all. A waiter that saw it set before is asleep already
    /// and has been counted, so we find it; one that comes later sets it itself. DISPATCH keeps
    /// the line from looking empty meanwhile, and others from calling: they leave it to us, who
    /// look again at the end.
    fn call(&self, word: Word, seat: bool, permits: usize) -> Result<Word, Word> {
        let opened = if seat { CALLED } else { 0 };
        let mut word =
            self.replace(word, word.without(QUEUED).with(DISPATCH | opened).plus(permits))?;
        if permits > 0 {
            // Release: who claims one need not be who is notified of it, and must see the same.
            self.handed.fetch_add(permits as u32, Release);
        }

        let tokens = usize::from(seat) + permits;
        let missed = tokens - self.notify(tokens);
        let more = missed == 0 && self.waiting() > 0;

        // What reached nobody is taken back: permits, as far as they are not claimed by waiters
        // that had been called before. If that leaves one token, it is the open seat; or, if that
        // has been taken, the permit that its taker was called with.
        let mut back = if missed > 0 { self.unhand(missed.min(permits)) } else { 0 };
        let mut seat_left = back < missed;
        loop {
            let mut next = word.without(DISPATCH);
            if more {
                next = next.with(QUEUED);
            }
            if seat_left {
                if word.seat_is_open() {
                    next = next.vacated();
                } else {
                    seat_left = false;
                    back += self.unhand(1);
                }
            }
            match self.replace(word, next.minus(back)) {
                Ok(next) => return Ok(next),
                Err(found) => word = found,
            }
        }
    }

    /// Changes the word and does something with DISPATCH set: nobody calls meanwhile, this thread's
    /// wakers included, which may be run or dropped under the mutex of an [`Event`].
    fn dispatch(&self, word: Word, next: Word, action: impl FnOnce()) -> Result<Word, Word> {
        self.replace(word, next.with(DISPATCH))?;
        action();
        Ok(Word(self.word.fetch_and(!DISPATCH, AcqRel)).without(DISPATCH))
    }

    /// Polls a listener; `registered` is the waker that it has.
    ///
    /// A waker that another replaces is dropped under the mutex of the listener's [`Event`], and
    /// may be the last owner of a permit, whose release would call waiters. So that is done with
    /// DISPATCH set.
    pub(crate) fn poll_listener(
        &self,
        listener: &mut EventListener,
        registered: &mut WakerId,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let id = WakerId::of(cx.waker());
        if *registered == id {
            return Pin::new(listener).poll(cx);
        }
        let mut word = self.word();
        let mut polled = Poll::Pending;
        loop {
            if word.has(DISPATCH) {
                // Not worth more than to try again: the other thread is about to be done.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match self.dispatch(word, word, || polled = Pin::new(&mut *listener).poll(cx)) {
                Ok(word) => {
                    *registered = id;
                    self.settle(word);
                    return polled;
                }
                Err(found) => word = found,
            }
        }
    }

    /// Notifies up to `n` sleepers, the displaced first, and returns how many there were.
    ///
    /// Relaxed (no fence): the queue's mutex and the word's own ordering are enough.
    fn notify(&self, n: usize) -> usize {
        let mut reached = 0;
        if self.large.load(Relaxed) > 0 {
            reached = self.front.notify_additional_relaxed(n);
        }
        if reached < n {
            reached += self.line.notify_additional_relaxed(n - reached);
        }
        reached
    }

    /// Takes up to `n` handed permits that nobody has claimed and returns how many.
    fn unhand(&self, n: usize) -> usize {
        let mut taken = 0;
        // Acquire pairs with the Release that handed them.
        let _ = self.handed.fetch_update(Acquire, Relaxed, |handed| {
            taken = handed.min(n as u32);
            (taken > 0).then_some(handed - taken)
        });
        taken as usize
    }

    /// Claims a token for a notified waiter that asks for `n` permits. `arrive` tells what becomes
    /// of the word if it is the open seat.
    ///
    /// Who asks for one permit prefers a handed one: the seat may have been opened for a larger
    /// request, which has no use for anything else.
    pub(crate) fn claim(&self, n: usize, arrive: impl Fn(Word) -> Word) -> Token {
        loop {
            if n == 1 && self.unhand(1) == 1 {
                return Token::Permit;
            }
            match self.update(|word| word.seat_is_open().then(|| arrive(word))) {
                Ok((_, after)) => return Token::Seat(after),
                // Whoever took the seat left the token that it had been called with.
                Err(_) if self.unhand(1) == 1 => return Token::Permit,
                Err(word) if word.has(CLOSED) => return Token::Nothing,
                // Others have changed tokens meanwhile, and one is left.
                Err(_) => {}
            }
        }
    }

    /// Tells of a request for `n` that is about to enter: from now on nothing is handed over past
    /// a large one.
    pub(crate) fn expect(&self, n: usize) {
        // Relaxed: made known by the read-modify-write with which it takes its place.
        if n > 1 {
            self.large.fetch_add(1, Relaxed);
        }
    }

    /// Whether as many wait as may.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting.load(Relaxed) >= self.max_waiting
    }

    /// Counts a waiter in, unless as many wait as may.
    pub(crate) fn count_in(&self) -> bool {
        // Relaxed: made known like `large`; a head is not asked for. A compare-and-swap, so that a
        // refused request is at no time counted.
        self.waiting
            .fetch_update(Relaxed, Relaxed, |waiting| {
                (waiting < self.max_waiting).then_some(waiting + 1)
            })
            .is_ok()
    }

    /// Lets a request for `n` go that has left the line, or never got into it, then `counted` may
    /// be false. `left` is the word that it left behind, if it changed it.
    pub(crate) fn leave(&self, n: usize, counted: bool, left: Option<Word>) {
        // AcqRel: the last to leave sees what the earlier ones did to the word, so it finds
        // QUEUED if one of them had set it.
        let last = counted && self.waiting.fetch_sub(1, AcqRel) == 1;
        let word = if n > 1 {
            self.large.fetch_sub(1, Relaxed);
            Some(self.publish())
        } else if last {
            let word = self.word();
            // The rule above, if somebody else is about to look, or may be when our exchange fails; else
            // we do, by this very word.
            Some(if word.has(QUEUED | DISPATCH) { self.publish() } else { word })
        } else {
            left
        };
        if let Some(word) = word {
            self.settle(word);
        }
    }

    /// The head gives up the seat; returns the word that is left.
    pub(crate) fn vacate(&self) -> Word {
        let vacated = self.word.fetch_and(!(HEAD | CALLED | FAIR), AcqRel);
        Word(vacated).vacated()
    }

    /// Goes to sleep at the end of the line.
    pub(crate) fn listen(&self) -> EventListener {
        self.line.listen()
    }

    /// Gives back a permit that was handed to a request for more than one, and puts the waiter
    /// to sleep in front of the line.
    ///
    /// Permits are handed on one by one only while all waiters ask for one; a larger request
    /// that enters just then may be called with one nevertheless.
    pub(crate) fn displace(&self) -> EventListener {
        let listener = self.front.listen();
        // AcqRel: the rule above. QUEUED first, so that the release finds it.
        self.word.fetch_or(QUEUED, AcqRel);
        self.release(1);
        listener
    }

    /// Asks to be told when the limiter is idle.
    pub(crate) fn listen_idle(&self) -> IdleListener {
        let word = self.word();
        if word.is_idle() {
            return IdleListener::IsIdle;
        }
        if word.has(DISPATCH) {
            // Perhaps an idle moment that is over is still being told: that must not reach us.
            return IdleListener::TryAgain;
        }
        // First asleep, then IDLE: who clears it notifies afterwards.
        let listener = self.idle.listen();
        match self.update(|word| (!word.is_idle()).then(|| word.with(IDLE))) {
            Ok((_, word)) => {
                self.settle(word);
                IdleListener::Asleep(listener)
            }
            Err(_) => {
                listener.discard();
                IdleListener::IsIdle
            }
        }
    }

    /// Sets the ceiling to what `choose` makes of the present one; returns both, or the present
    /// one if it stays. `changed` is run before anybody is woken.
    pub(crate) fn set_ceiling(
        &self,
        choose: impl Fn(usize) -> usize,
        changed: impl FnOnce(),
    ) -> Result<(usize, usize), usize> {
        let result = self.update(|word| {
            let ceiling = choose(word.ceiling());
            (ceiling != word.ceiling()).then(|| word.with_ceiling(ceiling))
        });
        match result {
            Ok((before, after)) => {
                changed();
                self.settle(after);
                Ok((before.ceiling(), after.ceiling()))
            }
            Err(word) => Err(word.ceiling()),
        }
    }

    /// Sets or clears one of PAUSED and CLOSED.
    pub(crate) fn set_flag(&self, flag: u64, on: bool) {
        debug_assert!(flag == PAUSED || (flag == CLOSED && on));
        let changed = self.update(|word| {
            let next = if on { word.with(flag) } else { word.without(flag) };
            (next != word).then_some(next)
        });
        if let Ok((_, word)) = changed {
            self.settle(word);
        }
    }

    /// Permits in flight that their waiters have not seen yet.
    #[cfg(feature = "stats")]
    pub(crate) fn handed(&self) -> usize {
        self.handed.load(Relaxed) as usize
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Relaxed) as usize
    }

    pub(crate) fn max_waiting(&self) -> usize {
        self.max_waiting as usize
    }
}
