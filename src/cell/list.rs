//! The *list*: the second part of the line, whose waiters are called by name.
//!
//! Waiters in the queue are called anonymously, so all of them must ask for the same: one permit. A
//! *large* request, one for several permits, sleeps in the list instead, and so does a unit that comes
//! while the list is not empty. All in the list stand behind all in the queue.
//!
//! They are served in order. Each is *granted* all that it asks for where it sleeps, but for two cases. A
//! unit that is the first in line is called to the seat, so that newcomers may take its permit before it
//! runs. A large request that is the first in line, and for which too few permits are free, takes the seat
//! asleep; it is a head like any other then, until it is granted its permits.
//!
//! A limiter whose requests are all for one permit takes the lock of the list only to be closed and, with
//! `stats`, for a snapshot. Without `std` there is no lock; see `no_list.rs`.

use core::mem;
use core::task::Waker;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use std::sync::PoisonError;

use super::Cell;
use crate::state::{Listed, Word};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU32, Ordering::Relaxed};
use crate::sync::const_unless_loom;

/// A waiter's place in the list: the later, the larger.
pub(crate) type Entry = u64;

/// What a listed waiter is woken for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// All that it asked for, counted in flight.
    Granted,
    /// The seat, in its name: it has been called and has not looked yet.
    Seated,
    /// Nothing: the limiter is closed.
    Closed,
}

pub(crate) struct List {
    /// What is [`Listed`]: one of the values below, or what the first in line asks for. Relaxed: made
    /// known by the read-modify-writes of the word that follow.
    known: AtomicU32,
    /// Made for the first waiter.
    waiters: Mutex<Option<Box<Waiters>>>,
}

const NOBODY: u32 = 0;
const BEHIND: u32 = u32::MAX;
const SEATED: u32 = u32::MAX - 1;

#[derive(Default)]
struct Waiters {
    next: Entry,
    /// In the order of the line.
    asleep: BTreeMap<Entry, Sleeper>,
    /// Those that have not run since they were woken.
    answered: BTreeMap<Entry, (usize, Answer)>,
    /// Whether the queue in front of the list is empty.
    first_in_line: bool,
    /// Whether the first, a large request, is in the seat.
    seated: bool,
}

struct Sleeper {
    n: usize,
    waker: Waker,
}

/// What a waiter that gives up leaves behind, for the caller to pass on.
pub(crate) enum Left {
    Nothing,
    /// All that it had asked for, counted in flight.
    Permits,
    Seat,
}

impl List {
    const_unless_loom! {
        pub(crate) fn new() -> Self {
            Self { known: AtomicU32::new(NOBODY), waiters: Mutex::new(None) }
        }
    }

    #[inline]
    pub(super) fn known(&self) -> Listed {
        match self.known.load(Relaxed) {
            NOBODY => Listed::Nobody,
            BEHIND => Listed::Behind,
            SEATED => Listed::Seated,
            n => Listed::First(n as usize),
        }
    }

    /// Whether waiters sleep in the list.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.known.load(Relaxed) != NOBODY
    }

    fn update<R>(&self, change: impl FnOnce(&mut Waiters) -> R) -> R {
        let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        let waiters = waiters.get_or_insert_default();
        let result = change(waiters);
        self.known.store(waiters.known(), Relaxed);
        result
    }

    /// A request for `n` goes to sleep at the end, if it is large or others sleep here already.
    pub(crate) fn push(&self, n: usize, waker: &Waker) -> Option<Entry> {
        if n == 1 && !self.any() {
            return None;
        }
        // If it is not kept it is dropped outside the lock, as it is code of the user.
        let mut waker = Some(waker.clone());
        self.update(|list| {
            if n == 1 && list.asleep.is_empty() {
                return None;
            }
            let entry = list.next;
            list.next += 1;
            list.asleep.insert(entry, Sleeper { n, waker: waker.take()? });
            Some(entry)
        })
    }

    /// What a waiter has been woken for; `None` if it sleeps on, to be woken by `waker`.
    pub(crate) fn poll(&self, entry: Entry, waker: &Waker) -> Option<Answer> {
        let (answer, has_waker) = self.update(|list| match list.asleep.get(&entry) {
            Some(sleeper) => (None, sleeper.waker.will_wake(waker)),
            None => (list.take_answer(entry), true),
        });
        if has_waker {
            return answer;
        }
        // Cloned and dropped outside the lock: a waker is code of the user and may use the limiter.
        let mut waker = waker.clone();
        self.update(|list| {
            if let Some(sleeper) = list.asleep.get_mut(&entry) {
                mem::swap(&mut sleeper.waker, &mut waker);
            }
        });
        drop(waker);
        self.update(|list| list.take_answer(entry))
    }

    /// A waiter gives up. Its waker is to be dropped when all is done.
    pub(crate) fn remove(&self, entry: Entry) -> (Left, Option<Waker>) {
        self.update(|list| {
            let is_first = list.asleep.keys().next() == Some(&entry);
            let left = match list.asleep.remove(&entry) {
                Some(sleeper) if is_first && list.seated => {
                    list.seated = false;
                    (Left::Seat, Some(sleeper.waker))
                }
                Some(sleeper) => (Left::Nothing, Some(sleeper.waker)),
                None => match list.take_answer(entry) {
                    Some(Answer::Granted) => (Left::Permits, None),
                    Some(Answer::Seated) => (Left::Seat, None),
                    Some(Answer::Closed) | None => (Left::Nothing, None),
                },
            };
            list.first_in_line &= !list.asleep.is_empty();
            left
        })
    }

    /// Permits granted that their waiters have not seen yet.
    #[cfg(feature = "stats")]
    pub(crate) fn unseen(&self) -> usize {
        let waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        waiters.as_ref().map_or(0, |list| {
            let granted = |&(n, answer): &(usize, Answer)| (answer == Answer::Granted).then_some(n);
            list.answered.values().filter_map(granted).sum()
        })
    }

    /// Says whether the queue in front of the list is empty. A call says yes before it notifies, and no
    /// again if it has reached all that it asked for. A unit that has entered the queue all the same says
    /// no. If it was asleep before the call notified, the call has reached it; otherwise it has the last
    /// word.
    pub(crate) fn set_first_in_line(&self, first_in_line: bool) {
        self.update(|list| list.first_in_line = first_in_line && !list.asleep.is_empty());
    }

    /// Answers all: the limiter is closed.
    pub(super) fn close(&self) -> Wakers {
        self.update(|list| {
            list.seated = false;
            let answers = vec![Answer::Closed; list.asleep.len()];
            list.answer(answers)
        })
    }
}

impl Waiters {
    fn known(&self) -> u32 {
        match self.asleep.first_key_value() {
            None => NOBODY,
            Some(_) if !self.first_in_line => BEHIND,
            Some(_) if self.seated => SEATED,
            Some((_, first)) => first.n as u32,
        }
    }

    fn take_answer(&mut self, entry: Entry) -> Option<Answer> {
        self.answered.remove(&entry).map(|(_, answer)| answer)
    }

    /// Answers as many as there are answers; they are to be woken.
    fn answer(&mut self, answers: Vec<Answer>) -> Wakers {
        let mut answer = |answer| {
            let (entry, Sleeper { n, waker }) = self.asleep.pop_first().expect("counted before");
            self.answered.insert(entry, (n, answer));
            waker
        };
        let wakers: Vec<Waker> = answers.into_iter().map(&mut answer).collect();
        if self.asleep.is_empty() {
            // Others may enter the queue again.
            self.first_in_line = false;
        }
        Wakers(wakers.into_iter())
    }
}

impl Cell {
    /// Serves the list with all that `word` has for it, in one exchange. The caller publishes it
    /// afterwards: what has changed in the list is known only after the exchange.
    pub(super) fn serve(&self, word: Word) -> Result<Wakers, Word> {
        let mut sat_down = None;
        let served = self.list.update(|list| {
            if list.seated || !list.first_in_line {
                return Ok(Wakers::default());
            }
            let mut kept = self.head_wants();
            let mut next = word;
            let mut answers = Vec::new();
            for &Sleeper { n, .. } in list.asleep.values() {
                let vacant = next.seat_is_vacant();
                if vacant && n == 1 && next.free() > 0 {
                    kept = 1;
                    next = next.seated().called();
                    answers.push(Answer::Seated);
                } else if vacant && self.admits(next, n) || !vacant && next.free() >= kept + n {
                    next = next.plus(n);
                    answers.push(Answer::Granted);
                } else {
                    if vacant && n > 1 {
                        // I4: as for every head, that it finds too little is a loss.
                        let is_last_loss = next.free() > 0 && self.patience <= 1;
                        next = if is_last_loss { next.seated().fair() } else { next.seated() };
                        // Before the exchange: a thread that sees HEAD must know what it wants.
                        self.sit_down(n);
                        sat_down = Some(n);
                    }
                    break;
                }
            }
            self.word.replace(word, next)?;
            if word.seat_is_vacant() && next.has_head() {
                self.begin_head();
                if sat_down.is_some() && next.free() > 0 {
                    self.count_loss();
                }
            }
            let wakers = list.answer(answers);
            list.seated = sat_down.is_some();
            Ok(wakers)
        });
        if served.is_err()
            && let Some(n) = sat_down
        {
            self.stand_up(n);
            return Err(self.word.publish());
        }
        served
    }

    /// If a large request sleeps in the seat and has just been called, looks on its behalf. The caller
    /// publishes that afterwards, as above.
    pub(super) fn look_for_sleeping_head(&self) -> Option<Wakers> {
        if !self.list.any() {
            return None;
        }
        self.list.update(|list| {
            if !list.seated {
                return None;
            }
            let (_, &Sleeper { n, .. }) = list.asleep.first_key_value()?;
            let mut word = self.word.load();
            let mut impatient = None;
            loop {
                let (next, answer) = if word.is_closed() {
                    (word.vacated(), Some(Answer::Closed))
                } else if self.admits(word, n) {
                    (word.vacated().plus(n), Some(Answer::Granted))
                } else {
                    // A newcomer has taken them; or it was another that was called, and has left.
                    let lost = word.is_called();
                    let impatient = lost && *impatient.get_or_insert_with(|| self.count_loss());
                    (if impatient { word.asleep().fair() } else { word.asleep() }, None)
                };
                match self.word.replace(word, next) {
                    Ok(_) => {
                        let answers: Vec<Answer> = answer.into_iter().collect();
                        if answers.is_empty() {
                            self.forget_overtakes();
                        } else {
                            list.seated = false;
                            self.stand_up(n);
                        }
                        return Some(list.answer(answers));
                    }
                    Err(found) => word = found,
                }
            }
        })
    }
}

/// Waiters that have been answered, to be woken in this order, outside the lock.
#[derive(Default)]
#[must_use]
pub(super) struct Wakers(vec::IntoIter<Waker>);

impl Wakers {
    pub(super) fn wake(mut self) {
        for waker in self.0.by_ref() {
            waker.wake();
        }
    }
}

/// I18: if one of them panics, the others are woken all the same.
impl Drop for Wakers {
    fn drop(&mut self) {
        self.0.by_ref().for_each(Waker::wake);
    }
}
