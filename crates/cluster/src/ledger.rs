//! The rules by which shares are given, as the server's side of the protocol. `script.lua` says the same
//! in the server's language; a test runs both on the same requests.
//!
//! Times are in milliseconds of the server's clock, permits are those above the floor.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::guard::{Guard, holds};
use crate::{Answer, Request, StoreError, Terms};

/// How many lapsed members one request clears away at most.
const LAPSES: usize = 100;
/// Up to so many members the water level is worked out at each request.
const FEW: usize = 32;
/// The water level when all get what they want.
const ABOVE_ALL: u64 = 1 << 40;

/// One pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Ledger {
    /// `None`: nothing is known, not even whether something was known before.
    meta: Option<Meta>,
    entries: BTreeMap<Arc<str>, Entry>,
    /// The same by the time at which they lapse.
    by_expiry: BTreeSet<(u64, Arc<str>)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Meta {
    run: Arc<str>,
    epoch: u64,
    /// When the epoch began.
    from: u64,
    /// Until when nobody grows.
    quiet: u64,
    /// Up to here it is known that the clock has not jumped.
    at: u64,
    /// What all entries hold.
    sum: u64,
    /// What those hold that have lapsed and may still have work running.
    reserved: u64,
    /// The water level: all that want no more get it, the others get this much.
    level: u64,
    /// So many of the others can have one more.
    extra: u64,
    /// So many members hold more than the level.
    tops: u64,
    levelled: u64,
    since: u64,
    terms: Terms,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Entry {
    held: u64,
    want: u64,
    seq: u64,
    expires: u64,
    lapsed: bool,
}

impl Ledger {
    /// One request, at this time, to the server of this name.
    pub(crate) fn refresh(
        &mut self,
        now: u64,
        run: &str,
        q: &Request,
    ) -> Result<Answer, StoreError> {
        self.terms(now, run, q);
        self.expire(now, q);
        let own = self.entries.remove(&q.member);
        let meta = self.meta.as_mut().expect("set above");
        let (own, was_lapsed) = match own {
            Some(entry) => {
                if q.seq <= entry.seq && holds(Guard::Seq) {
                    self.entries.insert(q.member.clone(), entry);
                    return Err(StoreError::Stale);
                }
                self.by_expiry.remove(&(entry.expires, q.member.clone()));
                (entry.held, entry.lapsed)
            }
            None => (0, false),
        };
        if was_lapsed {
            meta.reserved -= own;
        } else if own > meta.level {
            meta.tops = meta.tops.saturating_sub(1);
        }
        meta.sum -= own;
        let expires = now + meta.terms.ttl;
        if q.leaving {
            let held = own.min(q.used);
            if held > 0 && meta.terms.max_hold > 0 {
                meta.sum += held;
                meta.reserved += held;
                let expires = now + meta.terms.max_hold;
                let entry = Entry { held, want: 0, seq: q.seq, expires, lapsed: true };
                self.insert(&q.member, entry);
            }
            return Ok(self.answer(now, 0, 0));
        }
        // In line with the others before the level is worked out, and as a member for the floors.
        let entry = Entry { held: 0, want: q.want, seq: q.seq, expires, lapsed: false };
        self.insert(&q.member, entry);
        self.level(now);
        let members = self.members();
        let meta = self.meta.as_mut().expect("set above");

        let room = meta.terms.to_lease(members).saturating_sub(meta.sum);
        let room = if holds(Guard::Room) { room } else { u64::MAX };
        // Those that hold more than the level are the others: this member is not counted now.
        let spare = meta.tops < meta.extra;
        // Where there is not one for each, those that have one pass it on from time to time.
        let passes_on = meta.level == 0
            && own > 0
            && (q.has == 0 || meta.tops + 1 >= meta.extra && q.dice < 64);
        let top = u64::from(spare && !passes_on);
        let fair = q.want.min(meta.level + top);
        let quiet = now < meta.quiet && holds(Guard::Quiet);
        let mut held = own.min(q.has.max(q.used));
        if !holds(Guard::Keep) {
            held = 0;
        }
        let share = if quiet {
            let outlasts = q.left > 0
                && (q.epoch == meta.epoch || now + q.left >= meta.from + meta.terms.max_lag);
            held = held.max(q.used.min(room));
            if outlasts || !holds(Guard::Outlasts) { q.has.min(room) } else { 0 }
        } else {
            fair.min(room)
        };
        held = held.max(share);
        meta.sum += held;
        meta.tops += u64::from(held > meta.level);
        self.entries.get_mut(&q.member).expect("inserted above").held = held;
        let fair = if quiet { share } else { fair };
        Ok(self.answer(now, share, fair))
    }

    fn answer(&self, now: u64, share: u64, fair: u64) -> Answer {
        let meta = self.meta.as_ref().expect("after the terms");
        Answer {
            share,
            fair,
            members: self.members(),
            epoch: meta.epoch,
            quiet: meta.quiet.saturating_sub(now),
            now,
            terms: meta.terms,
            since: meta.since,
        }
    }

    fn members(&self) -> u64 {
        self.entries.values().filter(|entry| !entry.lapsed).count() as u64
    }

    fn insert(&mut self, member: &Arc<str>, entry: Entry) {
        self.by_expiry.insert((entry.expires, member.clone()));
        self.entries.insert(member.clone(), entry);
    }

    /// What the pool is about, and whether a new epoch begins.
    fn terms(&mut self, now: u64, run: &str, q: &Request) {
        let mut begins = false;
        let (mut ttl, mut lag) = (q.terms.ttl, q.terms.max_lag);
        let meta = self.meta.get_or_insert_with(|| {
            begins = true;
            self.entries.clear();
            self.by_expiry.clear();
            Meta {
                run: run.into(),
                epoch: 0,
                from: now,
                quiet: now,
                at: now,
                sum: 0,
                reserved: 0,
                level: 0,
                extra: 0,
                tops: 0,
                levelled: 0,
                since: if q.since > 0 { q.since } else { now },
                terms: q.terms,
            }
        });
        // The newest terms count: those that a member brings, or remembers from before a loss.
        if q.terms != meta.terms && (q.since == 0 || q.since > meta.since) {
            ttl = ttl.max(meta.terms.ttl);
            lag = lag.max(meta.terms.max_lag);
            begins |= q.terms.ttl != meta.terms.ttl || q.terms.max_lag != meta.terms.max_lag;
            meta.since = if q.since == 0 { now.max(meta.since + 1) } else { q.since };
            meta.terms = q.terms;
            meta.levelled = 0;
        } else {
            (ttl, lag) = (meta.terms.ttl, meta.terms.max_lag);
        }
        let margin = meta.terms.margin();
        let jumped = now + margin < meta.at
            || now > meta.at + margin
                && q.epoch == meta.epoch
                && q.seen > 0
                && now > q.seen + q.elapsed + margin;
        begins |= *meta.run != *run || q.epoch > meta.epoch || jumped && holds(Guard::Jump);
        if begins {
            meta.run = run.into();
            meta.epoch = meta.epoch.max(q.epoch) + 1;
            meta.from = now;
            meta.quiet = now + ttl + lag;
            meta.at = now;
            meta.levelled = 0;
            // Those that are known may be alive.
            let hold = meta.terms.max_hold;
            self.by_expiry.clear();
            for (member, entry) in &mut self.entries {
                entry.expires = now + if entry.lapsed { hold } else { ttl };
                self.by_expiry.insert((entry.expires, member.clone()));
            }
        }
    }

    /// Clears away those that have lapsed, if it is sure that time has passed.
    fn expire(&mut self, now: u64, q: &Request) {
        let meta = self.meta.as_mut().expect("set before");
        let vouched = self.entries.is_empty()
            || now <= meta.at + meta.terms.margin()
            || q.epoch == meta.epoch
                && q.seen > 0
                && (q.seen <= meta.at || q.age >= meta.terms.ttl);
        if !vouched && holds(Guard::Vouch) {
            return;
        }
        meta.at = meta.at.max(now);
        for _ in 0..LAPSES {
            let Some((expires, _)) = self.by_expiry.first() else { break };
            if *expires > now {
                break;
            }
            let (expires, member) = self.by_expiry.pop_first().expect("looked at above");
            let entry = self.entries.get_mut(&member).expect("in both");
            if entry.lapsed {
                meta.reserved -= entry.held;
            } else if entry.held > meta.level {
                meta.tops = meta.tops.saturating_sub(1);
            }
            if !entry.lapsed && entry.held > 0 && meta.terms.max_hold > 0 {
                entry.lapsed = true;
                entry.want = 0;
                entry.expires = expires + meta.terms.max_hold;
                meta.reserved += entry.held;
                self.by_expiry.insert((entry.expires, member));
            } else {
                meta.sum -= entry.held;
                self.entries.remove(&member);
            }
        }
    }

    /// Works out the water level, if it is time to: the largest number so that all get what they want,
    /// but no more than that.
    fn level(&mut self, now: u64) {
        let members = self.members();
        let meta = self.meta.as_mut().expect("set before");
        let often = members > FEW as u64;
        if often && now < meta.levelled + meta.terms.ttl / 15 && now >= meta.levelled {
            return;
        }
        let live = || self.entries.values().filter(|entry| !entry.lapsed);
        let mut wants: Vec<u64> = live().map(|entry| entry.want).collect();
        wants.sort_unstable();
        let mut left = meta.terms.to_lease(members).saturating_sub(meta.reserved);
        (meta.level, meta.extra) = (ABOVE_ALL, 0);
        for (i, want) in wants.iter().enumerate() {
            let others = members - i as u64;
            if want.saturating_mul(others) > left {
                (meta.level, meta.extra) = (left / others, left % others);
                break;
            }
            left -= want;
        }
        meta.tops = live().filter(|entry| entry.held > meta.level).count() as u64;
        meta.levelled = now;
    }
}

#[cfg(test)]
impl Ledger {
    /// What all entries hold, counted.
    pub(crate) fn sum(&self) -> u64 {
        let sum = self.entries.values().map(|entry| entry.held).sum();
        assert_eq!(self.meta.as_ref().map_or(0, |meta| meta.sum), sum);
        sum
    }
}
