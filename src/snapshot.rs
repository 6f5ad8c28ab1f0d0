//! What can be read off a limiter.

use core::time::Duration;

use alloc::borrow::Cow;

use crate::state::{CLOSED, PAUSED};
#[cfg(feature = "stats")]
use crate::stats::{Change, Stats};
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
        Snapshot {
            name: self.name.clone(),
            in_flight: word.in_flight(),
            ceiling: word.ceiling(),
            min: self.throttle.min,
            max: self.throttle.max,
            waiting: self.waiting(),
            closed: word.has(CLOSED),
            paused: word.has(PAUSED),
            hold_remaining: self.now().map_or(Duration::ZERO, |now| self.hold.remaining(now)),
            #[cfg(feature = "stats")]
            stats: self.counters.read(self.queue.handed()),
        }
    }

    /// The last 64 changes of the ceiling, the oldest first.
    #[cfg(feature = "stats")]
    pub fn changes(&self) -> alloc::vec::Vec<Change> {
        self.counters.changes()
    }
}
