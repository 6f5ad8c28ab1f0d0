//! What the same work costs without a limiter, in the shape of peers so that it runs through the
//! very same loops.

use std::future::{Future, ready};
use std::sync::atomic::{AtomicU64, Ordering};

use super::{AsyncPeer, Kind, Peer};

/// Two read-modify-writes of one word: no limiter that counts can do with less.
#[derive(Debug)]
pub struct TwoRmws(AtomicU64);

/// The second of the two.
#[derive(Debug)]
pub struct SecondRmw<'a>(&'a AtomicU64);

impl Drop for SecondRmw<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

impl Peer for TwoRmws {
    const NAME: &'static str = "two bare RMWs";
    const KIND: Kind = Kind::Floor;
    type Permit<'a> = SecondRmw<'a>;

    fn new(_ceiling: usize) -> Self {
        Self(AtomicU64::new(0))
    }
    #[inline]
    fn try_acquire(&self) -> Option<SecondRmw<'_>> {
        self.0.fetch_add(1, Ordering::Acquire);
        Some(SecondRmw(&self.0))
    }
}

impl AsyncPeer for TwoRmws {
    #[inline]
    fn acquire(&self) -> impl Future<Output = SecondRmw<'_>> + Send {
        self.0.fetch_add(1, Ordering::Acquire);
        ready(SecondRmw(&self.0))
    }
    fn future_bytes(&self) -> usize {
        0
    }
}

/// Lets everyone in at once: the same tasks with no limiter at all.
#[derive(Debug)]
pub struct NoLimiter;

/// Nothing to give back.
#[derive(Debug)]
pub struct Nothing;

impl Peer for NoLimiter {
    const NAME: &'static str = "no limiter";
    const KIND: Kind = Kind::Floor;
    type Permit<'a> = Nothing;

    fn new(_ceiling: usize) -> Self {
        Self
    }
    #[inline]
    fn try_acquire(&self) -> Option<Nothing> {
        Some(Nothing)
    }
}

impl AsyncPeer for NoLimiter {
    #[inline]
    fn acquire(&self) -> impl Future<Output = Nothing> + Send {
        ready(Nothing)
    }
    fn future_bytes(&self) -> usize {
        0
    }
}
