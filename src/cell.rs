//! The limiter's cell: the word, what is counted beside it, and the places to sleep in. What it does for
//! waiters is in `cell/`: who is called when (`calling.rs`), what a called waiter finds (`claiming.rs`), how
//! a sleeper's waker is registered (`registering.rs`), and the waiters that are called by name (`list.rs`).
//!
//! The one rule that keeps wake-ups from being lost: **the author of a change that a [`Duty`] depends on
//! does a read-modify-write of the word after it, and then what the word obliges to.** All such operations
//! are totally ordered and each acquires what was before it, so of any two changes the later one's author
//! sees both. That is all the ordering there is: no fence, no `SeqCst`. Two changes are made known in
//! another way, for speed: see `notify` and `take_handed`.
//!
//! [`Duty`]: crate::state::Duty

mod calling;
mod claiming;
#[cfg(feature = "std")]
mod list;
#[cfg(not(feature = "std"))]
#[path = "cell/no_list.rs"]
mod list;
mod registering;

use event_listener::{Event, EventListener, Listener};

pub(crate) use self::claiming::Token;
pub(crate) use self::list::List;
#[cfg(feature = "std")]
pub(crate) use self::list::{Answer, Entry, Left};
pub(crate) use self::registering::WakerId;
use crate::state::{AtomicWord, Counts, Word, newcomer_barrier};
use crate::sync::AtomicWaker;
use crate::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64,
    Ordering::{AcqRel, Relaxed},
};
use crate::sync::const_unless_loom;

/// How many overtakes each loss that the head may suffer is worth.
const OVERTAKES_A_LOSS: u32 = 16;

// In this order, what a release, a wake-up and a newcomer touch lies in one cache line: a limiter
// begins with its cell, at the beginning of a line.
#[repr(C)]
pub(crate) struct Cell {
    pub(crate) word: AtomicWord,
    /// The waker of the head, which alone registers here.
    pub(crate) head: AtomicWaker,
    /// How many wait, and how many permits have been handed to them. A waiter in the queue is counted
    /// before it sets QUEUED, or finds it set.
    counts: AtomicU64,
    /// How often newcomers have gone past the first in line since it was called last (I16).
    overtakes: AtomicU32,
    /// How often the head may lose before permits are kept for it.
    pub(crate) patience: u32,
    /// How often the present head has found too few permits.
    losses: AtomicU32,
    /// How many may wait. `u32::MAX` stands for any number: so many would not fit in memory.
    pub(crate) max_waiting: u32,
    /// What a large head asks for beyond one permit.
    head_extra: AtomicU32,
    /// Permits in flight without a guard.
    pub(crate) forgotten: AtomicU32,
    /// Whether the thread that is calling waiters has done its share; see [`Cell::is_tired`].
    tired: AtomicBool,
    /// Requests for more than this run alone if they do not fit: 0, or `max` where those that the
    /// ceiling may yet have room for wait. See [`Cell::alone_above`].
    pub(crate) alone_above: AtomicU32,

    /// Where units sleep.
    queue: Event,
    /// Where large requests sleep, and those behind them.
    pub(crate) list: List,
    /// Where a large request sleeps that had been called out of turn (see [`Cell::put_back`]).
    /// It is served before `queue`.
    #[cfg(not(feature = "std"))]
    front: Event,
    /// Where tasks sleep that wait for the limiter to be idle.
    idle: Event,
}

/// Looks after a release whether there is a waiter to wake.
struct LookOnDrop<'a> {
    cell: &'a Cell,
    word: Word,
}

impl Drop for LookOnDrop<'_> {
    fn drop(&mut self) {
        self.cell.released(self.word);
    }
}

/// What becomes of the wish to be told when the limiter is idle.
pub(crate) enum IdleListener {
    IsIdle,
    Asleep(EventListener),
    /// Another thread is calling or telling; it is about to be done.
    TryAgain,
}

impl Cell {
    const_unless_loom! {
        pub(crate) fn new(
            ceiling: usize,
            patience: u32,
            max_waiting: u32,
            alone_above: u32,
        ) -> Self {
            Self {
                word: AtomicWord::new(ceiling),
                patience,
                max_waiting,
                alone_above: AtomicU32::new(alone_above),
                counts: AtomicU64::new(0),
                forgotten: AtomicU32::new(0),
                overtakes: AtomicU32::new(0),
                losses: AtomicU32::new(0),
                head_extra: AtomicU32::new(0),
                tired: AtomicBool::new(false),
                queue: Event::new(),
                list: List::new(),
                #[cfg(not(feature = "std"))]
                front: Event::new(),
                head: AtomicWaker::new(),
                idle: Event::new(),
            }
        }
    }

    /// Takes `n` permits without standing in line; returns whether it could. `gives_way`: not past a head
    /// that has been overtaken often enough. `granted` is told the word that it leaves; `end_terms` is run
    /// first where a cap has a term.
    #[inline]
    pub(crate) fn take(
        &self,
        n: usize,
        gives_way: bool,
        granted: impl FnOnce(Word),
        end_terms: impl FnOnce(),
    ) -> bool {
        let mut word = self.word.load_to_take();
        // Without any flag, as it mostly is, there is no need to know which ones count.
        if word.admits_if_plain(n, || self.alone_above()) {
            match self.word.try_take(word, n) {
                Ok(taken) => {
                    granted(taken);
                    return true;
                }
                Err(found) => word = found,
            }
        }
        self.take_flagged(word, n, gives_way, granted, end_terms)
    }

    #[inline(never)]
    fn take_flagged(
        &self,
        mut word: Word,
        n: usize,
        gives_way: bool,
        granted: impl FnOnce(Word),
        end_terms: impl FnOnce(),
    ) -> bool {
        if word.is_timed() {
            end_terms();
            word = self.word.load();
        }
        while self.admits_newcomer(word, n) {
            if gives_way && self.head_is_due(word) {
                return false;
            }
            match self.word.try_take(word, n) {
                Ok(taken) => {
                    self.count_overtake(word);
                    granted(taken);
                    return true;
                }
                Err(found) => word = found,
            }
        }
        false
    }

    /// Whether a request for `n` that would be granted has to give way first (I16).
    pub(crate) fn must_give_way(&self, n: usize) -> bool {
        let word = self.word.load();
        self.admits_newcomer(word, n) && self.head_is_due(word)
    }

    /// I16: whether the first in line has been called and overtaken so often that newcomers give way.
    ///
    /// In each period of `OVERTAKES_A_LOSS * (patience + 1)` overtakes that is so for the last sixteenth:
    /// several newcomers may give way before the one on whose thread the head waits to run. After that
    /// they go past again for a while, so that a head that never runs delays them only (I13).
    fn head_is_due(&self, word: Word) -> bool {
        // Relaxed: it only counts, and no memory depends on it.
        let due = self.overtake_period() / OVERTAKES_A_LOSS * (OVERTAKES_A_LOSS - 1);
        word.is_called() && self.overtakes.load(Relaxed) >= due
    }

    /// Counts that a newcomer was granted its permits in `word`.
    pub(crate) fn count_overtake(&self, word: Word) {
        // Relaxed, as above. If two begin a new period at once, one is not counted.
        if word.is_called() && self.overtakes.fetch_add(1, Relaxed) + 1 >= self.overtake_period() {
            self.overtakes.store(0, Relaxed);
        }
    }

    fn overtake_period(&self) -> u32 {
        // A patience that large is not used up in a lifetime.
        OVERTAKES_A_LOSS * (self.patience.min(u32::MAX / 64) + 1)
    }

    /// Another waiter is the first in line from now on.
    pub(crate) fn begin_head(&self) {
        self.forget_overtakes();
        // Relaxed: they only count.
        self.losses.store(0, Relaxed);
    }

    /// The head has looked and goes to sleep: what goes past it now goes past its next call.
    pub(crate) fn forget_overtakes(&self) {
        // Relaxed: as above.
        self.overtakes.store(0, Relaxed);
    }

    /// Counts a loss of the head; whether its patience is at an end.
    pub(crate) fn count_loss(&self) -> bool {
        // Relaxed: as above. The head counts when it has been called, and when it has not, releases that
        // pass over a large one. Of two at once one may not be counted.
        let losses = self.losses.load(Relaxed).saturating_add(1);
        self.losses.store(losses, Relaxed);
        losses >= self.patience
    }

    /// Whether the head's patience is at an end.
    pub(crate) fn is_impatient(&self) -> bool {
        self.losses.load(Relaxed) >= self.patience
    }

    /// Whether a request that is not in line may take `n`.
    #[inline]
    pub(crate) fn admits_newcomer(&self, word: Word, n: usize) -> bool {
        word.admits_newcomer(n, newcomer_barrier(self.patience), || self.alone_above())
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

    /// Takes over another `max`. Only for the caller that has the turn (see `caps.rs`); it then
    /// [`tell_of_max`](Self::tell_of_max).
    pub(crate) fn set_max(&self, max: usize) {
        if self.alone_above() != 0 {
            self.alone_above.store(max as u32, Relaxed);
        }
    }

    /// Wakes the head after a change of `max`: it may be for more than that, and run alone now.
    pub(crate) fn tell_of_max(&self) {
        if self.alone_above() != 0 {
            // The word does not show it, so the head is woken whatever that says. It looks after it
            // has registered its waker, so it has seen the change or is woken for it.
            self.head.wake();
            // Likewise the first in the list, which is not woken to look.
            self.settle(self.word.publish());
        }
    }

    /// Gives back `n` permits. `end_terms` is run before others are woken, where a cap has a term.
    #[inline]
    pub(crate) fn release(&self, n: usize, end_terms: impl FnOnce()) {
        let word = self.word.give_back(n);
        if !word.is_plain() {
            // Also if the clock panics that is asked for the end of terms (I18).
            let look = LookOnDrop { cell: self, word: word.minus(n) };
            if word.is_timed() {
                end_terms();
            }
            drop(look);
        }
    }

    #[cold]
    fn released(&self, mut word: Word) {
        if word.wants_a_look() {
            // I4: a large head has lost if this is not enough for it; it need not wake up to see that.
            if word.passes_over(self.head_wants(), self.alone_above()) && self.count_loss() {
                // If it fails, the next release does it.
                word = self.word.replace(word, word.fair()).unwrap_or_else(|found| found);
            }
            self.settle(word);
        }
    }

    /// Whether the line is full.
    pub(crate) fn is_full(&self) -> bool {
        self.counts().waiting() >= self.max_waiting as usize
    }

    /// Counts a waiter in, unless the line is full.
    pub(crate) fn count_in(&self) -> bool {
        // AcqRel: see `notify`. A compare-and-swap, so that a refused request is at no time counted.
        self.counts
            .fetch_update(AcqRel, Relaxed, |counts| {
                (Counts(counts).waiting() < self.max_waiting as usize)
                    .then_some(counts + Counts::WAITER)
            })
            .is_ok()
    }

    /// Lets a request go that has left the line. `counted`: it has been counted in; not so if it never
    /// got into the line. `looks`: it has changed what a duty depends on beside the word. `left` is the
    /// word that it left behind, if it changed it.
    pub(crate) fn leave(&self, looks: bool, counted: bool, left: Option<Word>) {
        // AcqRel: the last to leave sees what the earlier ones did to the word, or saw there, so it
        // finds QUEUED if it was set for one of them.
        let last = counted && Counts(self.counts.fetch_sub(Counts::WAITER, AcqRel)).waiting() == 1;
        // The rule above. That the line is empty matters where QUEUED was left behind, and to a thread
        // that is calling and may raise it again.
        if last && self.word.load().has_queue() {
            self.fulfil(self.word.publish());
        } else if looks {
            self.settle(self.word.publish());
        } else if let Some(word) = left {
            self.settle(word);
        }
    }

    /// Lets a request go that was granted all it asked for where it slept.
    #[cfg(feature = "std")]
    pub(crate) fn leave_granted(&self) {
        // AcqRel: as above. It need not look, as one that was handed its permit: see `take_handed`.
        self.counts.fetch_sub(Counts::WAITER, AcqRel);
    }

    /// A request for `n` is about to sit down. If it does not after all, it [`stand_up`](Self::stand_up)s
    /// and looks.
    pub(crate) fn sit_down(&self, n: usize) {
        // Relaxed: made known by the exchange that sets HEAD. A sum, because what one that has just left
        // the seat wanted may not have been taken off yet. A thread that reads it then reads too much; the
        // one that left looks once more (see `leave`).
        if n > 1 {
            self.head_extra.fetch_add((n - 1) as u32, Relaxed);
        }
    }

    /// A request for `n` has left the seat and is about to [`leave`](Self::leave) the line.
    pub(crate) fn stand_up(&self, n: usize) {
        if n > 1 {
            self.head_extra.fetch_sub((n - 1) as u32, Relaxed);
        }
    }

    /// How many permits the head asks for.
    pub(crate) fn head_wants(&self) -> usize {
        1 + self.head_extra.load(Relaxed) as usize
    }

    /// Goes to sleep at the end of the queue.
    pub(crate) fn listen(&self) -> EventListener {
        self.queue.listen()
    }

    /// A unit has gone to sleep in the queue; the list may have been empty when it looked, and not now.
    /// Returns the word after the list knows of the unit.
    pub(crate) fn tell_list(&self, entered: Word) -> Word {
        if self.list.any() {
            self.list.set_first_in_line(false);
            return self.word.publish();
        }
        entered
    }

    /// Puts a large request to sleep in front of the queue. It has been called with a permit, for which it
    /// has no use: it entered just when the permit was handed to the units in line.
    pub(crate) fn listen_in_front(&self) -> EventListener {
        #[cfg(feature = "std")]
        unreachable!("large requests sleep in the list");
        #[cfg(not(feature = "std"))]
        self.front.listen()
    }

    /// Puts the permit back that a large request was called with; it is asleep in front of the queue.
    pub(crate) fn put_back(&self) {
        // QUEUED first, so that the release finds it.
        self.word.queue();
        self.release(1, || ());
    }

    /// Asks to be told when the limiter is idle.
    pub(crate) fn listen_idle(&self) -> IdleListener {
        let word = self.word.load();
        if word.is_idle() {
            return IdleListener::IsIdle;
        }
        if word.is_dispatching() {
            // Perhaps an idle moment that is over is still being told: that must not reach us.
            return IdleListener::TryAgain;
        }
        // First asleep, then IDLE: a thread that clears it notifies afterwards.
        let listener = self.idle.listen();
        match self.word.update(|word| (!word.is_idle()).then(|| word.awaited())) {
            Ok(word) => {
                self.settle(word);
                IdleListener::Asleep(listener)
            }
            Err(_) => {
                listener.discard();
                IdleListener::IsIdle
            }
        }
    }

    /// Sets the ceiling in force, and whether it has a term. Returns the word if that has changed it; the
    /// caller settles it. Only for the caller that has the turn (see `caps.rs`).
    pub(crate) fn set_ceiling(&self, ceiling: usize, timed: bool) -> Option<Word> {
        let changed = self.word.update(|word| {
            let next = word.with_ceiling(ceiling, timed);
            (next != word).then_some(next)
        });
        changed.ok()
    }

    /// Closes it.
    pub(crate) fn close(&self) {
        self.settle(self.word.close());
    }

    /// Permits in flight that their waiters have not seen yet.
    #[cfg(feature = "stats")]
    pub(crate) fn handed(&self) -> usize {
        self.counts().handed() + self.list.unseen()
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
