//! The waiter's side of the line: how one request enters it, moves up, and leaves it, served or
//! not. The futures in `acquire.rs` drive it.

use core::mem::{self, ManuallyDrop};
use core::task::{Context, Poll, Waker, ready};

use event_listener::{EventListener, Listener};

#[cfg(feature = "std")]
use crate::cell::{Answer, Entry, Left};
use crate::cell::{Cell, Token, WakerId};
use crate::state::Word;

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
    /// taken out by hand, by `take_listener`: its drop glue would lie on the way of every request that
    /// need not wait.
    Queued { listener: ManuallyDrop<EventListener>, registered: WakerId },
    /// Asleep in the list, or answered.
    #[cfg(feature = "std")]
    Listed { entry: Entry },
    /// In the seat.
    Head,
}

/// What a request that enters does next.
#[derive(Clone, Copy)]
enum Step {
    Take,
    Sit,
    Queue,
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
    pub(crate) fn give_way(&mut self, cell: &Cell) -> bool {
        let gives_way = self.gives_way() && cell.must_give_way(self.n);
        if gives_way {
            self.place = Place::GaveWay;
        }
        gives_way
    }

    /// Moves up as far as possible. When it is ready the waiter is outside again.
    pub(crate) fn poll(&mut self, cell: &Cell, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        if !self.is_waiting()
            && let Some(outcome) = self.enter(cell, cx)
        {
            return Poll::Ready(outcome);
        }
        while let Place::Queued { listener, registered } = &mut self.place {
            ready!(cell.poll_listener(listener, registered, cx));
            drop(self.take_listener());
            if let Some(outcome) = self.arrive(cell, cx) {
                return Poll::Ready(outcome);
            }
        }
        #[cfg(feature = "std")]
        if let Place::Listed { entry } = self.place {
            let Some(answer) = cell.list.poll(entry, cx.waker()) else { return Poll::Pending };
            self.place = Place::Outside;
            match answer {
                Answer::Granted => {
                    cell.leave_granted();
                    return Poll::Ready(Ok(()));
                }
                Answer::Closed => return Poll::Ready(self.leave(cell).with(Err(Refusal::Closed))),
                Answer::Seated => self.place = Place::Head,
            }
        }
        self.poll_seated(cell, cx)
    }

    /// Enters the line, or is served or refused on the way:
    ///
    /// 1. If a newcomer may take its permits, it takes them.
    /// 2. If nobody is in line, it sits down in the seat, without touching the queue.
    /// 3. Otherwise it goes to sleep, is counted, and begins anew: the permits may have come meanwhile.
    ///    If not, it sets QUEUED; then its place is certain, and nobody gets in front of it.
    ///
    /// Each of them is one exchange of the word. When it fails, the request begins anew with the word found.
    fn enter(&mut self, cell: &Cell, cx: &mut Context<'_>) -> Option<Result<(), Refusal>> {
        let mut leave = self.leave(cell);
        leave.counted = false;
        #[cfg(not(feature = "std"))]
        if self.n > 1 {
            cell.list.enter();
        }
        let mut listener = None;
        let mut word = cell.word.load();
        let outcome = loop {
            let (step, next) = if word.is_closed() {
                break Err(Refusal::Closed);
            } else if cell.admits_newcomer(word, self.n) {
                (Step::Take, word.plus(self.n))
            } else if listener.is_some() {
                (Step::Queue, word.queued())
            } else if cell.is_full() {
                break Err(Refusal::QueueFull);
            } else if !word.has_line() {
                // First: a thread that sees HEAD must know what it wants.
                cell.sit_down(self.n);
                (Step::Sit, word.seated())
            } else {
                #[cfg(feature = "std")]
                if let Some(entry) = cell.list.push(self.n, cx.waker()) {
                    leave.forget();
                    return self.enter_list(cell, entry);
                }
                // Asleep first, then QUEUED: a call lowers it before it notifies, and must find us.
                listener = Some(cell.listen());
                leave.counted = cell.count_in();
                word = cell.word.load();
                if !leave.counted {
                    break Err(Refusal::QueueFull);
                }
                continue;
            };
            // If QUEUED is set already, being counted was enough: see `Cell::notify`.
            let replaced = if next == word { Ok(next) } else { cell.word.replace(word, next) };
            match (step, replaced) {
                (Step::Take, Ok(taken)) => {
                    cell.count_overtake(word);
                    word = taken;
                    break Ok(());
                }
                (Step::Sit, Ok(_)) => {
                    cell.begin_head();
                    leave.forget();
                    self.place = Place::Head;
                    if cell.count_in() {
                        return None;
                    }
                    let mut leave = self.leave(cell);
                    leave.counted = false;
                    leave.left = Some(self.vacate(cell, &mut leave.waker));
                    return Some(leave.with(Err(Refusal::QueueFull)));
                }
                (Step::Queue, Ok(entered)) => {
                    leave.forget();
                    self.place = Place::queued(listener.expect("it listens"), cx);
                    // A permit may be free, only not for newcomers.
                    cell.settle(cell.tell_list(entered));
                    return None;
                }
                (Step::Sit, Err(found)) => {
                    cell.stand_up(self.n);
                    word = found;
                }
                (Step::Take | Step::Queue, Err(found)) => word = found,
            }
        };
        leave.left = Some(word);
        // Until it has left the queue as well: a waker that panics on the way must not cost the permits.
        let permits = GiveBack { cell, n: if outcome.is_ok() { self.n } else { 0 } };
        if let Some(listener) = listener {
            leave.queue(listener);
        }
        mem::forget(permits);
        Some(leave.with(outcome))
    }

    /// It sleeps in the list, and is to be counted.
    #[cfg(feature = "std")]
    fn enter_list(&mut self, cell: &Cell, entry: Entry) -> Option<Result<(), Refusal>> {
        if cell.count_in() {
            self.place = Place::Listed { entry };
            cell.settle(cell.word.queue());
            return None;
        }
        let mut leave = self.leave(cell);
        leave.counted = false;
        leave.list(entry);
        Some(leave.with(Err(Refusal::QueueFull)))
    }

    /// Arrives from the queue, and claims what it was called for: the seat, or a permit.
    fn arrive(&mut self, cell: &Cell, cx: &mut Context<'_>) -> Option<Result<(), Refusal>> {
        let n = self.n;
        let token = cell.claim(n, n == 1, |word| {
            if cell.is_tired(word) {
                word.seated()
            } else if word.is_closed() {
                word.vacated()
            } else if cell.admits(word, n) {
                word.vacated().plus(n)
            } else {
                word.seated()
            }
        });
        let mut leave = self.leave(cell);
        let outcome = match token {
            Token::Seat(after) if after.has_head() => {
                cell.sit_down(n);
                leave.forget();
                self.place = Place::Head;
                return None;
            }
            Token::Seat(after) => {
                leave.left = Some(after);
                if after.is_closed() { Err(Refusal::Closed) } else { Ok(()) }
            }
            // All that it asked for: it has left with it.
            Token::Permit if n == 1 => {
                leave.forget();
                return Some(Ok(()));
            }
            // No use to it. With `std` a large request does not sleep in the queue.
            Token::Permit => {
                leave.forget();
                self.place = Place::queued(cell.listen_in_front(), cx);
                cell.put_back();
                return None;
            }
            Token::Nothing => Err(Refusal::Closed),
        };
        Some(leave.with(outcome))
    }

    /// Takes its permits from the seat, or goes to sleep in it:
    ///
    /// 1. If it is closed or the permits are there, it takes its waker out and then leaves, in one exchange.
    /// 2. If its waker is not registered, it registers that and looks once more: a thread that frees a
    ///    permit later finds the waker.
    /// 3. If it was called in vain, that is a loss. It goes to sleep by clearing CALLED, in one exchange, and
    ///    with FAIR when it has borne enough of them.
    ///
    /// When an exchange fails, it begins anew with the word found.
    fn poll_seated(&mut self, cell: &Cell, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        let mut word = cell.word.load();
        if cell.is_tired(word) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut lost = false;
        let mut registered = false;
        let mut waker = None;
        loop {
            if word.is_closed() || cell.admits(word, self.n) {
                // The waker must be out before the seat is free for another's. If CALLED is set, the
                // thread that set it takes it out, unless it was put there since.
                if registered || !word.is_called() {
                    waker = cell.head.take();
                    registered = false;
                }
                let (outcome, next) = if word.is_closed() {
                    (Err(Refusal::Closed), word.vacated())
                } else {
                    (Ok(()), word.vacated().plus(self.n))
                };
                match cell.word.replace(word, next) {
                    Ok(left) => {
                        self.place = Place::Outside;
                        cell.stand_up(self.n);
                        let mut leave = self.leave(cell);
                        leave.left = Some(left);
                        leave.waker = waker;
                        return Poll::Ready(leave.with(outcome));
                    }
                    Err(found) => word = found,
                }
                continue;
            }
            if !registered {
                cell.head.register(cx.waker());
                registered = true;
                word = cell.word.load();
                continue;
            }
            let impatient = if word.is_called() && !lost {
                lost = true;
                cell.count_loss()
            } else {
                cell.is_impatient()
            };
            let asleep = if impatient { word.asleep().fair() } else { word.asleep() };
            if asleep == word {
                return Poll::Pending;
            }
            match cell.word.replace(word, asleep) {
                Ok(_) => {
                    if lost {
                        cell.forget_overtakes();
                    }
                    return Poll::Pending;
                }
                Err(found) => word = found,
            }
        }
    }

    /// I10: leaves the line, wherever it stands, and passes on what it was called for. Returns how many
    /// permits it gave back that it had been given.
    pub(crate) fn cancel(&mut self, cell: &Cell) -> usize {
        match self.place {
            Place::Outside | Place::GaveWay => 0,
            Place::Head => {
                let mut leave = self.leave(cell);
                leave.left = Some(self.vacate(cell, &mut leave.waker));
                0
            }
            #[cfg(feature = "std")]
            Place::Listed { entry } => {
                self.place = Place::Outside;
                self.leave(cell).list(entry)
            }
            Place::Queued { .. } => {
                let mut leave = self.leave(cell);
                self.take_listener().map_or(0, |listener| leave.queue(listener))
            }
        }
    }

    /// Gives the seat up; returns the word that is left, and its waker.
    fn vacate(&mut self, cell: &Cell, waker: &mut Option<Waker>) -> Word {
        self.place = Place::Outside;
        *waker = cell.head.take();
        let left = cell.word.vacate();
        cell.stand_up(self.n);
        left
    }

    /// Takes the listener out, if it is in the queue.
    fn take_listener(&mut self) -> Option<EventListener> {
        match mem::replace(&mut self.place, Place::Outside) {
            Place::Queued { listener, .. } => Some(ManuallyDrop::into_inner(listener)),
            _ => None,
        }
    }

    fn leave<'a>(&self, cell: &'a Cell) -> Leave<'a> {
        Leave {
            cell,
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
    cell: &'a Cell,
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
        match self.cell.claim(self.n, false, Word::vacated) {
            Token::Seat(after) => self.cell.settle(after),
            Token::Permit => {
                self.cell.release(1, || ());
                return 1;
            }
            Token::Nothing => {}
        }
        0
    }

    /// Likewise from the list.
    #[cfg(feature = "std")]
    fn list(&mut self, entry: Entry) -> usize {
        let (left, waker) = self.cell.list.remove(entry);
        self.waker = waker;
        match left {
            Left::Nothing => 0,
            Left::Permits => {
                self.cell.release(self.n, || ());
                self.n
            }
            Left::Seat => {
                self.left = Some(self.cell.word.vacate());
                self.cell.stand_up(self.n);
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
        let permits = GiveBack { cell: self.cell, n: if self.granted { self.n } else { 0 } };
        #[cfg(not(feature = "std"))]
        if self.n > 1 {
            self.cell.list.leave();
        }
        self.cell.leave(self.looks, self.counted, self.left);
        drop(self.waker.take());
        mem::forget(permits);
    }
}

/// Gives permits back that nobody gets to see.
struct GiveBack<'a> {
    cell: &'a Cell,
    n: usize,
}

impl Drop for GiveBack<'_> {
    fn drop(&mut self) {
        self.cell.release(self.n, || ());
    }
}
