//! Registering: polling the listener of a sleeper in the queue.

use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use event_listener::EventListener;

use super::Cell;

/// Which waker a listener has, without keeping it alive: what its data pointer says. Two wakers that
/// have it in common share what they own, so that none of them drops the last of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WakerId(usize);

impl WakerId {
    pub(crate) fn of(waker: &Waker) -> Self {
        Self(waker.data().addr())
    }
}

impl Cell {
    /// Polls a listener; `registered` is the waker that it has.
    ///
    /// A waker that another replaces is dropped under the mutex of the listener's `Event`, and
    /// may be the last owner of a permit, whose release would call waiters. So it is polled with
    /// DISPATCH set then.
    #[inline]
    pub(crate) fn poll_listener(
        &self,
        listener: &mut EventListener,
        registered: &mut WakerId,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let id = WakerId::of(cx.waker());
        if *registered == id {
            return Pin::new(listener).poll(cx);
        }
        self.replace_waker(listener, registered, id, cx)
    }

    #[cold]
    fn replace_waker(
        &self,
        listener: &mut EventListener,
        registered: &mut WakerId,
        id: WakerId,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let mut word = self.word.load();
        let mut polled = Poll::Pending;
        loop {
            if word.is_dispatching() {
                // It is enough to try again: the other thread is about to be done.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match self.dispatch(word, word, || polled = Pin::new(&mut *listener).poll(cx)) {
                Ok(word) => {
                    *registered = id;
                    // In full: a last waiter that left meanwhile relies on it.
                    self.fulfil(word);
                    return polled;
                }
                Err(found) => word = found,
            }
        }
    }
}
