//! The atomics and thread primitives that the rest of the crate is written against: the real ones,
//! or loom's when the crate is being model-checked. No other file names loom.

#[cfg(all(not(loom), not(feature = "portable-atomic")))]
pub(crate) use core::sync::atomic;

#[cfg(all(not(loom), feature = "portable-atomic"))]
pub(crate) use portable_atomic as atomic;

#[cfg(not(loom))]
pub(crate) use atomic_waker::AtomicWaker;

#[cfg(all(not(loom), feature = "std"))]
pub(crate) use std::{thread, thread_local};

#[cfg(loom)]
pub(crate) use loom::{sync::atomic, thread, thread_local};

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
/// constructors.
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
