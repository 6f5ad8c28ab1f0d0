//! The waiter's side of the line: how one request enters it, moves up, and leaves it, served or
//! not. The futures in `acquire.rs` drive it.

use core::mem::{self, ManuallyDrop};
use core::task::{Context, Poll, Waker, ready};

use event_listener::{EventListener, Listener};

#[cfg(feature = "std")]
use crate::queue::{Answer, Entry, Left};
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
    /// Likewise, and it has given way to the head once.
    GaveWay,
    /// Asleep in the queue, or notified; with the waker that is registered there. The listener is
    /// taken out by hand, by `leave_queue`: its drop glue would lie on the way of every request that
    /// need not wait.
    Queued { listener: ManuallyDrop<EventListener>, registered: WakerId },
    /// Asleep in the list, or answered.
    #[cfg(feature = "std")]
    Listed { entry: Entry },
    /// In the seat. `called`: by its own doing, so that its first look is no loss.
    Head { called: bool },
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
        !matches!(self.place, Place::Outside | Place::GaveWay)
    }

    /// Whether it gives way if the head has been overtaken often enough (I16).
    #[inline]
    pub(crate) fn gives_way(&self) -> bool {
        matches!(self.place, Place::Outside)
    }

    /// I16: whether it has to let the head go first. It is not in line yet, and does so once.
    pub(crate) fn give_way(&mut self, queue: &Queue) -> bool {
        let gives_way = self.gives_way() && queue.must_give_way(self.n);
        if gives_way {
            self.place = Place::GaveWay;
        }
        gives_way
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
        while let Place::Queued { listener, registered } = &mut self.place {
            ready!(queue.poll_listener(listener, registered, cx));
            drop(self.leave_queue());
            if let Some(outcome) = self.arrive(queue, cx) {
                return Poll::Ready(outcome);
            }
        }
        #[cfg(feature = "std")]
        if let Place::Listed { entry } = self.place {
            let Some(answer) = queue.list.poll(entry, cx.waker()) else { return Poll::Pending };
            self.place = Place::Outside;
            match answer {
                Answer::Granted => {
                    queue.leave_granted();
                    return Poll::Ready(Ok(()));
                }
                Answer::Closed => {
                    return Poll::Ready(self.leave(queue).with(Err(Refusal::Closed)));
                }
                Answer::Seated => self.place = Place::Head { called: false },
            }
        }
        self.poll_seated(queue, cx)
    }

    /// Enters the line, or is served or refused on the way.
    ///
    /// It is counted as waiting only when its place is certain: once this has returned, nobody gets in
    /// front of it.
    fn enter(&mut self, queue: &Queue, cx: &mut Context<'_>) -> Option<Result<(), Refusal>> {
        let mut leave = self.leave(queue);
        leave.counted = false;
        #[cfg(not(feature = "std"))]
        if self.n > 1 {
            queue.list.enter();
        }
        let mut listener = None;
        let mut word = queue.word();
        let outcome = loop {
            let next = if word.has(CLOSED) {
                break Err(Refusal::Closed);
            } else if queue.admits_newcomer(word, self.n) {
                word.plus(self.n)
            } else if listener.is_some() {
                word.with(QUEUED)
            } else if queue.is_full() {
                break Err(Refusal::QueueFull);
            } else if word.has(LINE) {
                #[cfg(feature = "std")]
                if let Some(entry) = queue.list.push(self.n, cx.waker()) {
                    leave.forget();
                    return self.enter_list(queue, entry);
                }
                // Asleep first, then QUEUED: who lowers it notifies afterwards, and must find us.
                listener = Some(queue.listen());
                leave.counted = queue.count_in();
                word = queue.word();
                if !leave.counted {
                    break Err(Refusal::QueueFull);
                }
                continue;
            } else if self.n == 1 {
                // Nobody waits: straight to the seat, without touching the queue.
                word.with(HEAD)
            } else {
                // Likewise, but as if called: it has not looked yet. First: whoever sees HEAD must know
                // what it wants.
                queue.sit_down(self.n);
                word.with(HEAD | CALLED)
            };
            // If QUEUED is set already, being counted was enough: see `Queue::notify`.
            let replaced = if next == word { Ok(next) } else { queue.replace(word, next) };
            match replaced {
                Err(found) => {
                    if self.n > 1 && next.has(HEAD) && !word.has(HEAD) {
                        queue.stand_up(self.n);
                    }
                    word = found;
                }
                Ok(left) if left.in_flight() != word.in_flight() => {
                    queue.count_overtake(word);
                    word = left;
                    break Ok(());
                }
                Ok(entered) => {
                    if let Some(listener) = listener {
                        leave.forget();
                        self.place = Place::queued(listener, cx);
                        // A permit may be free, only not for newcomers.
                        queue.settle(queue.tell_list(entered));
                        return None;
                    }
                    queue.begin_head();
                    leave.forget();
                    self.place = Place::Head { called: self.n > 1 };
                    if queue.count_in() {
                        return None;
                    }
                    let mut leave = self.leave(queue);
                    leave.counted = false;
                    leave.left = Some(self.leave_seat(queue, &mut leave.waker));
                    return Some(leave.with(Err(Refusal::QueueFull)));
                }
            }
        };
        leave.left = Some(word);
        // Until it has left the queue as well: a waker that panics on the way must not cost the permits.
        let permits = GiveBack { queue, n: if outcome.is_ok() { self.n } else { 0 } };
        if let Some(listener) = listener {
            leave.queue(listener);
        }
        mem::forget(permits);
        Some(leave.with(outcome))
    }

    /// It is in the list, and to be counted.
    #[cfg(feature = "std")]
    fn enter_list(&mut self, queue: &Queue, entry: Entry) -> Option<Result<(), Refusal>> {
        if queue.count_in() {
            self.place = Place::Listed { entry };
            queue.settle(queue.enter_list());
            return None;
        }
        let mut leave = self.leave(queue);
        leave.counted = false;
        leave.list(entry);
        Some(leave.with(Err(Refusal::QueueFull)))
    }

    /// Claims what it was called for: the seat, or a permit.
    fn arrive(&mut self, queue: &Queue, cx: &mut Context<'_>) -> Option<Result<(), Refusal>> {
        #[cfg(feature = "std")]
        let _ = cx;
        let n = self.n;
        let token = queue.claim(n, n == 1, |word| {
            if queue.is_tired(word) {
                word.with(HEAD)
            } else if word.has(CLOSED) {
                word.vacated()
            } else if queue.admits(word, n) {
                word.vacated().plus(n)
            } else {
                // Still CALLED: it has arrived and not looked yet.
                word.with(HEAD)
            }
        });
        let mut leave = self.leave(queue);
        let outcome = match token {
            Token::Seat(after) if after.has(HEAD) => {
                queue.sit_down(n);
                leave.forget();
                self.place = Place::Head { called: false };
                return None;
            }
            Token::Seat(after) => {
                leave.left = Some(after);
                if after.has(CLOSED) { Err(Refusal::Closed) } else { Ok(()) }
            }
            // All that it asked for: it has left with it.
            Token::Permit if n == 1 => {
                leave.forget();
                return Some(Ok(()));
            }
            #[cfg(feature = "std")]
            Token::Permit => unreachable!("a request for several does not sleep in the queue"),
            #[cfg(not(feature = "std"))]
            Token::Permit => {
                leave.forget();
                self.place = Place::queued(queue.listen_in_front(), cx);
                queue.displace();
                return None;
            }
            Token::Nothing => Err(Refusal::Closed),
        };
        Some(leave.with(outcome))
    }

    /// Takes the permits from the seat, or goes to sleep in it.
    fn poll_seated(&mut self, queue: &Queue, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        let Place::Head { called } = &mut self.place else {
            unreachable!("a waiter that is neither outside nor asleep in line sits in the seat");
        };
        let mut word = queue.word();
        if queue.is_tired(word) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut lost = mem::take(called);
        let mut registered = false;
        let mut waker = None;
        loop {
            if word.has(CLOSED) || queue.admits(word, self.n) {
                // The waker must be out before the seat is free for another's. If CALLED is set,
                // whoever set it takes it out, unless it was put there since.
                if registered || !word.has(CALLED) {
                    waker = queue.head.take();
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
                        if self.n > 1 {
                            queue.stand_up(self.n);
                        }
                        let mut leave = self.leave(queue);
                        leave.left = Some(left);
                        leave.waker = waker;
                        return Poll::Ready(leave.with(outcome));
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
            let impatient = if word.has(CALLED) && !lost {
                lost = true;
                queue.count_loss()
            } else {
                queue.is_impatient()
            };
            let asleep = word.without(CALLED).with(if impatient { FAIR } else { 0 });
            if asleep == word {
                return Poll::Pending;
            }
            match queue.replace(word, asleep) {
                Ok(_) => {
                    if lost {
                        queue.forget_overtakes();
                    }
                    return Poll::Pending;
                }
                Err(found) => word = found,
            }
        }
    }

    /// I10: leaves the line, wherever it stands, and passes on what it was called for. Returns how many
    /// permits it gave back that it had been given.
    pub(crate) fn cancel(&mut self, queue: &Queue) -> usize {
        match self.place {
            Place::Outside | Place::GaveWay => 0,
            Place::Head { .. } => {
                let mut leave = self.leave(queue);
                leave.left = Some(self.leave_seat(queue, &mut leave.waker));
                0
            }
            #[cfg(feature = "std")]
            Place::Listed { entry } => {
                self.place = Place::Outside;
                self.leave(queue).list(entry)
            }
            Place::Queued { .. } => {
                let mut leave = self.leave(queue);
                self.leave_queue().map_or(0, |listener| leave.queue(listener))
            }
        }
    }

    /// Gives the seat up; returns the word that is left.
    fn leave_seat(&mut self, queue: &Queue, waker: &mut Option<Waker>) -> Word {
        self.place = Place::Outside;
        *waker = queue.head.take();
        let left = queue.vacate();
        queue.stand_up(self.n);
        left
    }

    /// Takes the listener out, if it is in the queue.
    fn leave_queue(&mut self) -> Option<EventListener> {
        match mem::replace(&mut self.place, Place::Outside) {
            Place::Queued { listener, .. } => Some(ManuallyDrop::into_inner(listener)),
            _ => None,
        }
    }

    fn leave<'a>(&self, queue: &'a Queue) -> Leave<'a> {
        Leave {
            queue,
            n: self.n,
            looks: self.n > 1,
            counted: true,
            left: None,
            granted: false,
            waker: None,
        }
    }
}

impl Place {
    fn queued(listener: EventListener, cx: &mut Context<'_>) -> Self {
        // The first poll, which is about to follow, registers this waker and replaces none.
        let registered = WakerId::of(cx.waker());
        Self::Queued { listener: ManuallyDrop::new(listener), registered }
    }
}

/// Leaves the line when it is dropped: also if a waker panics that is run or dropped on the way (I18).
struct Leave<'a> {
    queue: &'a Queue,
    n: usize,
    /// Whether it has changed what a duty depends on beside the word. A large request has: what the head
    /// wants.
    looks: bool,
    /// Whether it is counted as waiting.
    counted: bool,
    /// The word that it left behind, if it changed it.
    left: Option<Word>,
    /// Whether it takes its permits with it.
    granted: bool,
    /// Its waker, if it has that back: dropped last.
    waker: Option<Waker>,
}

impl Leave<'_> {
    /// Leaves the queue before it is served, and passes on what it was called for. Returns how many
    /// permits that were.
    fn queue(&mut self, listener: EventListener) -> usize {
        if !listener.discard() {
            return 0;
        }
        match self.queue.claim(self.n, false, Word::vacated) {
            Token::Seat(after) => self.queue.settle(after),
            Token::Permit => {
                self.queue.release(1, || ());
                return 1;
            }
            Token::Nothing => {}
        }
        0
    }

    /// Likewise from the list.
    #[cfg(feature = "std")]
    fn list(&mut self, entry: Entry) -> usize {
        self.looks = true;
        let (left, waker) = self.queue.list.remove(entry);
        self.waker = waker;
        match left {
            Left::Nothing => 0,
            Left::Permits => {
                self.queue.release(self.n, || ());
                self.n
            }
            Left::Seat => {
                self.left = Some(self.queue.vacate());
                self.queue.stand_up(self.n);
                0
            }
        }
    }

    /// Leaves with this outcome.
    fn with(mut self, outcome: Result<(), Refusal>) -> Result<(), Refusal> {
        self.granted = outcome.is_ok();
        outcome
    }

    /// Stays in line, or has left it already.
    fn forget(self) {
        mem::forget(self);
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        let permits = GiveBack { queue: self.queue, n: if self.granted { self.n } else { 0 } };
        #[cfg(not(feature = "std"))]
        if self.n > 1 {
            self.queue.list.leave();
        }
        self.queue.leave(self.looks, self.counted, self.left);
        drop(self.waker.take());
        mem::forget(permits);
    }
}

/// Gives permits back that nobody gets to see.
struct GiveBack<'a> {
    queue: &'a Queue,
    n: usize,
}

impl Drop for GiveBack<'_> {
    fn drop(&mut self) {
        self.queue.release(self.n, || ());
    }
}
