//! Claiming: what a waiter that was called from the queue finds.

use super::Cell;
use crate::state::{Counts, Word};
use crate::sync::atomic::Ordering::{Acquire, Relaxed};

/// What a notified waiter finds.
pub(crate) enum Token {
    /// The open seat, with the word after the claim.
    Seat(Word),
    /// One permit, already counted in flight.
    Permit,
    /// Nothing: the limiter is closed, and other waiters have claimed the tokens.
    Nothing,
}

impl Cell {
    /// Takes up to `n` handed permits that no waiter has claimed and returns how many. If there are any
    /// and `leave` is set, a waiter is counted out with them.
    pub(super) fn take_handed(&self, n: usize, leave: bool) -> usize {
        let mut taken = 0;
        // Acquire pairs with the Release that handed them. The last waiter to leave (see `Cell::leave`)
        // need not know of one that leaves here: it knows of the call that handed the permit. Nor need
        // this one look: while it keeps the permit nothing depends on a QUEUED left behind, and the thread
        // that makes a permit free looks.
        let _ = self.counts.fetch_update(Acquire, Relaxed, |counts| {
            taken = Counts(counts).handed().min(n);
            let left = if leave { Counts::WAITER } else { 0 };
            (taken > 0).then(|| counts - taken as u64 * Counts::HANDED - left)
        });
        taken
    }

    /// Claims a token for a notified waiter that asks for `n` permits. `arrive` tells what becomes
    /// of the word if it is the open seat. If it is a permit and `leave` is set, the waiter is counted
    /// out in the same operation.
    ///
    /// A unit prefers a handed permit: without `std` the seat may have been opened for a large request,
    /// which has no use for anything else.
    #[inline]
    pub(crate) fn claim(&self, n: usize, leave: bool, arrive: impl Fn(Word) -> Word) -> Token {
        loop {
            if n == 1 && self.take_handed(1, leave) == 1 {
                return Token::Permit;
            }
            match self.word.update(|word| word.seat_is_open().then(|| arrive(word))) {
                Ok(after) => return Token::Seat(after),
                // The waiter that took the seat left the token that it had been called with.
                Err(_) if self.take_handed(1, leave) == 1 => return Token::Permit,
                Err(word) if word.is_closed() => return Token::Nothing,
                // Others have exchanged tokens meanwhile, and one is left.
                Err(_) => {}
            }
        }
    }
}
