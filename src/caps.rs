//! The hands on a ceiling, and how the lowest of them gets into the word (I15).
//!
//! The *setting* is one hand: steps and absolute changes move it, within the bounds. Each
//! *cap* is another. In force is the lowest of them, and the word holds nothing else.
//!
//! Hands take *turns*. The hand that has the turn changes its value, works out the lowest of all and puts
//! it into the word; then it gives up the turn and carries out the duty of that word. Nothing in a turn
//! calls out: no clock, no waker, no subscriber. So a turn cannot panic, ends after some dozens of
//! instructions, and never begins within another on the same thread. Acquiring and releasing take no turn.
//!
//! Without turns there would be a compare-and-swap of the word, and a second look at the hands after it.
//! The lowest would get into the word in the end, but a call could return before that. Say that a hand is
//! lifted, works out the new lowest and is held up before its exchange. Another hand is set to just the
//! ceiling in force; it finds nothing to change in the word, and its call returns. Now the exchange of the
//! first hand finds the word as it was and succeeds. It raises the ceiling above what the second hand
//! allows, until the second look. A version in the word would tell the two apart; there is no room for one.
//!
//! A turn is a mutex. Without `std`, where there is none, it is a flag that is waited for in a loop.

use core::fmt;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::time::Duration;

use alloc::borrow::Cow;
#[cfg(feature = "std")]
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
#[cfg(feature = "std")]
use std::sync::PoisonError;

use crate::cell::Cell;
#[cfg(feature = "std")]
use crate::clock::nanos;
use crate::handle::Handle;
use crate::limiter::Limiter;
use crate::observe::Move;
use crate::state::{MAX_COUNT, Word};
#[cfg(feature = "std")]
use crate::sync::atomic::AtomicU64;
use crate::sync::atomic::{
    AtomicBool, AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};
use crate::sync::const_unless_loom;
#[cfg(feature = "std")]
use crate::sync::{Mutex, MutexGuard};
use crate::throttle::{Adjust, Adjustment, Rule, Throttle};

/// How many caps there may be at once.
const CAPS: usize = 8;
/// The value of a cap that caps nothing.
const LIFTED: u32 = MAX_COUNT as u32;
/// The value of a slot without a cap.
const FREE: u32 = u32::MAX;

/// Names a hand on a limiter's ceiling: the setting, or a cap. See [`Limiter::cap`].
///
/// ```
/// # #[cfg(feature = "stats")] {
/// use grmgr::{Hand, Limiter};
///
/// let db = Limiter::new("db", 20);
/// let _ = db.down();
/// assert_eq!(db.changes()[0].hand, Hand::Setting);
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Hand {
    /// The setting.
    Setting,
    /// A cap.
    Cap,
}

/// The cause and the term of the cap in a slot. Its value is in an atomic.
#[cfg(feature = "std")]
#[derive(Debug, Default)]
struct Note {
    /// `None`: no cap has the slot.
    cause: Option<Cow<'static, str>>,
    /// The end of its term, in nanoseconds of the limiter's clock, and its value from then on.
    term: Option<(u64, u32)>,
}

/// One for each slot; none before the first cap.
#[cfg(feature = "std")]
type Notes = Option<Box<[Note; CAPS]>>;

/// A cap whose term has ended: its values before and after, and its cause.
#[cfg(feature = "std")]
type Ended = (usize, usize, Cow<'static, str>);

/// All that turns change. Relaxed, except for the end of terms: the turn orders it for the hands that take
/// one, and all others read single values.
#[derive(Debug)]
pub(crate) struct Hands {
    pub(crate) rule: Rule,
    pub(crate) setting: AtomicU32,
    caps: [AtomicU32; CAPS],
    /// While it is paused the word has a ceiling of 0, whatever the hands say.
    paused: AtomicBool,
    /// When the first term ends, in nanoseconds of the limiter's clock; `u64::MAX`: there is none.
    #[cfg(feature = "std")]
    term_ends: AtomicU64,
    #[cfg(feature = "std")]
    turn: Mutex<Notes>,
    /// Set while a hand has the turn.
    #[cfg(not(feature = "std"))]
    turn: AtomicBool,
}

/// The turn, until it is dropped.
pub(crate) struct Turn<'a> {
    hands: &'a Hands,
    #[cfg(feature = "std")]
    notes: MutexGuard<'a, Notes>,
}

impl Hands {
    const_unless_loom! {
        pub(crate) fn new(setting: usize, throttle: Throttle) -> Self {
            Self {
                rule: Rule::new(throttle),
                setting: AtomicU32::new(setting as u32),
                caps: all_free(),
                paused: AtomicBool::new(false),
                #[cfg(feature = "std")]
                term_ends: AtomicU64::new(u64::MAX),
                #[cfg(feature = "std")]
                turn: Mutex::new(None),
                #[cfg(not(feature = "std"))]
                turn: AtomicBool::new(false),
            }
        }
    }

    /// Waits for the turn.
    pub(crate) fn turn(&self) -> Turn<'_> {
        #[cfg(feature = "std")]
        let notes = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        // Acquire pairs with the Release at the end of the turn before.
        #[cfg(not(feature = "std"))]
        while self.turn.compare_exchange(false, true, Acquire, Relaxed).is_err() {
            core::hint::spin_loop();
        }
        Turn {
            hands: self,
            #[cfg(feature = "std")]
            notes,
        }
    }

    pub(crate) fn setting(&self) -> usize {
        self.setting.load(Relaxed) as usize
    }

    /// The ceiling in force, but for a pause.
    pub(crate) fn lowest(&self) -> usize {
        let caps = self.caps.iter().map(|cap| cap.load(Relaxed));
        caps.fold(self.setting.load(Relaxed), u32::min) as usize
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused.load(Relaxed)
    }
}

impl Turn<'_> {
    /// Moves the setting, if the rule lets it (I7, I8).
    pub(crate) fn adjust(&self, adjust: Adjust, now: Duration) -> Adjustment {
        let Hands { rule, setting, .. } = self.hands;
        let result = rule.adjust(self.hands.setting(), adjust, now);
        if let Adjustment::Changed { to, .. } = result {
            setting.store(to as u32, Relaxed);
        }
        result
    }

    /// Puts the setting within new bounds as well, at `setting` if that is given.
    pub(crate) fn reconfigure(
        &self,
        throttle: Throttle,
        setting: Option<usize>,
        now: Duration,
    ) -> Adjustment {
        self.hands.rule.replace(throttle);
        self.adjust(Adjust::To(setting.unwrap_or(self.hands.setting())), now)
    }

    pub(crate) fn pause(&self, paused: bool) {
        self.hands.paused.store(paused, Relaxed);
    }

    /// Moves a cap, which ends its term, and returns its value before.
    fn set(&mut self, slot: usize, to: u32) -> u32 {
        #[cfg(feature = "std")]
        if let Some(notes) = &mut *self.notes {
            notes[slot].term = None;
        }
        self.hands.caps[slot].swap(to, Relaxed)
    }

    /// Gives a cap a term.
    #[cfg(feature = "std")]
    fn set_term(&mut self, slot: usize, at: u64, then: u32) {
        // `u64::MAX` stands for no term, here as in `term_ends`.
        if at < u64::MAX {
            self.notes.get_or_insert_default()[slot].term = Some((at, then));
        }
    }

    /// Puts the lowest hand into the word, and the end of the first term beside it. Returns the lowest, and
    /// the word if it has changed, which is to be settled when the turn is over.
    ///
    /// Until the word has changed, the earlier of the old and the new end counts. By the later one, a grant
    /// could take the ceiling in the word for one that the hands still allow.
    fn put(&self, cell: &Cell) -> (usize, Option<Word>) {
        let hands = self.hands;
        let lowest = hands.lowest();
        let in_force = if hands.is_paused() { 0 } else { lowest };
        #[cfg(feature = "std")]
        let first = {
            let notes = self.notes.iter().flat_map(|notes| notes.iter());
            let first = notes.filter_map(|note| Some(note.term?.0)).min().unwrap_or(u64::MAX);
            hands.term_ends.fetch_min(first, Relaxed);
            first
        };
        #[cfg(feature = "std")]
        let timed = first != u64::MAX;
        #[cfg(not(feature = "std"))]
        let timed = false;
        let moved = cell.set_ceiling(in_force, timed);
        // Release pairs with the Acquire in `end_terms`: a thread that reads this end reads the new word,
        // too.
        #[cfg(feature = "std")]
        hands.term_ends.store(first, Release);
        (lowest, moved)
    }

    /// Moves the caps whose terms have ended by `now`.
    #[cfg(feature = "std")]
    fn end_terms(&mut self, now: u64) -> Vec<Ended> {
        let mut ended = Vec::new();
        for slot in 0..CAPS {
            let note = self.notes.as_ref().map(|notes| &notes[slot]);
            if let Some(Note { cause: Some(cause), term: Some((at, then)) }) = note
                && *at <= now
            {
                let (cause, then) = (cause.clone(), *then);
                let from = self.set(slot, then);
                ended.push((from as usize, then as usize, cause));
            }
        }
        ended
    }

    /// Claims a slot for a new cap. If none is free, returns the causes of the eight caps.
    fn claim(&mut self, cause: Cow<'static, str>) -> Result<usize, Vec<Cow<'static, str>>> {
        let free = self.hands.caps.iter().position(|cap| cap.load(Relaxed) == FREE);
        let Some(slot) = free else {
            #[cfg(feature = "std")]
            return Err(self
                .notes
                .iter()
                .flat_map(|notes| notes.iter())
                .filter_map(|note| note.cause.clone())
                .collect());
            #[cfg(not(feature = "std"))]
            return Err(Vec::new());
        };
        self.set(slot, LIFTED);
        #[cfg(feature = "std")]
        {
            self.notes.get_or_insert_default()[slot].cause = Some(cause);
        }
        #[cfg(not(feature = "std"))]
        let _ = cause;
        Ok(slot)
    }

    /// Lifts a cap and frees its slot; returns its value before.
    fn free(&mut self, slot: usize) -> u32 {
        let from = self.set(slot, FREE);
        #[cfg(feature = "std")]
        if let Some(notes) = &mut *self.notes {
            notes[slot].cause = None;
        }
        from
    }

    /// The caps that are set, with their causes.
    #[cfg(feature = "std")]
    pub(crate) fn caps(&self) -> Vec<(Cow<'static, str>, usize)> {
        let notes = self.notes.iter().flat_map(|notes| notes.iter());
        let at = self.hands.caps.iter().map(|cap| cap.load(Relaxed));
        let set = notes.zip(at).filter(|(_, at)| *at < LIFTED);
        set.filter_map(|(note, at)| Some((note.cause.clone()?, at as usize))).collect()
    }
}

#[cfg(not(feature = "std"))]
impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.hands.turn.store(false, Release);
    }
}

#[cfg(not(loom))]
const fn all_free() -> [AtomicU32; CAPS] {
    [const { AtomicU32::new(FREE) }; CAPS]
}

#[cfg(loom)]
fn all_free() -> [AtomicU32; CAPS] {
    core::array::from_fn(|_| AtomicU32::new(FREE))
}

/// Capping the ceiling.
impl Limiter {
    /// Puts another hand on the ceiling, besides the setting: the lowest of them is in force.
    ///
    /// Each part of a program that has a reason to keep the ceiling low takes a cap of its own, and
    /// none overwrites another. A cap moves no [setting](Self::setting) and has no hold, and
    /// [`min`](crate::Builder::min) does not apply to it. It caps nothing before it is
    /// [set](CapOf::set), and nothing after it is dropped. There may be 8 at once. On a closed limiter
    /// it works as on any other, and makes no difference.
    ///
    /// `cause` goes into the list of caps (`Limiter::caps`) and the log of changes.
    ///
    /// # Errors
    ///
    /// [`TooManyCaps`], which names the causes of the eight.
    ///
    /// ```
    /// use grmgr::Limiter;
    ///
    /// let db = Limiter::new("db", 20);
    /// let pressure = db.cap("pressure")?;
    /// pressure.set(5);
    /// assert_eq!((db.ceiling(), db.setting()), (5, 20));
    /// drop(pressure);
    /// assert_eq!(db.ceiling(), 20);
    /// # Ok::<(), grmgr::TooManyCaps>(())
    /// ```
    pub fn cap(&self, cause: impl Into<Cow<'static, str>>) -> Result<Cap<'_>, TooManyCaps> {
        CapOf::new(self, cause.into())
    }

    /// Makes a [`cap`](Self::cap) that keeps the limiter alive.
    ///
    /// # Errors
    ///
    /// As [`cap`](Self::cap).
    pub fn cap_owned(
        self: &Arc<Self>,
        cause: impl Into<Cow<'static, str>>,
    ) -> Result<OwnedCap, TooManyCaps> {
        Handle::from(self).cap_owned(cause)
    }

    /// Returns the caps that are set, each with its cause.
    ///
    /// Those above the setting are among them.
    ///
    /// Only with feature `std`: without it each cause is known to its [`Cap`] alone.
    ///
    /// ```
    /// # use grmgr::Limiter;
    /// let db = Limiter::new("db", 20);
    /// let pressure = db.cap("pressure")?;
    /// pressure.set(5);
    /// assert_eq!(db.caps(), [("pressure".into(), 5)]);
    /// # Ok::<(), grmgr::TooManyCaps>(())
    /// ```
    #[cfg(feature = "std")]
    pub fn caps(&self) -> Vec<(Cow<'static, str>, usize)> {
        self.end_terms_if_any();
        self.hands.turn().caps()
    }

    /// Lets a hand change in its turn, puts the lowest into the word, and wakes the waiters for which that
    /// makes room. Also returns the ceiling that is in force then.
    ///
    /// Terms that are over are ended first: the change must not make room under one of them. If the
    /// clock, which is asked for that, panics, nothing has changed (I18).
    pub(crate) fn in_turn<R>(&self, change: impl FnOnce(&mut Turn<'_>) -> R) -> (R, usize) {
        self.end_terms_if_any();
        self.in_turn_as_is(change)
    }

    /// The same, without a look at terms.
    fn in_turn_as_is<R>(&self, change: impl FnOnce(&mut Turn<'_>) -> R) -> (R, usize) {
        let mut turn = self.hands.turn();
        let result = change(&mut turn);
        let (lowest, moved) = turn.put(&self.cell);
        drop(turn);
        if let Some(word) = moved {
            self.cell.settle(word);
        }
        (result, lowest)
    }

    /// Moves the caps whose terms have ended. To be called before anything is granted.
    #[cfg(feature = "std")]
    #[cold]
    pub(crate) fn end_terms(&self) {
        let now = self.now().unwrap_or_default();
        let now_nanos = nanos(now);
        // Acquire: see `Turn::put`.
        if now_nanos < self.hands.term_ends.load(Acquire) {
            return;
        }
        let (ended, ceiling) = self.in_turn_as_is(|turn| turn.end_terms(now_nanos));
        for (from, to, cause) in ended {
            if from != to {
                self.on_moved(Move { hand: Hand::Cap, from, to, ceiling }, cause, now);
            }
        }
    }

    #[cfg(not(feature = "std"))]
    pub(crate) fn end_terms(&self) {}

    /// The same where it is not known whether any cap has a term.
    #[inline]
    pub(crate) fn end_terms_if_any(&self) {
        if self.cell.word.load().is_timed() {
            self.end_terms();
        }
    }
}

impl Handle {
    /// Makes a [`Limiter::cap`] that keeps the limiter alive.
    ///
    /// # Errors
    ///
    /// As [`cap`](Limiter::cap).
    ///
    /// ```
    /// use grmgr::{Handle, Limiter};
    ///
    /// let db = Handle::from(Limiter::new("db", 20));
    /// let share = db.cap_owned("cluster")?;
    /// share.set(5);
    /// assert_eq!(db.ceiling(), 5);
    /// # Ok::<(), grmgr::TooManyCaps>(())
    /// ```
    pub fn cap_owned(&self, cause: impl Into<Cow<'static, str>>) -> Result<OwnedCap, TooManyCaps> {
        CapOf::new(self.clone(), cause.into())
    }
}

/// One hand on a ceiling; see [`CapOf`].
pub type Cap<'a> = CapOf<&'a Limiter>;

/// One hand on the ceiling of a limiter that it keeps alive; see [`CapOf`].
pub type OwnedCap = CapOf<Handle>;

/// One hand on a ceiling, from [`Limiter::cap`]. Used under its names [`Cap`] and [`OwnedCap`].
///
/// Dropping it lifts it, and makes room for another.
///
/// ```
/// # use grmgr::{Adjustment, Limiter};
/// let db = Limiter::new("db", 20);
/// let [pressure, share] = [db.cap("pressure")?, db.cap("share")?];
/// pressure.set(5);
/// share.set(8);
/// assert_eq!(db.ceiling(), 5);
/// pressure.lift();
/// assert_eq!(db.ceiling(), 8);
/// assert_eq!(share.set(3), Adjustment::Changed { from: 8, to: 3 });
/// # Ok::<(), grmgr::TooManyCaps>(())
/// ```
#[must_use = "a cap that is dropped at once caps nothing"]
pub struct CapOf<L: Deref<Target = Limiter>> {
    limiter: L,
    slot: usize,
    cause: Cow<'static, str>,
}

impl<L: Deref<Target = Limiter>> CapOf<L> {
    fn new(limiter: L, cause: Cow<'static, str>) -> Result<Self, TooManyCaps> {
        let claimed = limiter.hands.turn().claim(cause.clone());
        match claimed {
            Ok(slot) => Ok(Self { limiter, slot, cause }),
            Err(causes) => Err(TooManyCaps { limiter: limiter.name().into(), causes }),
        }
    }

    /// Sets the cap: from now on the ceiling is no higher than this.
    ///
    /// 0 to [`Limiter::MAX_CEILING`].
    ///
    /// Returns at once, as [`Limiter::adjust`] does; the result is about the cap, not about the
    /// ceiling. A cap of 0 stops all grants. One of `MAX_CEILING` or more caps nothing: that is
    /// where a cap stands that has not been set, or is lifted.
    pub fn set(&self, ceiling: usize) -> Adjustment {
        let to = ceiling.min(MAX_COUNT);
        // I18: asked before anything changes.
        let at = self.limiter.now_for_log();
        let limiter = &*self.limiter;
        let (from, in_force) = limiter.in_turn(|turn| turn.set(self.slot, to as u32) as usize);
        self.moved(from, to, in_force, at)
    }

    /// Sets the cap to `ceiling` until the limiter's clock says `at`, and to `then` from there on.
    ///
    /// The change at the end needs no further call.
    ///
    /// Both values are as in [`set`](Self::set), and the result is about the change that is made now. `at`
    /// is a time of the limiter's [clock](crate::Clock), see [`Limiter::now`]. The next `set`, `set_until`
    /// or `lift` of this cap replaces the term. If `at` is not in the future, the cap is at `then` when
    /// this returns.
    ///
    /// Nothing watches the clock. As long as a cap of the limiter has a term, each grant, and each move of
    /// a hand, asks the clock first. So no grant that begins after `at` goes by the old ceiling, not even
    /// in a process that was stopped for long. (A grant that had asked the clock just before the stop goes
    /// through.) If the end of a term raises the ceiling, waiters are woken when the limiter is next used,
    /// or its ceiling is read.
    ///
    /// Only with feature `std`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use grmgr::{Limiter, ManualClock};
    ///
    /// let clock = ManualClock::new();
    /// let db = Limiter::builder("db").ceiling(20).clock(clock.clone()).build()?;
    /// let share = db.cap("cluster")?;
    /// share.set_until(5, 0, Duration::from_secs(15));
    /// assert!(db.try_acquire().is_ok());
    /// clock.advance(Duration::from_secs(15));
    /// assert!(db.try_acquire().is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "std")]
    pub fn set_until(&self, ceiling: usize, then: usize, at: Duration) -> Adjustment {
        let limiter = &*self.limiter;
        // I18: asked before anything changes.
        let now = limiter.now().unwrap_or_default();
        if at <= now {
            return self.set(then);
        }
        let (to, then) = (ceiling.min(MAX_COUNT), then.min(MAX_COUNT));
        let (from, in_force) = limiter.in_turn(|turn| {
            let from = turn.set(self.slot, to as u32) as usize;
            turn.set_term(self.slot, nanos(at), then as u32);
            from
        });
        self.moved(from, to, in_force, now)
    }

    fn moved(&self, from: usize, to: usize, ceiling: usize, at: Duration) -> Adjustment {
        if from == to {
            return Adjustment::Unchanged { ceiling: to };
        }
        let moved = Move { hand: Hand::Cap, from, to, ceiling };
        self.limiter.on_moved(moved, self.cause.clone(), at);
        Adjustment::Changed { from, to }
    }

    /// Lets the ceiling rise to what the other hands allow: `set(Limiter::MAX_CEILING)`.
    pub fn lift(&self) {
        self.set(MAX_COUNT);
    }

    /// Returns where the cap stands, or `None` if it caps nothing.
    pub fn get(&self) -> Option<usize> {
        self.limiter.end_terms_if_any();
        self.at()
    }

    fn at(&self) -> Option<usize> {
        let value = self.limiter.hands.caps[self.slot].load(Relaxed);
        (value < LIFTED).then_some(value as usize)
    }

    /// Returns the cause that the cap was taken with.
    pub fn cause(&self) -> &str {
        &self.cause
    }

    /// Returns the limiter whose ceiling it caps.
    pub fn limiter(&self) -> &Limiter {
        &self.limiter
    }
}

impl<L: Deref<Target = Limiter>> Drop for CapOf<L> {
    fn drop(&mut self) {
        let limiter = &*self.limiter;
        // Also if the clock, which is asked for the end of terms, panics (I18).
        let lift = LiftOnDrop { limiter, slot: self.slot };
        limiter.end_terms_if_any();
        let (from, ceiling) = lift.now();
        if from < LIFTED {
            // The clock last: if it panics, the cap is lifted all the same.
            let (cause, at) = (core::mem::take(&mut self.cause), limiter.now_for_log());
            let (from, to) = (from as usize, MAX_COUNT);
            limiter.on_moved(Move { hand: Hand::Cap, from, to, ceiling }, cause, at);
        }
    }
}

/// Lifts a cap and frees its slot.
struct LiftOnDrop<'a> {
    limiter: &'a Limiter,
    slot: usize,
}

impl LiftOnDrop<'_> {
    /// Returns its value before, and the ceiling that is in force then.
    fn now(self) -> (u32, usize) {
        // Once: the slot may be another's as soon as the turn is over.
        ManuallyDrop::new(self).free()
    }

    fn free(&self) -> (u32, usize) {
        self.limiter.in_turn_as_is(|turn| turn.free(self.slot))
    }
}

impl Drop for LiftOnDrop<'_> {
    fn drop(&mut self) {
        self.free();
    }
}

impl<L: Deref<Target = Limiter>> fmt::Debug for CapOf<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cap")
            .field("limiter", &self.limiter.name())
            .field("cause", &self.cause)
            .field("at", &self.at())
            .finish()
    }
}

/// The limiter has as many caps as it can have: 8.
///
/// ```
/// # use grmgr::Limiter;
/// let db = Limiter::new("db", 20);
/// let caps: Vec<_> = (0..8).map(|_| db.cap("pressure").unwrap()).collect();
/// assert_eq!(db.cap("one more").unwrap_err().limiter, "db");
/// # drop(caps);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TooManyCaps {
    /// The limiter's name.
    pub limiter: String,
    /// The causes of the caps there; not known without feature `std`.
    pub causes: Vec<Cow<'static, str>>,
}

impl fmt::Display for TooManyCaps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "limiter {:?} has {CAPS} caps already", self.limiter)?;
        for (i, cause) in self.causes.iter().enumerate() {
            write!(f, "{}{cause:?}", if i == 0 { " (" } else { ", " })?;
        }
        let end = if self.causes.is_empty() { "" } else { ")" };
        write!(
            f,
            "{end}: drop one of them, or let several causes share one and set it to the lowest"
        )
    }
}

impl core::error::Error for TooManyCaps {}
