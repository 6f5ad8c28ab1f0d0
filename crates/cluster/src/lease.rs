//! The member's side of the protocol: what is in force, when, and what is asked for. Pure: it is told the
//! time, by the limiter's clock.

use std::sync::Arc;
use std::time::Duration;

use crate::guard::{Guard, holds};
use crate::{Answer, Request, StoreError, Terms};

/// A share with its end, and what the member knows of the server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Lease {
    pub(crate) terms: Terms,
    since: u64,
    pub(crate) epoch: u64,
    seq: u64,
    share: u64,
    /// When the share was asked for, and when it ends.
    term: Option<(Duration, Duration)>,
    /// The server's time in the last answer, and when that came.
    heard: Option<(u64, Duration)>,
    /// When the first answer of the epoch came.
    first: Option<Duration>,
}

/// When the share begins to ramp down, and when it has arrived at the floor, in parts of the lease.
const RAMP: (f64, f64) = (2.0 / 3.0, 19.0 / 20.0);

impl Lease {
    pub(crate) fn new(terms: Terms) -> Self {
        Self { terms, since: 0, epoch: 0, seq: 0, share: 0, term: None, heard: None, first: None }
    }

    /// When the share ends, if there is one.
    pub(crate) fn until(&self) -> Option<Duration> {
        self.term.map(|(_, until)| until)
    }

    /// The share that the last answer gave, until its end.
    #[cfg(test)]
    pub(crate) fn share(&self, now: Duration) -> u64 {
        if self.until().is_some_and(|until| now < until) { self.share } else { 0 }
    }

    /// What of it should be in force: all of it at first, and step by step less when no answer comes.
    pub(crate) fn in_force(&self, now: Duration) -> u64 {
        let Some((sent, until)) = self.term else { return 0 };
        if now >= until {
            return 0;
        }
        let lease = until - sent;
        let (begin, end) = (sent + lease.mul_f64(RAMP.0), sent + lease.mul_f64(RAMP.1));
        if now <= begin {
            self.share
        } else if now >= end {
            0
        } else {
            // Rounded down, so that the last permit goes before the end.
            ((end - now).as_secs_f64() / (end - begin).as_secs_f64() * self.share as f64) as u64
        }
    }

    /// The next request. `has` is what is in force until the answer comes.
    pub(crate) fn request(
        &mut self,
        pool: &Arc<str>,
        member: &Arc<str>,
        now: Duration,
        demand: Demand,
    ) -> Request {
        self.seq += 1;
        let since = |at: Duration| millis(now.saturating_sub(at));
        Request {
            pool: pool.clone(),
            member: member.clone(),
            seq: self.seq,
            want: demand.want,
            used: demand.used,
            has: demand.has,
            left: self.until().map_or(0, |until| millis(until.saturating_sub(now))),
            seen: self.heard.map_or(0, |(seen, _)| seen),
            elapsed: self.heard.map_or(0, |(_, at)| since(at)),
            age: self.first.map_or(0, since),
            epoch: self.epoch,
            terms: self.terms,
            since: self.since,
            dice: demand.dice,
            leaving: demand.leaving,
        }
    }

    /// Takes over the answer to a request that was sent at one time and answered at another (O2).
    pub(crate) fn answered(
        &mut self,
        sent: Duration,
        now: Duration,
        answer: &Answer,
    ) -> Result<(), StoreError> {
        let terms = answer.terms;
        let from = if holds(Guard::Sent) { sent } else { now };
        let length = if holds(Guard::Sent) { terms.ttl - terms.margin() } else { terms.ttl };
        let until = from + Duration::from_millis(length);
        if now >= until {
            return Err(StoreError::Late);
        }
        if self.first.is_none() || answer.epoch != self.epoch {
            self.first = Some(now);
        }
        self.heard = Some((answer.now, now));
        self.epoch = answer.epoch;
        self.terms = terms;
        self.since = answer.since;
        self.share = answer.share;
        self.term = Some((from, until));
        Ok(())
    }
}

/// What a request says about the limiter, in permits above the floor.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Demand {
    pub(crate) want: u64,
    pub(crate) used: u64,
    pub(crate) has: u64,
    pub(crate) dice: u8,
    pub(crate) leaving: bool,
}

/// In whole milliseconds, rounded down: a member never claims more time than has passed, or is left.
fn millis(duration: Duration) -> u64 {
    duration.as_millis().min(u128::from(u64::MAX >> 12)) as u64
}
