//! Whose the permits of a request are.

#[cfg(feature = "stats")]
use std::borrow::Cow;

use grmgr::{Handle, OwnedPermit};

use crate::Pick;

/// The label of a request, until its permit is there. Without feature `stats` nothing is left of it.
#[derive(Debug, Default)]
pub(crate) struct Label {
    /// In a box: most requests have none, and are the smaller for it.
    #[cfg(feature = "stats")]
    text: Option<Box<Cow<'static, str>>>,
}

#[cfg(feature = "stats")]
impl Label {
    /// Made only where it is kept.
    #[inline]
    pub(crate) fn of<R, P: Pick<R> + ?Sized>(pick: &P, limiter: &Handle, request: &R) -> Self {
        let label = || Some(pick.label(request)).filter(|label| !label.is_empty());
        Self { text: if limiter.tracks_holders() { label().map(Box::new) } else { None } }
    }

    #[inline]
    pub(crate) fn set(&mut self, permit: &mut Option<OwnedPermit>) {
        if let (Some(text), Some(permit)) = (self.text.take(), permit) {
            permit.set_label(*text);
        }
    }
}

#[cfg(not(feature = "stats"))]
impl Label {
    #[inline]
    pub(crate) fn of<R, P: Pick<R> + ?Sized>(_: &P, _: &Handle, _: &R) -> Self {
        Self {}
    }

    #[inline]
    pub(crate) fn set(&mut self, _: &mut Option<OwnedPermit>) {}
}
