//! An allocator that counts, so that the memory rows show what happened and not what was expected.
//!
//! It counts only while it is asked to: a peer that allocates must not pay for being counted in the
//! timed rows, when one that does not has nothing to pay.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// What a piece of work has allocated on its thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls that returned a new block or grew one.
    pub allocations: u64,
    /// Bytes allocated and not yet freed; freeing what was allocated before makes it negative.
    pub live_bytes: i64,
}

/// Whether allocations are counted. Only one piece of work is counted at a time.
static COUNTING: AtomicBool = AtomicBool::new(false);

thread_local! {
    static COUNTS: Cell<Counts> = const {
        Cell::new(Counts { allocations: 0, live_bytes: 0 })
    };
}

/// What `work` allocated on this thread, with the value it returned.
pub fn counted<T>(work: impl FnOnce() -> T) -> (Counts, T) {
    COUNTS.set(Counts::default());
    COUNTING.store(true, Relaxed);
    let value = work();
    COUNTING.store(false, Relaxed);
    (COUNTS.get(), value)
}

#[inline]
fn count(allocations: u64, bytes: i64) {
    if !COUNTING.load(Relaxed) {
        return;
    }
    // A thread that is being torn down may still free memory; its counts are not read any more.
    let _ = COUNTS.try_with(|counts| {
        let Counts { allocations: a, live_bytes: b } = counts.get();
        counts.set(Counts { allocations: a + allocations, live_bytes: b + bytes });
    });
}

fn signed(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

#[derive(Debug)]
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes on to `System` unchanged; counting touches only a thread-local cell that
// needs no allocation and has no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, signed(layout.size()));
        // SAFETY: the caller keeps `GlobalAlloc`'s contract, which is also `System`'s.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(1, signed(layout.size()));
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(1, signed(size) - signed(layout.size()));
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(0, -signed(layout.size()));
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}
