//! The word in memory. Every ordering of it is chosen here; docs/design.md has the reasons.

use super::{CALLED, CLOSED, DISPATCH, FAIR, HEAD, QUEUED, Word};
use crate::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
};
use crate::sync::const_unless_loom;

pub(crate) struct AtomicWord(AtomicU64);

impl AtomicWord {
    const_unless_loom! {
        pub(crate) fn new(ceiling: usize) -> Self {
            Self(AtomicU64::new(Word::new(ceiling).0))
        }
    }

    /// Acquire: a decision that there is nothing to do must see the side counters of all who changed it
    /// before.
    #[inline]
    pub(crate) fn load(&self) -> Word {
        Word(self.0.load(Acquire))
    }

    /// For an attempt to take permits. Relaxed: a word that is out of date costs a failed exchange, or
    /// refuses what it would have refused a moment ago.
    #[inline]
    pub(crate) fn load_to_take(&self) -> Word {
        Word(self.0.load(Relaxed))
    }

    /// Acquire pairs with the AcqRel of `give_back`: what was done under the permit before is seen by
    /// its next holder. Nothing is released: a request that takes permits has changed no counter.
    #[inline]
    pub(crate) fn try_take(&self, word: Word, n: usize) -> Result<Word, Word> {
        let taken = word.plus(n);
        match self.0.compare_exchange_weak(word.0, taken.0, Acquire, Relaxed) {
            Ok(_) => Ok(taken),
            Err(found) => Err(Word(found)),
        }
    }

    /// Returns the word before it. AcqRel: releases the work done under the permits to their next
    /// holder, and acquires the side counters of those in line.
    #[inline]
    pub(crate) fn give_back(&self, n: usize) -> Word {
        Word(self.0.fetch_sub(n as u64, AcqRel))
    }

    /// One exchange; returns the word after it, or the one found. AcqRel, as the one rule demands;
    /// Acquire on failure because the caller goes on with what it found.
    #[inline]
    pub(crate) fn replace(&self, old: Word, new: Word) -> Result<Word, Word> {
        match self.0.compare_exchange(old.0, new.0, AcqRel, Acquire) {
            Ok(_) => Ok(new),
            Err(found) => Err(Word(found)),
        }
    }

    /// Applies `change` and returns the word after it; `None` from it changes nothing, and the word is
    /// returned as an error.
    pub(crate) fn update(
        &self,
        mut change: impl FnMut(Word) -> Option<Word>,
    ) -> Result<Word, Word> {
        let mut word = self.load();
        loop {
            let next = change(word).ok_or(word)?;
            match self.replace(word, next) {
                Ok(next) => return Ok(next),
                Err(found) => word = found,
            }
        }
    }

    /// A read-modify-write that changes nothing: makes the side counters known, as the one rule demands.
    pub(crate) fn publish(&self) -> Word {
        Word(self.0.fetch_add(0, AcqRel))
    }

    /// A waiter has gone to sleep behind the seat; returns the word after it, as those below do.
    pub(crate) fn queue(&self) -> Word {
        Word(self.0.fetch_or(QUEUED, AcqRel)).queued()
    }

    /// The head leaves the line.
    pub(crate) fn vacate(&self) -> Word {
        Word(self.0.fetch_and(!(HEAD | CALLED | FAIR), AcqRel)).vacated()
    }

    /// The thread that was calling is done.
    pub(crate) fn end_dispatch(&self) -> Word {
        Word(self.0.fetch_and(!DISPATCH, AcqRel)).dispatched()
    }

    pub(crate) fn close(&self) -> Word {
        Word(self.0.fetch_or(CLOSED, AcqRel)).closed()
    }
}
