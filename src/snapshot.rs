//! What can be read off a limiter.

use core::time::Duration;

use alloc::borrow::Cow;

use crate::state::{CLOSED, PAUSED};
#[cfg(feature = "stats")]
use crate::stats::{Change, Holder, Holders, Stats};
use crate::{Limiter, Throttle};

/// A limiter at one moment. `in_flight`, `ceiling`, `paused` and `closed` belong together; the
/// rest may be a little older or newer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// The limiter's name.
    pub name: Cow<'static, str>,
    /// Permits in flight: in guards, forgotten, or handed to a request that has not seen it yet.
    /// May be above the ceiling after that was lowered.
    pub in_flight: usize,
    /// The ceiling.
    pub ceiling: usize,
    /// The lowest ceiling.
    pub min: usize,
    /// The highest ceiling.
    pub max: usize,
    /// Requests that wait.
    pub waiting: usize,
    /// Whether it is closed.
    pub closed: bool,
    /// Whether it is paused.
    pub paused: bool,
    /// For how long further steps up and down are refused.
    pub hold_remaining: Duration,
    /// What it has counted.
    #[cfg(feature = "stats")]
    pub stats: Stats,
    /// For how long the oldest holder has had its permits. `None` if there is none, or the limiter
    /// does not [track its holders](crate::Builder::track_holders).
    #[cfg(feature = "stats")]
    pub oldest_held: Option<Duration>,
}

/// Reading it.
impl Limiter {
    /// Its name. Any text will do.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The ceiling now.
    pub fn ceiling(&self) -> usize {
        self.queue.word().ceiling()
    }

    /// Permits in flight: in guards, forgotten, or handed to a waiter that has not run yet. May
    /// be above the ceiling after that was lowered.
    pub fn in_flight(&self) -> usize {
        self.queue.word().in_flight()
    }

    /// The ceiling less what is in flight. A request may be refused one of them while they are
    /// kept for the head of the line, or while the limiter is paused.
    pub fn available(&self) -> usize {
        let word = self.queue.word();
        word.ceiling().saturating_sub(word.in_flight())
    }

    /// Requests that have begun to wait and have neither been answered nor been dropped.
    pub fn waiting(&self) -> usize {
        self.queue.waiting()
    }

    /// The rule by which its ceiling moves.
    pub fn throttle(&self) -> Throttle {
        self.throttle
    }

    /// All of it at once.
    pub fn snapshot(&self) -> Snapshot {
        let word = self.queue.word();
        let now = self.now();
        Snapshot {
            name: self.name.clone(),
            in_flight: word.in_flight(),
            ceiling: word.ceiling(),
            min: self.throttle.min,
            max: self.throttle.max,
            waiting: self.waiting(),
            closed: word.has(CLOSED),
            paused: word.has(PAUSED),
            hold_remaining: now.map_or(Duration::ZERO, |now| self.hold.remaining(now)),
            #[cfg(feature = "stats")]
            stats: self.counters.read(self.queue.handed(), self.holders.as_deref()),
            #[cfg(feature = "stats")]
            oldest_held: now
                .zip(self.holders.as_deref().and_then(Holders::oldest))
                .map(|(now, since)| now.saturating_sub(since)),
        }
    }

    /// The last 64 changes of the ceiling, the oldest first.
    #[cfg(feature = "stats")]
    pub fn changes(&self) -> alloc::vec::Vec<Change> {
        self.counters.changes()
    }

    /// Returns who holds permits, the oldest first.
    ///
    /// Only of a limiter that [tracks its holders](crate::Builder::track_holders); empty otherwise.
    /// A guard is a holder; so is the part that is [split](crate::PermitOf::split) off one, with the
    /// same label and age. A guard that takes over another's permits keeps its label and is as old as
    /// the older of the two. Forgotten permits are held until [`done`](Self::done), which gives back
    /// those first that were forgotten first. A permit on its way to a waiter has no holder yet.
    ///
    /// ```
    /// use std::time::Duration;
    /// use grmgr::{Limiter, ManualClock};
    ///
    /// let clock = ManualClock::new();
    /// let limiter =
    ///     Limiter::builder("db").ceiling(2).track_holders().clock(clock.clone()).build()?;
    /// let _permit = limiter.try_acquire().unwrap();
    /// clock.advance(Duration::from_secs(60));
    /// assert_eq!(limiter.holders()[0].held_for, Duration::from_secs(60));
    /// # Ok::<(), grmgr::ConfigError>(())
    /// ```
    #[cfg(feature = "stats")]
    pub fn holders(&self) -> alloc::vec::Vec<Holder> {
        let holders = |holders: &Holders| holders.list(self.now().unwrap_or_default());
        self.holders.as_deref().map(holders).unwrap_or_default()
    }
}
