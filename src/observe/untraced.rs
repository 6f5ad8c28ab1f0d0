//! Without feature `tracing`: the functions of `traced.rs`, which do nothing.

use crate::error::AcquireError;
use crate::limiter::Limiter;
use crate::observe::Move;
use crate::throttle::{Adjust, Adjustment};

impl Limiter {
    pub(super) fn trace_waiting(&self) {}

    pub(super) fn trace_refused(&self, _: AcquireError) {}

    pub(super) fn trace_no_change(&self, _: Adjust, _cause: &str, _: Adjustment) {}

    pub(super) fn trace_moved(&self, _: Move, _cause: &str) {}
}
