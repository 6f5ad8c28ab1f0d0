//! Stages of one pipeline that share a limiter.
//!
//! A stage polls the one before it, and what runs in that runs only then. So one that waits for a permit
//! goes on polling its source: the permit may be held there. And while it waits, the stages before it
//! begin nothing under that limiter, or they could take its permits for ever. They learn that here, as
//! they are polled within its poll, on the same thread, and tell how many items they may have.

use std::cell::RefCell;

use grmgr::Handle;

/// A stage that waits for a permit, and polls its source.
struct Waiting {
    /// The address of its limiter.
    limiter: usize,
    /// How many items the stages before it may have.
    upstream: usize,
}

thread_local! {
    /// The last one is the earliest in its pipeline.
    static WAITING: RefCell<Vec<Waiting>> = const { RefCell::new(Vec::new()) };
}

/// Polls the source of a stage that waits. Returns also how many items the stages before it may have, as
/// far as they were polled.
pub(crate) fn poll_source<T>(limiter: &Handle, poll: impl FnOnce() -> T) -> (T, usize) {
    /// Also if the source panics.
    struct Leave(usize);
    impl Drop for Leave {
        fn drop(&mut self) {
            WAITING.with_borrow_mut(|waiting| waiting.truncate(self.0));
        }
    }
    let stage = Waiting { limiter: address(limiter), upstream: 0 };
    let leave = WAITING.with_borrow_mut(|waiting| {
        waiting.push(stage);
        Leave(waiting.len() - 1)
    });
    let polled = poll();
    (polled, WAITING.with_borrow(|waiting| waiting[leave.0].upstream))
}

/// A stage is polled that may have so many items, itself and before it. Returns whether a later one waits
/// for the same limiter.
pub(crate) fn visit(limiter: &Handle, items: usize) -> bool {
    WAITING.with_borrow_mut(|waiting| {
        let Some(next) = waiting.last_mut() else { return false };
        next.upstream = next.upstream.saturating_add(items);
        waiting.iter().any(|stage| stage.limiter == address(limiter))
    })
}

fn address(limiter: &Handle) -> usize {
    std::ptr::from_ref(&**limiter).addr()
}
