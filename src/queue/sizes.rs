//! Where in the queue the large requests stand: those for more than one permit.
//!
//! Permits are handed over one by one and calls are not addressed to anybody, so surplus may go only
//! to the unit requests in front of the first large one. The queue itself cannot tell how many these
//! are. The *books* can: they list the large requests in line, each with the units between it and the
//! one before it.
//!
//! They are kept by large requests, and by waiters that are called or give up while there are any. A
//! limiter whose requests are all for one permit never locks. The count is exact while requests enter
//! and leave one at a time. Of two that do so at once, one may be counted on the wrong side of the other.
//! Then too few permits are handed over, and the rest follow when the head has been served; or one
//! reaches a large request, which gives it back ([`Queue::displace`](super::Queue::displace)).
//!
//! Without `std` there is no lock to keep the books under. Nothing is handed over then while a large
//! request waits.

use crate::sync::atomic::{AtomicU32, Ordering::Relaxed};
use crate::sync::const_unless_loom;

#[cfg(feature = "std")]
pub(crate) use self::books::Sizes;
#[cfg(not(feature = "std"))]
pub(crate) use self::no_books::Sizes;

/// A large request's entry in the books.
pub(crate) type Entry = u32;

#[cfg(feature = "std")]
mod books {
    use std::sync::PoisonError;

    use alloc::boxed::Box;
    use alloc::collections::VecDeque;

    use super::{AtomicU32, Entry, Relaxed, const_unless_loom};
    use crate::sync::Mutex;

    /// No large request waits, so any number of waiters may be handed a permit.
    const NO_LARGE: u32 = u32::MAX;

    pub(crate) struct Sizes {
        /// The units in front of the first large request, or [`NO_LARGE`]. Relaxed: made known by the
        /// read-modify-writes of the word that follow.
        in_front: AtomicU32,
        /// The next large request's entry. Relaxed: a unit that reads it while a large request enters
        /// stands on either side of that.
        next: AtomicU32,
        /// Made for the first large request that waits.
        books: Mutex<Option<Box<Books>>>,
    }

    #[derive(Default)]
    struct Books {
        /// In the order of the line, and so of the entries.
        large: VecDeque<Large>,
        /// The units of all of them.
        units: usize,
        /// Whether the first of them is in the seat, or called to it.
        first_is_called: bool,
    }

    struct Large {
        entry: Entry,
        /// The units asleep between it and the large request before it.
        units: u32,
    }

    impl Sizes {
        const_unless_loom! {
            pub(crate) fn new() -> Self {
                Self {
                    in_front: AtomicU32::new(NO_LARGE),
                    next: AtomicU32::new(0),
                    books: Mutex::new(None),
                }
            }
        }

        /// How many waiters may be handed one permit each, as far as sizes matter.
        #[inline]
        pub(crate) fn units_in_front(&self) -> usize {
            self.in_front.load(Relaxed) as usize
        }

        /// Whether a large request is in line.
        #[inline]
        pub(crate) fn any(&self) -> bool {
            self.in_front.load(Relaxed) != NO_LARGE
        }

        /// The entry of the large request that enters next.
        #[inline]
        pub(crate) fn next(&self) -> Entry {
            self.next.load(Relaxed)
        }

        /// A large request enters the line, behind so many that are `asleep`.
        pub(crate) fn enter(&self, asleep: impl FnOnce() -> usize) -> Entry {
            self.update(|books| {
                let entry = self.next.fetch_add(1, Relaxed);
                let known = books.large.len() - usize::from(books.first_is_called) + books.units;
                let units = asleep().saturating_sub(known);
                books.units += units;
                books.large.push_back(Large { entry, units: units as u32 });
                entry
            })
        }

        /// A large request has left the line.
        pub(crate) fn leave(&self, entry: Entry) {
            self.update(|books| {
                let at = books.find(entry);
                let Some(left) = books.large.remove(at) else { return };
                if at == 0 {
                    books.first_is_called = false;
                }
                match books.large.get_mut(at) {
                    Some(next) => next.units += left.units,
                    // They are the last ones now, which are not counted.
                    None => books.units -= left.units as usize,
                }
            });
        }

        /// A large request sits down: nobody is in front of it any more.
        pub(crate) fn sit_down(&self, entry: Entry) {
            self.update(|books| {
                books.drop_units_up_to(entry);
                books.first_is_called = true;
            });
        }

        /// So many waiters are about to be called, the first of them to the seat if `seat`.
        #[inline]
        pub(crate) fn call(&self, waiters: usize, seat: bool) {
            if self.any() {
                self.update(|books| books.call(waiters, seat));
            }
        }

        /// A unit that entered in front of `next` has left the queue without being called.
        #[inline]
        pub(crate) fn unit_left(&self, next: Entry) {
            if self.any() {
                self.update(|books| {
                    let at = books.find(next);
                    books.drop_units(at, 1);
                });
            }
        }

        /// A large request that was called with a permit stands in front of the queue now.
        pub(crate) fn displace(&self, entry: Entry) {
            self.update(|books| books.drop_units_up_to(entry));
        }

        fn update<R>(&self, change: impl FnOnce(&mut Books) -> R) -> R {
            let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
            let books = books.get_or_insert_default();
            let result = change(books);
            let in_front = match books.large.front() {
                None => NO_LARGE,
                Some(_) if books.first_is_called => 0,
                Some(first) => first.units,
            };
            self.in_front.store(in_front, Relaxed);
            result
        }
    }

    impl Books {
        /// Where an entry stands, or would stand. Entries may wrap around.
        fn find(&self, entry: Entry) -> usize {
            self.large.partition_point(|large| (large.entry.wrapping_sub(entry) as i32) < 0)
        }

        fn call(&mut self, waiters: usize, seat: bool) {
            if seat && self.large.front().is_some_and(|first| first.units == 0) {
                self.first_is_called = true;
            }
            self.drop_units(0, waiters as u32);
        }

        fn drop_units_up_to(&mut self, entry: Entry) {
            for at in 0..=self.find(entry) {
                self.drop_units(at, u32::MAX);
            }
        }

        /// Up to `n` units in front of a large request are not asleep any more.
        fn drop_units(&mut self, at: usize, n: u32) {
            if let Some(large) = self.large.get_mut(at) {
                let n = n.min(large.units);
                large.units -= n;
                self.units -= n as usize;
            }
        }
    }
}

#[cfg(not(feature = "std"))]
mod no_books {
    use super::{AtomicU32, Entry, Relaxed, const_unless_loom};

    pub(crate) struct Sizes {
        /// How many large requests are in line.
        large: AtomicU32,
    }

    impl Sizes {
        const_unless_loom! {
            pub(crate) fn new() -> Self {
                Self { large: AtomicU32::new(0) }
            }
        }

        #[inline]
        pub(crate) fn units_in_front(&self) -> usize {
            if self.any() { 0 } else { usize::MAX }
        }

        pub(crate) fn any(&self) -> bool {
            self.large.load(Relaxed) > 0
        }

        pub(crate) fn next(&self) -> Entry {
            0
        }

        pub(crate) fn enter(&self, _: impl FnOnce() -> usize) -> Entry {
            self.large.fetch_add(1, Relaxed)
        }

        pub(crate) fn leave(&self, _: Entry) {
            self.large.fetch_sub(1, Relaxed);
        }

        pub(crate) fn sit_down(&self, _: Entry) {}

        pub(crate) fn call(&self, _: usize, _: bool) {}

        pub(crate) fn unit_left(&self, _: Entry) {}

        pub(crate) fn displace(&self, _: Entry) {}
    }
}
