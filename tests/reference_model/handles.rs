//! What a sequence holds in its hands: requests and guards in both their forms, and wakers.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use grmgr::{Acquire, AcquireError, AcquireOwned, OwnedPermit, Permit};

use crate::common::Wakes;

/// The borrowed and the owned form take turns: they are to stand in one line.
pub(crate) enum Request<'a> {
    Borrowed(Acquire<'a>),
    Owned(AcquireOwned),
}

pub(crate) enum Guard<'a> {
    Borrowed(Permit<'a>),
    Owned(OwnedPermit),
}

impl<'a> Request<'a> {
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Guard<'a>, AcquireError>> {
        match self {
            Self::Borrowed(future) => Pin::new(future).poll(cx).map_ok(Guard::Borrowed),
            Self::Owned(future) => Pin::new(future).poll(cx).map_ok(Guard::Owned),
        }
    }
}

impl Guard<'_> {
    pub(crate) fn count(&self) -> usize {
        match self {
            Self::Borrowed(permit) => permit.count(),
            Self::Owned(permit) => permit.count(),
        }
    }

    pub(crate) fn forget(self) {
        match self {
            Self::Borrowed(permit) => permit.forget(),
            Self::Owned(permit) => permit.forget(),
        }
    }

    pub(crate) fn split(&mut self, n: usize) -> Option<Self> {
        match self {
            Self::Borrowed(permit) => permit.split(n).map(Self::Borrowed),
            Self::Owned(permit) => permit.split(n).map(Self::Owned),
        }
    }
}

/// Nothing keeps the waker of a request that has finished, or has been polled with another.
pub(crate) fn assert_forgotten(wakes: &Arc<Wakes>) {
    assert_eq!(Arc::strong_count(wakes), 1, "a waker was kept");
}
