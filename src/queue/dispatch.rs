//! Calling: who is woken when, and what a woken waiter finds.
//!
//! A *call* is a notification of a sleeping waiter. It carries one *token*, not addressed to
//! anybody: the open seat, or a permit that was counted in flight beforehand (`handed`). A waiter
//! that finds itself notified claims a token. There are never fewer tokens than notified waiters that
//! have claimed none, except after a close; there are more only while a call is under way, which
//! takes them back.

use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use event_listener::EventListener;

use super::Queue;
use crate::state::{CALLED, CLOSED, Counts, DISPATCH, Duty, IDLE, Line, QUEUED, Word};
use crate::sync::ROUNDS;
use crate::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

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

/// Does the duties of a word when it is dropped.
struct FulfilOnDrop<'a> {
    queue: &'a Queue,
    word: Word,
}

impl Drop for FulfilOnDrop<'_> {
    fn drop(&mut self) {
        self.queue.fulfil(self.word);
    }
}

impl Queue {
    /// Does what `word`, which the caller has just brought about or entered by, obliges to.
    #[inline]
    pub(crate) fn settle(&self, word: Word) {
        if word.has_news() {
            self.fulfil(word);
        }
    }

    #[inline(never)]
    pub(super) fn fulfil(&self, mut word: Word) {
        let mut rounds = 0;
        loop {
            let tired = rounds >= ROUNDS;
            let done = match word.duty(&self.line_as_known(tired)) {
                Duty::Nothing => return,
                Duty::AnnounceIdle => self.dispatch(word, word.without(IDLE), || {
                    self.idle.notify_additional_relaxed(usize::MAX);
                }),
                // With CALLED set nobody else wakes the head until it has looked.
                Duty::WakeHead => {
                    self.replace(word, word.with(CALLED)).map(|word| self.wake_head(word))
                }
                Duty::Call { seat, permits } => {
                    rounds += 1;
                    self.call(word, seat, permits, tired)
                }
                #[cfg(feature = "std")]
                Duty::Serve => self.serve(word).map(|served| {
                    let word = self.publish();
                    self.wake(word, || served.wake())
                }),
                Duty::CallAll => {
                    let done = self.dispatch(word, word.without(QUEUED), || {
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
        #[cfg(feature = "std")]
        if let Some(served) = self.look_for_seated() {
            let word = self.publish();
            return self.wake(word, || served.wake());
        }
        self.wake(word, || self.head.wake())
    }

    /// I18: if a waker panics, what `word` obliges to is done all the same.
    fn wake(&self, word: Word, wake: impl FnOnce()) -> Word {
        let rest = FulfilOnDrop { queue: self, word };
        wake();
        mem::forget(rest);
        word
    }

    /// Relaxed: ordered by the read-modify-write that brought the word about. Waiters that left the
    /// word as it was may be missed here. Then too few are called, which shows that there are more.
    /// Without `std` a permit may be handed to a large one then, which gives it back.
    fn line_as_known(&self, tired: bool) -> Line {
        Line {
            waiting: self.waiting(),
            listed: self.list.known(),
            first_only: tired || cfg!(not(feature = "std")) && self.list.any(),
            head_wants: self.head_wants(),
            alone_above: self.alone_above(),
        }
    }

    /// Whether the line moves only when the thread that is calling waiters is done.
    ///
    /// Others leave their duties to that thread as long as DISPATCH is set, and might keep it busy for
    /// as long as they go on. So after some rounds it is *tired*: it calls the first in line and
    /// nobody else, and whoever gets to the seat stays in it until DISPATCH is clear. Then nothing is
    /// left to do for the tired thread, and the head does the rest when it leaves.
    pub(crate) fn is_tired(&self, word: Word) -> bool {
        // Relaxed: a waiter that is called by a tired thread sees it; of others it is not exact, and
        // need not be.
        word.has(DISPATCH) && self.tired.load(Relaxed)
    }

    /// Only for the owner of DISPATCH.
    fn set_tired(&self, tired: bool) {
        // Relaxed: see `is_tired`. Mostly there is nothing to store.
        if self.tired.load(Relaxed) != tired {
            self.tired.store(tired, Relaxed);
        }
    }

    /// Calls waiters from the queue: one to the seat, if `seat`, and `permits` more, each with a
    /// permit.
    ///
    /// QUEUED is lowered first and raised again only if somebody may be left: everybody asked for
    /// was there, and there are waiters at all; or some sleep in the list. A waiter that saw it set before is asleep already
    /// and has been counted, so we find it; one that comes later sets it itself. DISPATCH keeps
    /// the line from looking empty meanwhile, and others from calling: they leave it to us, who
    /// look again at the end.
    fn call(&self, word: Word, seat: bool, permits: usize, tired: bool) -> Result<Word, Word> {
        let opened = if seat { CALLED } else { 0 };
        let mut word =
            self.replace(word, word.without(QUEUED).with(DISPATCH | opened).plus(permits))?;
        if seat {
            self.begin_head();
        }
        self.set_tired(tired);

        let tokens = usize::from(seat) + permits;
        #[cfg(feature = "std")]
        if self.list.any() {
            self.list.set_first_in_line(true);
        }
        let missed = tokens - self.notify(tokens, permits);
        #[cfg(feature = "std")]
        if missed == 0 && self.list.any() {
            self.list.set_first_in_line(false);
        }
        let more = self.waiting() > 0 && (missed == 0 || self.list.any());

        // What reached nobody is taken back: permits, as far as they are not claimed by waiters
        // that had been called before. If that leaves one token, it is the open seat; or, if that
        // has been taken, the permit that its taker was called with.
        let mut back = if missed > 0 { self.unhand(missed.min(permits), false) } else { 0 };
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
                    back += self.unhand(1, false);
                }
            }
            match self.replace(word, next.minus(back)) {
                Ok(next) => return Ok(next),
                Err(found) => word = found,
            }
        }
    }

    /// Changes the word and does something with DISPATCH set: nobody calls meanwhile, this thread's
    /// wakers included, which may be run or dropped under the mutex of an `Event`.
    fn dispatch(&self, word: Word, next: Word, action: impl FnOnce()) -> Result<Word, Word> {
        self.replace(word, next.with(DISPATCH))?;
        self.set_tired(false);
        action();
        Ok(Word(self.word.fetch_and(!DISPATCH, AcqRel)).without(DISPATCH))
    }

    /// Polls a listener; `registered` is the waker that it has.
    ///
    /// A waker that another replaces is dropped under the mutex of the listener's `Event`, and
    /// may be the last owner of a permit, whose release would call waiters. So that is done with
    /// DISPATCH set.
    #[inline]
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
        self.replace_waker(listener, registered, id, cx)
    }

    #[cold]
    fn replace_waker(
        &self,
        listener: &mut EventListener,
        registered: &mut WakerId,
        id: WakerId,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
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
                    // In full: a last waiter that left meanwhile relies on it.
                    self.fulfil(word);
                    return polled;
                }
                Err(found) => word = found,
            }
        }
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
        // Release also for the permits: who claims one need not be who is notified of it, and must
        // see the same.
        self.counts.fetch_add(permits as u64 * Counts::HANDED, AcqRel);
        #[cfg(not(feature = "std"))]
        let in_front = if self.list.any() { self.front.notify_additional_relaxed(n) } else { 0 };
        #[cfg(feature = "std")]
        let in_front = 0;
        in_front + self.line.notify_additional_relaxed(n - in_front)
    }

    /// Takes up to `n` handed permits that nobody has claimed and returns how many. If there are any
    /// and `leave` is set, a waiter is counted out with them.
    fn unhand(&self, n: usize, leave: bool) -> usize {
        let mut taken = 0;
        // Acquire pairs with the Release that handed them. A waiter that leaves with a permit need not
        // be known to the last one to leave (see `Queue::leave`), who knows of the call that it got it
        // by; nor need it look itself: while it keeps the permit nothing depends on a QUEUED left behind,
        // and whoever makes a permit free looks.
        let _ = self.counts.fetch_update(Acquire, Relaxed, |counts| {
            taken = Counts(counts).handed().min(n);
            let left = if leave { Counts::WAITER } else { 0 };
            (taken > 0).then(|| counts - taken as u64 * Counts::HANDED - left)
        });
        taken
    }

    /// Claims a token for a notified waiter that asks for `n` permits. `arrive` tells what becomes
    /// of the word if it is the open seat. If it is a permit and `leave` is set, the waiter is counted
    /// out in the same operation.
    ///
    /// Who asks for one permit prefers a handed one: the seat may have been opened for a larger
    /// request, which has no use for anything else.
    #[inline]
    pub(crate) fn claim(&self, n: usize, leave: bool, arrive: impl Fn(Word) -> Word) -> Token {
        loop {
            if n == 1 && self.unhand(1, leave) == 1 {
                return Token::Permit;
            }
            match self.update(|word| word.seat_is_open().then(|| arrive(word))) {
                Ok((_, after)) => return Token::Seat(after),
                // Whoever took the seat left the token that it had been called with.
                Err(_) if self.unhand(1, leave) == 1 => return Token::Permit,
                Err(word) if word.has(CLOSED) => return Token::Nothing,
                // Others have changed tokens meanwhile, and one is left.
                Err(_) => {}
            }
        }
    }
}
