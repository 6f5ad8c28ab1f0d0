//! Many waiters dropped while they wait.

use std::time::Instant;

use super::Took;
use super::wakeup::{must_wait, must_wait_boxed};
use crate::alloc::counted;
use crate::peers::AsyncPeer;

/// In which order the waiters leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The one that waits longest first.
    Arrival,
    /// The newest first.
    Reverse,
    /// Shuffled, the same way every time.
    Random,
}

impl Order {
    /// For row names.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Arrival => "in order",
            Self::Reverse => "in reverse",
            Self::Random => "at random",
        }
    }

    fn of(self, waiters: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..waiters).collect();
        match self {
            Self::Arrival => {}
            Self::Reverse => order.reverse(),
            Self::Random => shuffle(&mut order),
        }
        order
    }
}

/// Fisher and Yates, with a generator that is good enough to spoil any order.
fn shuffle(items: &mut [usize]) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for last in (1..items.len()).rev() {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        items.swap(last, (state >> 33) as usize % (last + 1));
    }
}

/// Dropping `waiters` waiting futures; the queue must be empty and the permit free afterwards.
pub fn run<P: AsyncPeer>(waiters: usize, order: Order) -> Took {
    let limiter = P::new(1);
    let order = order.of(waiters);
    let held = limiter.try_acquire().expect("the first permit");
    let mut futures: Vec<_> =
        (0..waiters).map(|_| Some(must_wait_boxed(limiter.acquire()))).collect();
    let start = Instant::now();
    for index in order {
        futures[index] = None;
    }
    let elapsed = start.elapsed();
    drop(held);
    assert!(limiter.try_acquire().is_some(), "{}: a cancelled waiter kept the permit", P::NAME);
    Took { elapsed, ops: waiters as u64 }
}

/// Nanoseconds a waiter, how much that is above the figure for a tenth of the waiters, and the
/// bytes still allocated once everything, the limiter included, is gone.
pub fn growth_and_leaks<P: AsyncPeer>(waiters: usize, order: Order) -> Vec<f64> {
    // Once for the caches: otherwise the small run pays for what the large one finds in place.
    run::<P>(waiters / 10, order);
    let few = run::<P>(waiters / 10, order);
    let many = run::<P>(waiters, order);
    let (counts, _) = counted(|| run::<P>(waiters, order));
    vec![many.ns(), many.ns() / few.ns(), counts.live_bytes as f64]
}

/// One waiter enqueued and dropped while `waiting` others wait.
pub fn one_among<P: AsyncPeer>(waiting: usize, ops: u64) -> Took {
    let limiter = P::new(1);
    let held = limiter.try_acquire().expect("the first permit");
    let others: Vec<_> = (0..waiting).map(|_| must_wait_boxed(limiter.acquire())).collect();
    let start = Instant::now();
    for _ in 0..ops {
        let mut waiter = std::pin::pin!(limiter.acquire());
        must_wait(waiter.as_mut());
    }
    let elapsed = start.elapsed();
    drop(others);
    drop(held);
    Took { elapsed, ops }
}
