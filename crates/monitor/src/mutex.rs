//! The one way in which this crate locks.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, also after somebody panicked while holding the lock: all that is kept under the locks
/// of this crate is whole between any two statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
