//! What the same work costs without a limiter, in the shape of peers so that it runs through the
//! very same loops.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

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

/// The least future that counts, can wait and can be cancelled: a load, a check and an exchange; a
/// flag that tells whether it waits, and a drop that looks at it. It waits by polling, in no order,
/// and out of line as any wait is: inlined here, it would have all of the future kept in registers.
#[derive(Debug)]
pub struct LeastFuture {
    /// Permits in flight, and above them how many wait.
    word: AtomicU64,
    ceiling: u64,
}

const WAITER: u64 = 1 << 32;

#[derive(Debug)]
struct LeastAcquire<'a> {
    limiter: &'a LeastFuture,
    waits: bool,
}

impl<'a> Future for LeastAcquire<'a> {
    type Output = SecondRmw<'a>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<SecondRmw<'a>> {
        match self.limiter.try_acquire() {
            Some(permit) => Poll::Ready(permit),
            None => self.wait(cx),
        }
    }
}

impl<'a> LeastAcquire<'a> {
    #[inline(never)]
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<SecondRmw<'a>> {
        if !self.waits {
            self.waits = true;
            self.limiter.word.fetch_add(WAITER, Ordering::Relaxed);
        }
        let word = self.limiter.word.load(Ordering::Relaxed);
        if word % WAITER < self.limiter.ceiling && self.limiter.exchange(word, word - WAITER + 1) {
            self.waits = false;
            return Poll::Ready(SecondRmw(&self.limiter.word));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    #[inline(never)]
    fn cancel(&self) {
        self.limiter.word.fetch_sub(WAITER, Ordering::Relaxed);
    }
}

impl Drop for LeastAcquire<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.waits {
            self.cancel();
        }
    }
}

impl LeastFuture {
    #[inline]
    fn exchange(&self, old: u64, new: u64) -> bool {
        self.word.compare_exchange(old, new, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }
}

impl Peer for LeastFuture {
    const NAME: &'static str = "least future";
    const KIND: Kind = Kind::Floor;
    type Permit<'a> = SecondRmw<'a>;

    fn new(ceiling: usize) -> Self {
        Self { word: AtomicU64::new(0), ceiling: ceiling as u64 }
    }
    #[inline]
    fn try_acquire(&self) -> Option<SecondRmw<'_>> {
        let word = self.word.load(Ordering::Relaxed);
        // Any waiter makes it larger than the ceiling.
        (word < self.ceiling && self.exchange(word, word + 1)).then(|| SecondRmw(&self.word))
    }
}

impl AsyncPeer for LeastFuture {
    #[inline]
    async fn acquire(&self) -> SecondRmw<'_> {
        LeastAcquire { limiter: self, waits: false }.await
    }
    fn future_bytes(&self) -> usize {
        size_of::<LeastAcquire<'_>>()
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
