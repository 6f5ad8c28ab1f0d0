//! The limiter's side of the line: the word, and the places to sleep in. Who is woken when is in
//! `queue/dispatch.rs`.
//!
//! The one rule that keeps wake-ups from being lost: **whoever changes what a [`Duty`] depends on
//! does a read-modify-write of the word after it, and then does what the word obliges to.** All
//! such operations are totally ordered and each acquires what was before it, so of any two
//! changes the later one's author sees both. That is all the ordering there is: no fence, no
//! `SeqCst`. Two changes are made known in another way, for speed: see `notify` and `unhand`.
//!
//! [`Duty`]: crate::state::Duty

mod dispatch;

use event_listener::{Event, EventListener, Listener};

pub(crate) use self::dispatch::{Token, WakerId};
use crate::state::{
    CALLED, CLOSED, Counts, DISPATCH, FAIR, HEAD, IDLE, PAUSED, QUEUED, Word, newcomer_barrier,
};
use crate::sync::AtomicWaker;
use crate::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
};
use crate::sync::const_unless_loom;

// In this order, what a release, a wake-up and a newcomer touch lies in one cache line: a limiter
// begins with its queue, at the beginning of a line.
#[repr(C)]
pub(crate) struct Queue {
    word: AtomicU64,
    /// Flags at which a newcomer may not take a permit.
    pub(crate) barrier: u64,
    /// The head's waker. Only who sits in the seat registers here.
    pub(crate) head: AtomicWaker,
    /// How many wait, and how many of them have been handed a permit. A waiter in the queue is
    /// counted before it sets QUEUED, or finds it set.
    counts: AtomicU64,
    /// Waiters that ask for more than one permit.
    large: AtomicU32,
    /// How often the head may lose before permits are kept for it.
    pub(crate) patience: u32,
    /// How many may wait. `u32::MAX` stands for any number: so many would not fit in memory.
    pub(crate) max_waiting: u32,
    /// Requests for more than this run alone if they do not fit: 0, or `max` where those that the
    /// ceiling may yet have room for wait. See [`Queue::alone_above`].
    pub(crate) alone_above: AtomicU32,

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

impl Queue {
    const_unless_loom! {
        pub(crate) fn new(
            ceiling: usize,
            patience: u32,
            max_waiting: u32,
            alone_above: u32,
        ) -> Self {
            Self {
                word: AtomicU64::new(Word::new(ceiling).0),
                barrier: newcomer_barrier(patience),
                patience,
                max_waiting,
                alone_above: AtomicU32::new(alone_above),
                counts: AtomicU64::new(0),
                large: AtomicU32::new(0),
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
        // Relaxed: a word that is out of date costs a failed exchange, or refuses what it would have
        // refused a moment ago.
        let mut word = Word(self.word.load(Relaxed));
        // Without any flag, as it mostly is, there is no need to know which ones count.
        if word.admits_if_plain(n, || self.alone_above()) {
            match self.try_take(word, n) {
                Ok(_) => return true,
                Err(found) => word = Word(found),
            }
        }
        self.take_flagged(word, n)
    }

    #[inline(never)]
    fn take_flagged(&self, mut word: Word, n: usize) -> bool {
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
        word.admits_newcomer(n, self.barrier, || self.alone_above())
    }

    /// Whether the first in line may take `n`.
    #[inline]
    pub(crate) fn admits(&self, word: Word, n: usize) -> bool {
        word.admits(n, || self.alone_above())
    }

    /// Above how many permits a request that does not fit runs alone.
    #[inline]
    fn alone_above(&self) -> usize {
        // Relaxed: see `set_max`, the only one to change it.
        self.alone_above.load(Relaxed) as usize
    }

    /// Whether any request may run alone.
    #[cfg(feature = "std")]
    pub(crate) fn runs_alone(&self) -> bool {
        self.alone_above() == 0
    }

    /// Tells of another `max`: the head may be for more than that, and run alone now. To be called
    /// without the turn.
    pub(crate) fn set_max(&self, max: usize) {
        if self.alone_above() != 0 {
            self.alone_above.store(max as u32, Relaxed);
            // The word does not show it, so the head is woken whatever that says. It looks after it
            // has registered its waker, so it has seen this or is woken for it.
            self.head.wake();
        }
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
    fn released(&self, word: Word) {
        if word.wants_a_look() {
            self.settle(word);
        }
    }

    /// Tells of a request for `n` that is about to enter: from now on nothing is handed over past
    /// a large one.
    pub(crate) fn expect(&self, n: usize) {
        // Relaxed: made known by the read-modify-writes with which it is counted and takes its place.
        if n > 1 {
            self.large.fetch_add(1, Relaxed);
        }
    }

    /// Whether as many wait as may.
    pub(crate) fn is_full(&self) -> bool {
        self.counts().waiting() >= self.max_waiting as usize
    }

    /// Counts a waiter in, unless as many wait as may.
    pub(crate) fn count_in(&self) -> bool {
        // AcqRel: see `notify`. A compare-and-swap, so that a refused request is at no time counted.
        self.counts
            .fetch_update(AcqRel, Relaxed, |counts| {
                (Counts(counts).waiting() < self.max_waiting as usize)
                    .then_some(counts + Counts::WAITER)
            })
            .is_ok()
    }

    /// Lets a request for `n` go that has left the line, or never got into it, then `counted` may
    /// be false. `left` is the word that it left behind, if it changed it.
    pub(crate) fn leave(&self, n: usize, counted: bool, left: Option<Word>) {
        // AcqRel: the last to leave sees what the earlier ones did to the word, or saw there, so it
        // finds QUEUED if it was set for one of them.
        let last = counted && Counts(self.counts.fetch_sub(Counts::WAITER, AcqRel)).waiting() == 1;
        if n > 1 {
            self.large.fetch_sub(1, Relaxed);
        }
        // The rule above. That nobody waits any more matters where QUEUED was left behind, and to a
        // dispatcher that may raise it again.
        if last && self.word().has(QUEUED | DISPATCH) {
            self.fulfil(self.publish());
        } else if n > 1 {
            self.settle(self.publish());
        } else if let Some(word) = left {
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

    /// Sets the ceiling in force, and returns the word if that has changed it: to be settled. Only
    /// for whoever has the turn (see `caps.rs`).
    pub(crate) fn set_ceiling(&self, ceiling: usize) -> Option<Word> {
        let changed =
            self.update(|word| (word.ceiling() != ceiling).then(|| word.with_ceiling(ceiling)));
        changed.ok().map(|(_, word)| word)
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
        self.counts().handed()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.counts().waiting()
    }

    fn counts(&self) -> Counts {
        Counts(self.counts.load(Relaxed))
    }

    pub(crate) fn max_waiting(&self) -> usize {
        self.max_waiting as usize
    }
}
