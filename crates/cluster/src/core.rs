//! What a member does, one step after the other. Its thread calls `tick`; tests do so by hand.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use grmgr::{Handle, Limiter, OwnedCap};

use crate::lease::{Demand, Lease};
use crate::observe;
use crate::random::Random;
use crate::{Answer, ShareStore, State, StoreError, Terms, Warning, Why};

/// No lease is longer than a day.
pub(crate) const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// What others read of a member.
#[derive(Debug)]
pub(crate) struct Board(Mutex<Written>);

#[derive(Debug)]
struct Written {
    state: State,
    floor: u64,
    warnings: Vec<Warning>,
}

impl Board {
    fn read(&self) -> MutexGuard<'_, Written> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state at this time, also if the member's thread was stopped when it should have changed it.
    pub(crate) fn state(&self, now: Duration) -> State {
        let Written { state, floor, .. } = &*self.read();
        match state {
            State::Leased { until, .. } if *until <= now => {
                State::Alone { since: *until, why: Why::Lapsed, floor: *floor }
            }
            state => state.clone(),
        }
    }

    pub(crate) fn warnings(&self) -> Vec<Warning> {
        self.read().warnings.clone()
    }
}

pub(crate) struct Core {
    limiter: Handle,
    cap: OwnedCap,
    /// What was last done with the cap: where it stands, until when.
    applied: (u64, Option<Duration>),
    store: Box<dyn ShareStore>,
    pool: Arc<str>,
    member: Arc<str>,
    own_terms: Terms,
    refresh: Duration,
    lease: Lease,
    /// When the next refresh is due.
    due: Duration,
    asked_at: Duration,
    /// What the last request was for, in permits above the floor.
    asked: u64,
    /// More was in flight than the share, so part of it is still to be given back.
    drains: bool,
    /// The most that was wanted since the last refresh, and between the last two.
    peaks: [u64; 2],
    /// For so many ticks requests have been waiting though there is room.
    stuck: u32,
    failures: u32,
    error: Option<StoreError>,
    members: u64,
    alone_since: Duration,
    random: Random,
    board: Arc<Board>,
}

pub(crate) struct Parts {
    pub(crate) cap: OwnedCap,
    pub(crate) limiter: Handle,
    pub(crate) store: Box<dyn ShareStore>,
    pub(crate) pool: Arc<str>,
    pub(crate) terms: Terms,
    pub(crate) refresh: Duration,
}

impl Core {
    /// A member at its floor.
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { cap, limiter, store, pool, terms, refresh } = parts;
        cap.set(terms.floor as usize);
        let mut random = Random::new();
        // Two seeds, so that the names of two members have 128 bits to differ in.
        let member = format!("{:016x}{:016x}", random.next(), Random::new().next()).into();
        let now = limiter.now().unwrap_or_default();
        let state = State::Alone { since: now, why: Why::Starting, floor: terms.floor };
        Self {
            limiter,
            cap,
            applied: (terms.floor, None),
            store,
            pool,
            member,
            own_terms: terms,
            refresh,
            lease: Lease::new(terms),
            due: now,
            asked_at: now,
            asked: 0,
            drains: false,
            peaks: [0; 2],
            stuck: 0,
            failures: 0,
            error: None,
            members: 0,
            alone_since: now,
            random,
            board: Arc::new(Board(Mutex::new(Written {
                state,
                floor: terms.floor,
                warnings: Vec::new(),
            }))),
        }
    }

    pub(crate) fn board(&self) -> Arc<Board> {
        self.board.clone()
    }

    #[cfg(test)]
    pub(crate) fn replace_store(&mut self, store: Box<dyn ShareStore>) {
        self.store = store;
    }

    /// How often to look at the limiter.
    pub(crate) fn poll(&self) -> Duration {
        (self.refresh() / 20).clamp(Duration::from_millis(5), Duration::from_millis(250))
    }

    /// Does what is due, and returns for how long there is nothing to do.
    pub(crate) fn tick(&mut self) -> Duration {
        let now = self.now();
        self.look();
        let doubled = self.peaks[0] >= 2 * self.asked.max(1)
            && self.peaks[0] > self.in_force()
            && now >= self.asked_at + self.refresh() / 10;
        let drained = self.drains
            && self.limiter.in_flight() as u64 <= self.applied.0
            && now >= self.asked_at + self.refresh() / 20;
        if now >= self.due || doubled || drained {
            self.ask();
        }
        let now = self.now();
        self.apply(now);
        self.publish(now);
        self.poll().min(self.due.saturating_sub(now))
    }

    /// Gives the share and the floor back, and returns the cap, which stays at 0.
    pub(crate) fn leave(mut self) -> OwnedCap {
        // The limiter's clock is somebody else's; a cap that were dropped would be lifted.
        let left = catch_unwind(AssertUnwindSafe(|| self.say_goodbye()));
        if left.is_err() {
            observe::panicked(self.limiter.name());
        }
        self.cap
    }

    fn say_goodbye(&mut self) {
        self.cap.set(0);
        let used = self.limiter.in_flight() as u64;
        let demand = Demand { used, leaving: true, ..Demand::default() };
        let now = self.now();
        let request = self.lease.request(&self.pool, &self.member, now, demand);
        // If nobody hears it, the lease lapses.
        let _ = self.call(&request);
    }

    /// How often to refresh. The pool's leases may be shorter than this member was started with.
    fn refresh(&self) -> Duration {
        self.refresh.min(Duration::from_millis(self.lease.terms.ttl) / 2)
    }

    fn now(&self) -> Duration {
        self.limiter.now().unwrap_or_default()
    }

    /// What the cap allows above the floor. Of a term that has ended nothing.
    fn in_force(&self) -> u64 {
        let at = self.cap.get().unwrap_or(Limiter::MAX_CEILING) as u64;
        at.saturating_sub(self.lease.terms.floor)
    }

    /// Looks at what the limiter could use.
    fn look(&mut self) {
        let (in_flight, waiting) = (self.limiter.in_flight(), self.limiter.waiting());
        let ceiling = self.limiter.ceiling();
        let mut want = in_flight + waiting;
        // Some wait though there is room for one each: a large request is at the head.
        let stuck = waiting > 0 && want <= ceiling;
        self.stuck = if stuck { self.stuck + 1 } else { 0 };
        if self.stuck > 2 {
            want = 2 * ceiling + 1;
        }
        let want = want.min(self.limiter.setting()) as u64;
        // One is kept at hand, if there is one for each member.
        let terms = self.lease.terms;
        let idle = u64::from(self.members <= terms.to_lease(self.members));
        let want = want.saturating_sub(terms.floor).max(idle);
        self.peaks[0] = self.peaks[0].max(want);
    }

    /// Sends a request and takes over the answer.
    fn ask(&mut self) {
        let sent = self.now();
        self.apply(sent);
        let floor = self.lease.terms.floor;
        let used = (self.limiter.in_flight() as u64).saturating_sub(floor);
        let want = self.peaks[0].max(self.peaks[1]).max(used);
        let has = self.in_force();
        let demand = Demand { want, used, has, dice: self.random.next() as u8, leaving: false };
        self.asked = want;
        self.asked_at = sent;
        self.peaks = [0, self.peaks[0]];
        let request = self.lease.request(&self.pool, &self.member, sent, demand);
        let answer = self.call(&request);
        let now = self.now();
        let answer = answer
            .and_then(sane)
            .and_then(|answer| self.lease.answered(sent, now, &answer).map(|()| answer));
        match answer {
            Ok(answer) => {
                self.failures = 0;
                self.error = None;
                self.members = answer.members;
                self.drains = used > answer.share;
                self.due = sent + self.about(self.refresh(), 0.9, 1.1);
                if answer.share < has {
                    // What it gives back is free when it says that it no longer has it.
                    self.due = now + self.about(self.refresh(), 0.0, 0.1);
                } else if answer.quiet > 0 {
                    let quiet = Duration::from_millis(answer.quiet);
                    self.due = self.due.min(now + quiet + self.about(self.refresh(), 0.0, 0.1));
                } else if answer.share < answer.fair {
                    // Others have been told to shrink.
                    self.due = sent + self.about(self.refresh(), 0.4, 0.6);
                }
            }
            Err(error) => {
                observe::failed(self.limiter.name(), &error, self.failures == 0);
                let backoff = [0.2, 0.4, 0.8, 1.0][self.failures.min(3) as usize];
                self.due = now + self.about(self.refresh().mul_f64(backoff), 0.5, 1.0);
                self.failures = self.failures.saturating_add(1);
                self.drains = false;
                self.error = Some(error);
            }
        }
    }

    fn call(&mut self, request: &crate::Request) -> Result<Answer, StoreError> {
        // A store is somebody else's code.
        catch_unwind(AssertUnwindSafe(|| self.store.refresh(request)))
            .unwrap_or_else(|_| Err(StoreError::Garbage("the store panicked".into())))
    }

    /// Puts the cap where it should be. It ends by itself at the end of the lease (O2, O8).
    fn apply(&mut self, now: Duration) {
        let floor = self.lease.terms.floor;
        let at = floor + self.lease.in_force(now);
        let until = self.lease.until().filter(|until| now < *until && at > floor);
        if self.applied == (at, until) {
            return;
        }
        match until {
            Some(until) => self.cap.set_until(at as usize, floor as usize, until),
            None => self.cap.set(floor as usize),
        };
        self.applied = (at, until);
    }

    fn publish(&mut self, now: Duration) {
        let terms = self.lease.terms;
        let state = match self.lease.until() {
            Some(until) if now < until => State::Leased {
                share: self.applied.0,
                total: terms.total,
                members: self.members,
                epoch: self.lease.epoch,
                until,
            },
            until => {
                let why = match (&self.error, until) {
                    (Some(error), _) => Why::Store(error.clone()),
                    (None, Some(_)) => Why::Lapsed,
                    (None, None) => Why::Starting,
                };
                let since = until.unwrap_or(self.alone_since);
                State::Alone { since, why, floor: terms.floor }
            }
        };
        let warnings = self.warnings();
        let mut board = self.board.read();
        let changed = match (&board.state, &state) {
            (
                State::Leased { share, total, members, epoch, .. },
                State::Leased { share: s, total: t, members: m, epoch: e, .. },
            ) => (share, total, members, epoch) != (s, t, m, e),
            (State::Alone { why, .. }, State::Alone { why: w, .. }) => why != w,
            _ => true,
        };
        let kind = std::mem::discriminant::<Warning>;
        let new: Vec<_> = warnings
            .iter()
            .filter(|new| !board.warnings.iter().any(|old| kind(old) == kind(new)))
            // Those are logged as they happen.
            .filter(|new| !matches!(new, Warning::NotRefreshed(_)))
            .cloned()
            .collect();
        *board = Written { state: state.clone(), floor: terms.floor, warnings };
        drop(board);
        if changed {
            observe::state_changed(self.limiter.name(), &state);
        }
        for warning in new {
            observe::warned(self.limiter.name(), &warning);
        }
        observe::publish(self.limiter.name(), &state);
    }

    fn warnings(&self) -> Vec<Warning> {
        let terms = self.lease.terms;
        let too_many = terms.floor > 0 && self.members > terms.max_members;
        [
            self.error.clone().map(Warning::NotRefreshed),
            (terms != self.own_terms)
                .then_some(Warning::TermsDiffer { own: self.own_terms, pool: terms }),
            too_many.then_some(Warning::TooManyMembers {
                members: self.members,
                max_members: terms.max_members,
            }),
            self.store.risk().map(Warning::Risk),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Between so much and so much of a duration: members that begin together should not stay so.
    fn about(&mut self, duration: Duration, least: f64, most: f64) -> Duration {
        duration.mul_f64(least + (most - least) * self.random.part())
    }
}

/// An answer that keeps within its own terms, and those within reason.
fn sane(answer: Answer) -> Result<Answer, StoreError> {
    let Answer { share, members, epoch, now, terms, since, .. } = answer;
    let max = Limiter::MAX_CEILING as u64;
    let sane = share <= terms.total
        && (1..=max).contains(&terms.total)
        && terms.floor <= terms.total
        && terms.floor + share <= max
        && (1..=LONGEST.as_millis() as u64).contains(&terms.ttl)
        && members > 0
        && epoch > 0
        && now > 0
        && since > 0;
    if sane { Ok(answer) } else { Err(StoreError::Garbage(format!("{answer:?}"))) }
}
