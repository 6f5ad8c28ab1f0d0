//! Calling: what the author of a word does for the waiters.
//!
//! A *call* notifies a waiter that sleeps in the queue. It carries one *token*, which is not addressed to
//! a particular waiter: the open seat, or a permit that was counted in flight beforehand (`handed`). A
//! waiter that finds itself notified claims a token. There are never fewer tokens than notified waiters
//! that have claimed none, except after a close. There are more only while a call is under way; it takes
//! the surplus back.

use core::mem;

use super::Cell;
use crate::state::{Counts, Duty, Line, Word};
use crate::sync::ROUNDS;
use crate::sync::atomic::Ordering::{AcqRel, Relaxed};

/// Does the duties of a word when it is dropped.
struct FulfilOnDrop<'a> {
    cell: &'a Cell,
    word: Word,
}

impl Drop for FulfilOnDrop<'_> {
    fn drop(&mut self) {
        self.cell.fulfil(self.word);
    }
}

impl Cell {
    /// Does the duties of `word`, which the caller has just brought about or entered by.
    #[inline]
    pub(crate) fn settle(&self, word: Word) {
        if word.has_news() {
            self.fulfil(word);
        }
    }

    /// Likewise, also if there are neither permits nor news: the line may have become empty.
    #[inline(never)]
    pub(super) fn fulfil(&self, mut word: Word) {
        let mut rounds = 0;
        loop {
            let tired = rounds >= ROUNDS;
            let done = match word.duty(&self.line_as_known(tired)) {
                Duty::Nothing => return,
                Duty::AnnounceIdle => self.dispatch(word, word.telling(), || {
                    self.idle.notify_additional_relaxed(usize::MAX);
                }),
                // With CALLED set no other thread wakes the head until it has looked.
                Duty::WakeHead => {
                    self.word.replace(word, word.called()).map(|word| self.wake_head(word))
                }
                Duty::Call { seat, permits } => {
                    rounds += 1;
                    self.call(word, seat, permits, tired)
                }
                #[cfg(feature = "std")]
                Duty::Serve => self.serve(word).map(|served| {
                    let word = self.word.publish();
                    self.wake(word, || served.wake())
                }),
                Duty::CallAll => {
                    let done = self.dispatch(word, word.calling_all(), || {
                        self.notify(usize::MAX, 0);
                    });
                    #[cfg(feature = "std")]
                    let done = done.map(|word| self.wake(word, || self.list.close().wake()));
                    done
                }
            };
            word = done.unwrap_or_else(|found| found);
        }
    }

    /// Wakes the head that has just been called, or looks on its behalf; returns the word after it.
    fn wake_head(&self, word: Word) -> Word {
        let word = self.wake(word, || self.head.wake());
        #[cfg(feature = "std")]
        if let Some(served) = self.look_for_sleeping_head() {
            let word = self.word.publish();
            return self.wake(word, || served.wake());
        }
        word
    }

    /// I18: if a waker panics, what `word` obliges to is done all the same.
    fn wake(&self, word: Word, wake: impl FnOnce()) -> Word {
        let rest = FulfilOnDrop { cell: self, word };
        wake();
        mem::forget(rest);
        word
    }

    /// What a duty depends on. Relaxed: ordered by the read-modify-write that brought the word about.
    /// Waiters that left the word as it was may be missed here. Then too few are called, and the call
    /// shows that there are more.
    fn line_as_known(&self, tired: bool) -> Line {
        Line {
            waiting: self.waiting(),
            listed: self.list.known(),
            first_only: tired || self.has_large_in_queue(),
            head_wants: self.head_wants(),
            alone_above: self.alone_above(),
        }
    }

    /// Without `std` a large request sleeps among the units. Nothing is handed over past it.
    fn has_large_in_queue(&self) -> bool {
        #[cfg(feature = "std")]
        return false;
        #[cfg(not(feature = "std"))]
        self.list.has_large()
    }

    /// Whether the line moves only when the thread that is calling waiters is done.
    ///
    /// Others leave their duties to that thread as long as DISPATCH is set, and might keep it busy for
    /// as long as they go on. So after some rounds it is *tired*: it calls the first in line and no other
    /// waiter, and the waiter that reaches the seat stays in it until DISPATCH is clear. Then the tired
    /// thread has nothing left to do, and the head does the rest when it leaves.
    pub(crate) fn is_tired(&self, word: Word) -> bool {
        // Relaxed: a waiter that is called by a tired thread sees it; of others it is not exact, and
        // need not be.
        word.is_dispatching() && self.tired.load(Relaxed)
    }

    /// Only for the thread that has set DISPATCH.
    fn set_tired(&self, tired: bool) {
        // Relaxed: see `is_tired`. Mostly there is nothing to store.
        if self.tired.load(Relaxed) != tired {
            self.tired.store(tired, Relaxed);
        }
    }

    /// Calls waiters from the queue: one to the seat, if `seat`, and `permits` more, each with a
    /// permit.
    ///
    /// QUEUED is lowered first. It is raised again only if sleepers may be left: all that were asked for
    /// were there, or some sleep in the list. A waiter that saw it set before is asleep already and has
    /// been counted, so we find it; one that comes later sets it itself. DISPATCH keeps the line from
    /// looking empty meanwhile, and others from calling: they leave that to us, and we look again at the
    /// end.
    fn call(&self, word: Word, seat: bool, permits: usize, tired: bool) -> Result<Word, Word> {
        let mut word = self.word.replace(word, word.calling(seat, permits))?;
        if seat {
            self.begin_head();
        }
        self.set_tired(tired);

        let tokens = usize::from(seat) + permits;
        let listed = self.list.any();
        if listed {
            self.list.set_first_in_line(true);
        }
        let missed = tokens - self.notify(tokens, permits);
        if listed && missed == 0 {
            self.list.set_first_in_line(false);
        }
        let more = self.waiting() > 0 && (missed == 0 || self.list.any());

        // The tokens that reached no sleeper are taken back: permits, as far as waiters that had been
        // called before have not claimed them. If one token is left then, it is the open seat; or, if
        // that has been taken, the permit that its taker was called with.
        let mut back = if missed > 0 { self.take_handed(missed.min(permits), false) } else { 0 };
        let mut seat_left = back < missed;
        loop {
            let mut next = word.dispatched();
            if more {
                next = next.queued();
            }
            if seat_left {
                if word.seat_is_open() {
                    next = next.vacated();
                } else {
                    seat_left = false;
                    back += self.take_handed(1, false);
                }
            }
            match self.word.replace(word, next.minus(back)) {
                Ok(next) => return Ok(next),
                Err(found) => word = found,
            }
        }
    }

    /// Changes the word and does something with DISPATCH set: meanwhile no thread calls, this one
    /// included, whose wakers may be run or dropped under the mutex of an `Event`.
    pub(super) fn dispatch(
        &self,
        word: Word,
        next: Word,
        action: impl FnOnce(),
    ) -> Result<Word, Word> {
        self.word.replace(word, next.dispatching())?;
        self.set_tired(false);
        action();
        Ok(self.word.end_dispatch())
    }

    /// Notifies up to `n` sleepers in the queue, with `permits` handed over among them.
    /// Returns how many there were.
    ///
    /// QUEUED has just been lowered. A waiter that finds it set, after it went to sleep and was
    /// counted, leaves the word as it is. Its counting and ours are read-modify-writes of the same
    /// counts: if ours is the first, it sees QUEUED lowered; if not, we see it asleep.
    ///
    /// Relaxed notifications (no fence): that and the queue's mutex are enough.
    fn notify(&self, n: usize, permits: usize) -> usize {
        // Release also for the permits: the waiter that claims one need not be the one that is notified
        // of it, and must see the same.
        self.counts.fetch_add(permits as u64 * Counts::HANDED, AcqRel);
        #[cfg(not(feature = "std"))]
        let in_front =
            if self.list.has_large() { self.front.notify_additional_relaxed(n) } else { 0 };
        #[cfg(feature = "std")]
        let in_front = 0;
        in_front + self.queue.notify_additional_relaxed(n - in_front)
    }
}
