//! The waiter's side of the line: how one request enters it, moves up, and leaves it, served or
//! not. The futures in `acquire.rs` drive it.

use core::mem::{self, ManuallyDrop};
use core::task::{Context, Poll, ready};

use event_listener::{EventListener, Listener};

use crate::queue::{Queue, Token, WakerId};
use crate::state::{CALLED, CLOSED, FAIR, HEAD, LINE, QUEUED, Word};

/// Why a request was not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Closed,
    QueueFull,
}

/// A request for `n` permits that could not be served at once.
#[derive(Debug)]
pub(crate) struct Waiter {
    n: usize,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// Not in line: not yet, or not any more.
    Outside,
    /// Asleep in the queue, or notified; with the waker that is registered there. The listener is
    /// taken out by hand, by `leave_queue`: its drop glue would lie on the way of every request that
    /// need not wait.
    Queued(ManuallyDrop<EventListener>, WakerId),
    /// In the seat, where it has been woken `losses` times and found too few permits.
    Head { losses: u32 },
}

impl Waiter {
    pub(crate) const fn new(n: usize) -> Self {
        Self { n, place: Place::Outside }
    }

    pub(crate) fn n(&self) -> usize {
        self.n
    }

    /// Whether it stands in line.
    #[inline]
    pub(crate) fn is_waiting(&self) -> bool {
        !matches!(self.place, Place::Outside)
    }

    /// Moves up as far as possible. When it is ready the waiter is outside again.
    pub(crate) fn poll(
        &mut self,
        queue: &Queue,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Refusal>> {
        if !self.is_waiting()
            && let Some(outcome) = self.enter(queue, cx)
        {
            return Poll::Ready(outcome);
        }
        while let Place::Queued(listener, registered) = &mut self.place {
            ready!(queue.poll_listener(listener, registered, cx));
            drop(self.leave_queue());
            if let Some(outcome) = self.arrive(queue, cx) {
                return Poll::Ready(outcome);
            }
        }
        self.poll_seated(queue, cx)
    }

    /// Enters the line, or is served or refused on the way.
    ///
    /// It is counted as waiting only when its place is certain: once this has returned, nobody gets in
    /// front of it.
    fn enter(&mut self, queue: &Queue, cx: &mut Context<'_>) -> Option<Result<(), Refusal>> {
        queue.expect(self.n);
        let mut listener = None;
        let mut counted = false;
        let mut word = queue.word();
        let (outcome, left) = loop {
            let next = if word.has(CLOSED) {
                break (Err(Refusal::Closed), word);
            } else if queue.admits_newcomer(word, self.n) {
                word.plus(self.n)
            } else if listener.is_some() {
                word.with(QUEUED)
            } else if queue.is_full() {
                break (Err(Refusal::QueueFull), word);
            } else if word.has(LINE) {
                // Asleep first, then QUEUED: who lowers it notifies afterwards, and must find us.
                listener = Some(queue.listen());
                counted = queue.count_in();
                word = queue.word();
                if !counted {
                    break (Err(Refusal::QueueFull), word);
                }
                continue;
            } else {
                // Nobody waits: straight to the seat, without touching the queue.
                word.with(HEAD)
            };
            // If QUEUED is set already, being counted was enough: see `Queue::notify`.
            let replaced = if next == word { Ok(next) } else { queue.replace(word, next) };
            match replaced {
                Err(found) => word = found,
                Ok(left) if left.in_flight() != word.in_flight() => break (Ok(()), left),
                Ok(entered) => {
                    if let Some(listener) = listener {
                        self.place = Place::queued(listener, cx);
                        // A permit may be free, only not for newcomers.
                        queue.settle(entered);
                        return None;
                    }
                    self.place = Place::Head { losses: 0 };
                    if queue.count_in() {
                        return None;
                    }
                    break (Err(Refusal::QueueFull), self.leave_seat(queue));
                }
            }
        };
        if listener.is_some_and(EventListener::discard) {
            decline(queue, self.n);
        }
        queue.leave(self.n, counted, Some(left));
        Some(outcome)
    }

    /// Claims what it was called for: the seat, or a permit.
    fn arrive(&mut self, queue: &Queue, cx: &mut Context<'_>) -> Option<Result<(), Refusal>> {
        let n = self.n;
        let token = queue.claim(n, n == 1, |word| {
            if word.has(CLOSED) {
                word.vacated()
            } else if queue.admits(word, n) {
                word.vacated().plus(n)
            } else {
                // Still CALLED: it has arrived and not looked yet.
                word.with(HEAD)
            }
        });
        let (outcome, left) = match token {
            Token::Seat(after) if after.has(HEAD) => {
                self.place = Place::Head { losses: 0 };
                return None;
            }
            Token::Seat(after) if after.has(CLOSED) => (Err(Refusal::Closed), Some(after)),
            Token::Seat(after) => (Ok(()), Some(after)),
            // All that it asked for: it has left with it.
            Token::Permit if n == 1 => return Some(Ok(())),
            Token::Permit => {
                self.place = Place::queued(queue.displace(), cx);
                return None;
            }
            Token::Nothing => (Err(Refusal::Closed), None),
        };
        queue.leave(n, true, left);
        Some(outcome)
    }

    /// Takes the permits from the seat, or goes to sleep in it.
    fn poll_seated(&mut self, queue: &Queue, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        let Place::Head { losses } = &mut self.place else {
            unreachable!("who is not outside nor queued sits in the seat");
        };
        let mut word = queue.word();
        let mut lost = false;
        let mut registered = false;
        loop {
            if word.has(CLOSED) || queue.admits(word, self.n) {
                // The waker must be out before the seat is free for another's. If CALLED is set,
                // whoever set it takes it out, unless it was put there since.
                if registered || !word.has(CALLED) {
                    drop(queue.head.take());
                    registered = false;
                }
                let (outcome, next) = if word.has(CLOSED) {
                    (Err(Refusal::Closed), word.vacated())
                } else {
                    (Ok(()), word.vacated().plus(self.n))
                };
                match queue.replace(word, next) {
                    Ok(left) => {
                        self.place = Place::Outside;
                        queue.leave(self.n, true, Some(left));
                        return Poll::Ready(outcome);
                    }
                    Err(found) => word = found,
                }
                continue;
            }
            if !registered {
                // First the waker, then the last look: who frees a permit after it finds it.
                queue.head.register(cx.waker());
                registered = true;
                word = queue.word();
                continue;
            }
            if word.has(CALLED) && !lost {
                lost = true;
                *losses = losses.saturating_add(1);
            }
            let fair = if *losses >= queue.patience { FAIR } else { 0 };
            let asleep = word.without(CALLED).with(fair);
            if asleep == word {
                return Poll::Pending;
            }
            match queue.replace(word, asleep) {
                Ok(_) => return Poll::Pending,
                Err(found) => word = found,
            }
        }
    }

    /// I10: leaves the line, wherever it stands, and passes on what it was called for. Returns
    /// whether it gave back a permit that it had been handed.
    pub(crate) fn cancel(&mut self, queue: &Queue) -> bool {
        let mut given_back = false;
        let left = match self.place {
            Place::Outside => return false,
            Place::Head { .. } => Some(self.leave_seat(queue)),
            Place::Queued(..) => {
                if self.leave_queue().is_some_and(EventListener::discard) {
                    given_back = decline(queue, self.n);
                }
                None
            }
        };
        queue.leave(self.n, true, left);
        given_back
    }

    /// Gives the seat up; returns the word that is left.
    fn leave_seat(&mut self, queue: &Queue) -> Word {
        self.place = Place::Outside;
        drop(queue.head.take());
        queue.vacate()
    }

    /// Takes the listener out, if it is in the queue.
    fn leave_queue(&mut self) -> Option<EventListener> {
        match mem::replace(&mut self.place, Place::Outside) {
            Place::Queued(listener, _) => Some(ManuallyDrop::into_inner(listener)),
            Place::Outside | Place::Head { .. } => None,
        }
    }
}

impl Place {
    fn queued(listener: EventListener, cx: &mut Context<'_>) -> Self {
        // The first poll, which is about to follow, registers this waker and replaces none.
        Self::Queued(ManuallyDrop::new(listener), WakerId::of(cx.waker()))
    }
}

/// Gives back the token of a notified waiter that has no more use for it; returns whether that was
/// a permit.
fn decline(queue: &Queue, n: usize) -> bool {
    match queue.claim(n, false, Word::vacated) {
        Token::Seat(after) => queue.settle(after),
        Token::Permit => {
            queue.release(1);
            return true;
        }
        Token::Nothing => {}
    }
    false
}
