//! The atomics and thread primitives that the rest of the crate is written against: the real ones,
//! or, when the crate is being model-checked, loom's or shuttle's. No other file names shuttle. Of
//! loom, the others only know that it has neither constants nor clocks.

#[cfg(all(not(loom), not(shuttle), not(feature = "portable-atomic")))]
pub(crate) use core::sync::atomic;

#[cfg(all(not(loom), not(shuttle), feature = "portable-atomic"))]
pub(crate) use portable_atomic as atomic;

// The real one under shuttle, too, which has none of its own: there each call is one step.
#[cfg(not(loom))]
pub(crate) use atomic_waker::AtomicWaker;

#[cfg(all(not(loom), not(shuttle), feature = "std"))]
pub(crate) use std::{
    sync::{Mutex, MutexGuard},
    thread, thread_local,
};

#[cfg(loom)]
pub(crate) use loom::{
    sync::{Mutex, MutexGuard, atomic},
    thread, thread_local,
};

// A blocking wait's waker switches tasks here, and would do so under the mutex of `event-listener`,
// which is a real one. So the models that run under shuttle must not block.
#[cfg(shuttle)]
pub(crate) use shuttle::{
    sync::{Mutex, MutexGuard, atomic},
    thread, thread_local,
};

/// Whether the crate is being model-checked.
#[cfg(feature = "stats")]
pub(crate) const MODELLED: bool = cfg!(any(loom, shuttle));

/// loom's stand-in for `atomic-waker`, under that crate's names.
#[cfg(loom)]
#[derive(Debug)]
pub(crate) struct AtomicWaker(loom::future::AtomicWaker);

#[cfg(loom)]
impl AtomicWaker {
    pub(crate) fn new() -> Self {
        Self(loom::future::AtomicWaker::new())
    }

    pub(crate) fn register(&self, waker: &core::task::Waker) {
        self.0.register_by_ref(waker);
    }

    pub(crate) fn wake(&self) {
        self.0.wake();
    }

    pub(crate) fn take(&self) -> Option<core::task::Waker> {
        self.0.take_waker()
    }
}

/// Declares a function that is `const`, except under loom, whose atomics have no `const`
/// constructors. (Shuttle's have.)
macro_rules! const_unless_loom {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($args:tt)*) -> $ret:ty $body:block) => {
        $(#[$meta])*
        #[cfg(not(loom))]
        $vis const fn $name($($args)*) -> $ret $body

        $(#[$meta])*
        #[cfg(loom)]
        $vis fn $name($($args)*) -> $ret $body
    };
}
pub(crate) use const_unless_loom;

/// After this many calls a thread leaves the rest to the first in line; see `Cell::is_tired`. The
/// models, which are small, get to that sooner.
pub(crate) const ROUNDS: usize = if cfg!(any(loom, shuttle)) { 2 } else { 8 };
