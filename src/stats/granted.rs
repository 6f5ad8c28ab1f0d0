//! The one thing that is counted on every acquire, without a locked operation: striped cells, each
//! written by one thread only.

use core::cell::Cell;
use std::sync::{Mutex, PoisonError};

use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use crate::sync::{MODELLED, const_unless_loom};

/// Cells of a limiter that a thread may have for itself. None in a model: a counter is no part of
/// the protocol, and a single one has the fewest steps.
const STRIPES: usize = if MODELLED { 0 } else { 16 };

/// What has been granted: permits, and the most that were in flight just after a grant.
///
/// A thread leases a *stripe*, a number from a pool of the whole process, for as long as it lives,
/// and with it the cell of that number in every limiter. It is the only writer there, so a load and
/// a store count without losing anything, where several writers need a locked operation each.
/// Threads that got no stripe share a cell, and pay for one.
///
/// At rest the sum is exact: a grant is counted before its permit is given back, and a thread that sees
/// the permit back (through the word) sees the count.
#[derive(Debug)]
pub(crate) struct Granted {
    owned: [Tally; STRIPES],
    shared: Tally,
}

/// A cache line of its own: two threads must not slow each other down.
#[repr(align(64))]
#[derive(Debug)]
struct Tally {
    permits: AtomicU64,
    peak: AtomicUsize,
}

impl Granted {
    const_unless_loom! {
        pub(crate) fn new() -> Self {
            Self { owned: tallies(), shared: Tally::new() }
        }
    }

    /// Counts `n` permits, with which `in_flight` are in flight.
    #[inline]
    pub(crate) fn count(&self, n: usize, in_flight: usize) {
        match self.owned.get(stripe()) {
            Some(mine) => mine.count_alone(n, in_flight),
            None => self.count_shared(n, in_flight),
        }
    }

    #[cold]
    fn count_shared(&self, n: usize, in_flight: usize) {
        match self.owned.get(lease()) {
            Some(mine) => mine.count_alone(n, in_flight),
            None => self.shared.count(n, in_flight),
        }
    }

    /// Permits granted.
    pub(crate) fn permits(&self) -> u64 {
        self.tallies().map(|tally| tally.permits.load(Relaxed)).sum()
    }

    /// The most in flight.
    pub(crate) fn peak(&self) -> usize {
        self.tallies().map(|tally| tally.peak.load(Relaxed)).max().unwrap_or(0)
    }

    fn tallies(&self) -> impl Iterator<Item = &Tally> {
        self.owned.iter().chain([&self.shared])
    }
}

impl Tally {
    const_unless_loom! {
        fn new() -> Self {
            Self { permits: AtomicU64::new(0), peak: AtomicUsize::new(0) }
        }
    }

    /// For the only writer. Relaxed: readers want the number and nothing else. What the stripe's
    /// previous thread has written is seen by way of the pool's mutex.
    #[inline]
    fn count_alone(&self, n: usize, in_flight: usize) {
        self.permits.store(self.permits.load(Relaxed) + n as u64, Relaxed);
        if self.peak.load(Relaxed) < in_flight {
            self.peak.store(in_flight, Relaxed);
        }
    }

    /// For one writer of several. Relaxed as above.
    fn count(&self, n: usize, in_flight: usize) {
        self.permits.fetch_add(n as u64, Relaxed);
        super::raise(&self.peak, in_flight);
    }
}

#[cfg(not(loom))]
const fn tallies() -> [Tally; STRIPES] {
    [const { Tally::new() }; STRIPES]
}

#[cfg(loom)]
fn tallies() -> [Tally; STRIPES] {
    core::array::from_fn(|_| Tally::new())
}

/// No stripe: the thread has not asked for one yet.
const UNASKED: usize = usize::MAX;
/// No stripe: none was left, or the thread has given its own back.
const SHARED: usize = usize::MAX - 1;

/// The stripes that no thread has, as bits.
static POOL: Mutex<u32> = Mutex::new(((1_u64 << STRIPES) - 1) as u32);

std::thread_local! {
    /// The thread's stripe. Apart from its lease: a thread-local without a destructor is read without
    /// asking whether that has run.
    static STRIPE: Cell<usize> = const { Cell::new(UNASKED) };
    static LEASE: Lease = const { Lease(Cell::new(SHARED)) };
}

/// Gives the stripe back when the thread ends.
struct Lease(Cell<usize>);

impl Drop for Lease {
    fn drop(&mut self) {
        // First the thread stops using it: destructors that run later may acquire.
        let _ = STRIPE.try_with(|stripe| stripe.set(SHARED));
        if self.0.get() < STRIPES {
            with_pool(|free| *free |= 1 << self.0.get());
        }
    }
}

#[inline]
fn stripe() -> usize {
    STRIPE.try_with(Cell::get).unwrap_or(SHARED)
}

/// The thread's stripe, after asking for one if it has not yet.
fn lease() -> usize {
    if stripe() == UNASKED {
        // Fails in a thread that is about to end, and has nothing left that would give it back.
        let leased = LEASE.try_with(|lease| {
            with_pool(|free| {
                let lowest = free.trailing_zeros() as usize;
                if lowest < STRIPES {
                    *free &= !(1 << lowest);
                    lease.0.set(lowest);
                }
            });
            lease.0.get()
        });
        let _ = STRIPE.try_with(|stripe| stripe.set(leased.unwrap_or(SHARED)));
    }
    stripe()
}

fn with_pool(change: impl FnOnce(&mut u32)) {
    change(&mut POOL.lock().unwrap_or_else(PoisonError::into_inner));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A user would notice it only by the time it takes.
    #[test]
    fn stripe_of_a_thread_that_has_ended_is_leased_again() {
        for _ in 0..4 * STRIPES {
            let leased = std::thread::spawn(lease).join().unwrap();
            assert!(leased < STRIPES, "none is left");
        }
    }
}
