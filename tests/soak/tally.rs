//! How many operations of each kind were done.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident,)*) => {
        /// The kinds of operations.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Kind { $($(#[$doc])* $kind,)* }

        const KINDS: &[Kind] = &[$(Kind::$kind,)*];
    };
}

kinds! {
    /// Not begun.
    Nothing,
    // In tasks.
    Hold,
    HoldOwned,
    Timeout,
    Select,
    Abort,
    Panic,
    Unordered,
    WakersInWake,
    SpuriousPolls,
    Cancel,
    Try,
    Latch,
    // In threads.
    Block,
    BlockOwned,
    BlockTimeout,
    BlockPanic,
    BlockWakers,
    BlockLatch,
    // What came of some of them.
    TimedOut,
    Aborted,
    QueueFull,
    LatchResolved,
    HeadOutOfPatience,
    // On limiters of their own.
    HeadWait,
    Barge,
    Round,
    Close,
    // By the tasks that move the ceilings.
    Up,
    Down,
    SetCeiling,
    Pause,
    Resume,
}

static DONE: [AtomicU64; KINDS.len()] = [const { AtomicU64::new(0) }; KINDS.len()];

impl Kind {
    /// Whether it only tells what came of an operation, which is counted itself.
    fn is_outcome(self) -> bool {
        matches!(
            self,
            Self::TimedOut
                | Self::Aborted
                | Self::QueueFull
                | Self::LatchResolved
                | Self::HeadOutOfPatience
        )
    }
}

pub(crate) fn count(kind: Kind) {
    count_many(kind, 1);
}

pub(crate) fn count_many(kind: Kind, n: u64) {
    DONE[kind as usize].fetch_add(n, Relaxed);
}

/// Prints what has been done.
pub(crate) fn print() {
    let mut total = 0;
    for &kind in KINDS {
        let done = DONE[kind as usize].load(Relaxed);
        if done > 0 {
            println!("{done:>12} {kind:?}");
        }
        if !kind.is_outcome() {
            total += done;
        }
    }
    println!("{total:>12} operations in total");
}
