//! The holders of permits, and since when they hold them: only for limiters that track them.

use core::mem;
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use alloc::borrow::Cow;
use alloc::vec::Vec;

use super::histogram::{Histogram, Recorder};

/// The most bytes of a label that are kept.
const LABEL: usize = 256;
/// The label of forgotten permits that had none.
const FORGOTTEN: &str = "forgotten";

/// Permits that are held together, from [`Limiter::holders`](crate::Limiter::holders).
///
/// ```
/// # use grmgr::Limiter;
/// let db = Limiter::builder("db").ceiling(20).track_holders().build().unwrap();
/// let permit = db.acquire_many(3).label("nightly report").blocking()?;
/// let holder = &db.holders()[0];
/// assert_eq!((&*holder.label, holder.count), ("nightly report", 3));
/// # drop(permit);
/// # Ok::<(), grmgr::AcquireError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// The [label](crate::AcquireOf::label) of the request, or the
    /// [last one](crate::PermitOf::set_label) of the permits. Empty without one.
    ///
    /// Permits that have been [forgotten](crate::PermitOf::forget) and have no label: `"forgotten"`.
    pub label: Cow<'static, str>,
    /// How many permits, at least 1.
    pub count: usize,
    /// For how long, by the limiter's clock.
    pub held_for: Duration,
}

/// The holders of a limiter. No callback runs under the lock.
#[derive(Debug)]
pub(crate) struct Holders {
    book: Mutex<Book>,
    held: Recorder,
}

#[derive(Debug, Default)]
struct Book {
    /// How many have ever been entered.
    entered: u64,
    /// One a guard, at its number less 1; `None` where it has gone.
    guards: Vec<Option<Entry>>,
    /// Numbers without a guard.
    vacant: Vec<u32>,
    /// Without a guard, in the order in which they have been forgotten.
    forgotten: VecDeque<Entry>,
}

#[derive(Debug)]
struct Entry {
    label: Cow<'static, str>,
    count: usize,
    since: Duration,
    /// Which entry it was, from 1: the order of those of the same time.
    order: u64,
}

impl Holders {
    pub(crate) fn new() -> Self {
        Self { book: Mutex::default(), held: Recorder::new() }
    }

    /// Enters a guard with `count` permits and returns its number: at least 1, and at most the
    /// number of guards there are.
    pub(crate) fn enter(&self, label: Cow<'static, str>, count: usize, since: Duration) -> u32 {
        self.with_book(|book| book.enter(label, count, since))
    }

    /// `count` of the permits of a guard go into one of their own, whose number it returns.
    pub(crate) fn split(&self, number: u32, count: usize) -> u32 {
        self.with_book(|book| {
            let entry = book.guard(number);
            entry.count -= count;
            let (label, since) = (entry.label.clone(), entry.since);
            book.enter(label, count, since)
        })
    }

    /// The permits of the guard `other` go into the guard `number`, which is then as old as the
    /// older one.
    pub(crate) fn merge(&self, number: u32, other: u32) {
        // Returned, so that its label is freed without the lock; likewise below.
        let _other = self.with_book(|book| {
            let other = book.leave(other);
            let entry = book.guard(number);
            entry.count += other.count;
            entry.since = entry.since.min(other.since);
            other
        });
    }

    /// The permits of a guard have this label from now on.
    pub(crate) fn relabel(&self, number: u32, label: Cow<'static, str>) {
        let _before = self.with_book(|book| mem::replace(&mut book.guard(number).label, label));
    }

    /// A guard gives back `count` of its permits; returns since when they were held.
    pub(crate) fn give_back(&self, number: u32, count: usize) -> Duration {
        let (since, _entry) = self.with_book(|book| {
            let entry = book.guard(number);
            entry.count -= count;
            let (since, left) = (entry.since, entry.count);
            (since, (left == 0).then(|| book.leave(number)))
        });
        since
    }

    /// The permits of a guard stay without it.
    pub(crate) fn forget(&self, number: u32) {
        self.with_book(|book| {
            let mut entry = book.leave(number);
            if entry.label.is_empty() {
                entry.label = Cow::Borrowed(FORGOTTEN);
            }
            book.forgotten.push_back(entry);
        });
    }

    /// One forgotten permit is given back, of those that were forgotten first; returns since when it
    /// was held.
    pub(crate) fn done(&self) -> Duration {
        let (since, _entry) = self.with_book(|book| {
            let entry = book.forgotten.front_mut().expect(ENTERED);
            entry.count -= 1;
            let (since, left) = (entry.since, entry.count);
            (since, if left == 0 { book.forgotten.pop_front() } else { None })
        });
        since
    }

    /// `count` permits were held for this long.
    pub(crate) fn held(&self, held_for: Duration, count: usize) {
        self.held.record(held_for, count);
    }

    /// For how long permits were held that have been given back.
    pub(crate) fn histogram(&self) -> Histogram {
        self.held.read()
    }

    /// Since when the oldest holder has its permits.
    pub(crate) fn oldest(&self) -> Option<Duration> {
        self.with_book(|book| book.entries().map(|entry| entry.since).min())
    }

    /// All holders, the oldest first.
    pub(crate) fn list(&self, now: Duration) -> Vec<Holder> {
        let mut holders: Vec<_> = self.with_book(|book| {
            let holder = |entry: &Entry| Holder {
                label: entry.label.clone(),
                count: entry.count,
                held_for: now.saturating_sub(entry.since),
            };
            book.entries().map(|entry| ((entry.since, entry.order), holder(entry))).collect()
        });
        holders.sort_unstable_by_key(|(age, _)| *age);
        holders.into_iter().map(|(_, holder)| holder).collect()
    }

    fn with_book<R>(&self, f: impl FnOnce(&mut Book) -> R) -> R {
        f(&mut self.book.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A guard has a number only from `enter`, and a forgotten permit is entered before it is counted.
const ENTERED: &str = "a guard that gives back is entered";

impl Book {
    fn enter(&mut self, label: Cow<'static, str>, count: usize, since: Duration) -> u32 {
        self.entered += 1;
        let entry = Some(Entry { label, count, since, order: self.entered });
        if let Some(number) = self.vacant.pop() {
            self.guards[number as usize - 1] = entry;
            number
        } else {
            self.guards.push(entry);
            // Each has a permit, of which there are fewer than 2^28.
            self.guards.len() as u32
        }
    }

    fn leave(&mut self, number: u32) -> Entry {
        self.vacant.push(number);
        self.guards[number as usize - 1].take().expect(ENTERED)
    }

    fn guard(&mut self, number: u32) -> &mut Entry {
        self.guards[number as usize - 1].as_mut().expect(ENTERED)
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.guards.iter().flatten().chain(&self.forgotten)
    }
}

/// `label`, cut to its first 256 bytes, or to fewer where that would cut a character.
pub(crate) fn cut(label: Cow<'static, str>) -> Cow<'static, str> {
    let end = (0..=LABEL.min(label.len())).rfind(|end| label.is_char_boundary(*end)).unwrap_or(0);
    match label {
        Cow::Borrowed(label) => Cow::Borrowed(&label[..end]),
        Cow::Owned(mut label) => {
            label.truncate(end);
            label.shrink_to_fit();
            Cow::Owned(label)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A user would notice it only by the memory it takes.
    #[test]
    fn number_of_a_guard_that_has_gone_is_used_again() {
        let holders = Holders::new();
        let enter = || holders.enter(Cow::Borrowed(""), 1, Duration::ZERO);
        let kept = enter();
        for _ in 0..100 {
            let number = enter();
            assert_eq!((kept, number), (1, 2));
            holders.give_back(number, 1);
        }
    }
}
