//! In place of the list where there is no lock to keep it under: how many large requests are in line.

use crate::state::Listed;
use crate::sync::atomic::{AtomicU32, Ordering::Relaxed};

pub(crate) struct List {
    /// Relaxed: made known by the read-modify-writes of the word that follow.
    large: AtomicU32,
}

impl List {
    pub(crate) const fn new() -> Self {
        Self { large: AtomicU32::new(0) }
    }

    pub(super) fn known(&self) -> Listed {
        Listed::Nobody
    }

    /// Nobody sleeps here.
    pub(crate) fn any(&self) -> bool {
        false
    }

    pub(crate) fn set_first_in_line(&self, _: bool) {}

    /// Whether a large request is in line, among the units.
    pub(super) fn has_large(&self) -> bool {
        self.large.load(Relaxed) > 0
    }

    /// A large request is about to enter: from now on nothing is handed over past it.
    pub(crate) fn enter(&self) {
        self.large.fetch_add(1, Relaxed);
    }

    /// A large request has left the line.
    pub(crate) fn leave(&self) {
        self.large.fetch_sub(1, Relaxed);
    }
}
