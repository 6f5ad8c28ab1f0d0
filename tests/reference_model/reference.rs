//! The reference: what the invariants allow, in a few integers and a `VecDeque`.
//!
//! It is told every step and what was observed after it, and panics if the step broke a promise.
//! Where the contract leaves a choice (those already called run in any order, and which of them
//! holds which permit does not matter) it takes over what it sees, if that was one of the
//! possible choices; everywhere else it knows the one right answer beforehand.

use std::collections::VecDeque;
use std::time::Duration;

pub(crate) type Id = usize;

/// Where a cap stands that caps nothing.
const UNSET: usize = grmgr::Limiter::MAX_CEILING;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Config {
    pub(crate) ceiling: usize,
    pub(crate) min: usize,
    pub(crate) max: usize,
    pub(crate) up: usize,
    pub(crate) down: usize,
    /// In nanoseconds, so that the end of a hold is met exactly.
    pub(crate) hold_up: u64,
    pub(crate) hold_down: u64,
    pub(crate) patience: u32,
    pub(crate) max_waiting: Option<usize>,
}

#[derive(Debug)]
struct Waiter {
    id: Id,
    n: usize,
    /// Woken and not polled since.
    called: bool,
    /// How often it was called, looked, and found too little, or slept on as a large head when too
    /// little came back.
    losses: u32,
    /// It has seen, as first in line, what is free now.
    looked: bool,
    /// How many losses more than are known it may have: it may have been called while it entered, and
    /// permits may have come back in the course of a step.
    doubt: u32,
    /// A large request that came when all in line had their permits. It may be at the front, where it
    /// looks for itself.
    came_first: bool,
    /// A large request that has been granted its permits where it sleeps, and has not run.
    granted: bool,
}

/// What must become of a request that does not stand in line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Newcomer {
    Granted,
    Closed,
    ExceedsMax,
    /// There is nothing for it: it is refused, or has to wait.
    Short,
    /// All waiters have their permits and have only not run yet: it may be told to wait behind
    /// them, or not.
    Either,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Polled {
    Granted,
    Closed,
    Pending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Adjusted {
    Changed { from: usize, to: usize },
    Held { remaining: Duration },
    Unchanged { ceiling: usize },
}

#[derive(Debug)]
pub(crate) struct Reference {
    config: Config,
    pub(crate) setting: usize,
    /// Where each cap stands that was taken, in the order in which they were.
    caps: Vec<usize>,
    pub(crate) paused: bool,
    pub(crate) closed: bool,
    /// Permits in guards and forgotten ones.
    pub(crate) held: usize,
    /// Permits counted for waiters that have been called and have not run.
    handed: usize,
    now: Duration,
    changed_at: Option<Duration>,
    line: VecDeque<Waiter>,
    /// The waiter that was called for the place at the front and found too little. Until there is
    /// one, any of those called may be the one.
    head: Option<Id>,
    /// As the step found it.
    before: Before,
    /// Whether the step gives permits back.
    has_released: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Before {
    free: usize,
    handed: usize,
    in_flight: usize,
}

impl Reference {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            setting: config.ceiling,
            caps: Vec::new(),
            paused: false,
            closed: false,
            held: 0,
            handed: 0,
            now: Duration::ZERO,
            changed_at: None,
            line: VecDeque::new(),
            head: None,
            before: Before::default(),
            has_released: false,
        }
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.held + self.handed + self.granted()
    }

    fn granted(&self) -> usize {
        self.line.iter().filter(|waiter| waiter.granted).map(|waiter| waiter.n).sum()
    }

    /// Those that have not been granted all they ask for as a large request.
    fn open(&self) -> usize {
        self.line.iter().filter(|waiter| !waiter.granted).count()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.line.len()
    }

    /// I15.
    pub(crate) fn ceiling(&self) -> usize {
        self.caps.iter().copied().fold(self.setting, usize::min)
    }

    /// The caps that cap anything.
    pub(crate) fn caps_set(&self) -> impl Iterator<Item = usize> + '_ {
        self.caps.iter().copied().filter(|&at| at < UNSET)
    }

    pub(crate) fn cap(&mut self) {
        self.caps.push(UNSET);
    }

    pub(crate) fn set_cap(&mut self, at: usize, to: usize) -> Adjusted {
        let from = std::mem::replace(&mut self.caps[at], to);
        if from == to {
            Adjusted::Unchanged { ceiling: to }
        } else {
            Adjusted::Changed { from, to }
        }
    }

    pub(crate) fn drop_cap(&mut self, at: usize) {
        self.caps.remove(at);
    }

    /// I11.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight() == 0 && (self.closed || self.line.is_empty())
    }

    fn free(&self) -> usize {
        if self.paused || self.closed { 0 } else { self.ceiling().saturating_sub(self.in_flight()) }
    }

    /// I1, I5.
    fn fits(&self, n: usize) -> bool {
        let alone = self.in_flight() == 0 && self.ceiling() > 0;
        !self.paused && !self.closed && (self.in_flight() + n <= self.ceiling() || alone)
    }

    fn called(&self) -> usize {
        self.line.iter().filter(|waiter| waiter.called && !waiter.granted).count()
    }

    fn has_large(&self) -> bool {
        self.line.iter().any(|waiter| waiter.n > 1 && !waiter.granted)
    }

    fn find(&self, id: Id) -> usize {
        self.line.iter().position(|waiter| waiter.id == id).expect("it stands in line")
    }

    fn remove(&mut self, id: Id) -> Waiter {
        let at = self.find(id);
        if self.head == Some(id) {
            self.head = None;
        }
        self.line.remove(at).expect("just found")
    }

    /// To be called before each step.
    pub(crate) fn begin(&mut self) {
        self.has_released = false;
        self.before =
            Before { free: self.free(), handed: self.handed, in_flight: self.in_flight() };
    }

    /// What `try_acquire`, or the first poll of `acquire`, must come to.
    pub(crate) fn newcomer(&self, n: usize) -> Newcomer {
        if self.closed {
            return Newcomer::Closed;
        }
        if n > self.config.max {
            return Newcomer::ExceedsMax;
        }
        if n == 0 {
            return Newcomer::Granted;
        }
        // I4: kept for a head that has lost often enough.
        let head = self.head.map(|head| &self.line[self.find(head)]);
        if !self.fits(n) || head.is_some_and(|head| head.losses >= self.config.patience) {
            return Newcomer::Short;
        }
        if head.is_some_and(|head| head.losses + head.doubt >= self.config.patience) {
            return Newcomer::Either;
        }
        if self.config.patience > 0 || self.line.is_empty() {
            return Newcomer::Granted;
        }
        // I4, strict: no waiter without its permits is overtaken. A request for several is not
        // served by having been handed one.
        if self.open() > self.handed || self.has_large() {
            Newcomer::Short
        } else {
            Newcomer::Either
        }
    }

    /// Whether a request that may not overtake is called as soon as it stands in line: all before
    /// it have been called, and there is something for it besides.
    pub(crate) fn would_be_called_at_once(&self, n: usize) -> bool {
        let called = self.line.iter().filter(|waiter| waiter.called && !waiter.granted);
        let kept = called.map(|waiter| waiter.n).sum::<usize>() - self.handed;
        self.called() == self.open()
            && (kept == 0 && self.fits(n) || !self.paused && self.free() >= kept + n)
    }

    pub(crate) fn queue_is_full(&self) -> bool {
        self.config.max_waiting.is_some_and(|max| self.line.len() >= max)
    }

    pub(crate) fn newcomer_granted(&mut self, n: usize) {
        self.held += n;
    }

    pub(crate) fn entered(&mut self, id: Id, n: usize) {
        let first = self.called() == self.open() && self.called() == self.handed;
        let came_first = n > 1 && first;
        let doubt = first && self.free() > 0 && !self.fits(n);
        if doubt {
            self.head = Some(id);
        }
        self.line.push_back(Waiter {
            id,
            n,
            called: false,
            losses: 0,
            looked: first,
            doubt: u32::from(doubt),
            came_first,
            granted: false,
        });
    }

    /// A request in line was polled, with this result; `in_flight` is what is counted now.
    pub(crate) fn polled(&mut self, id: Id, result: Polled, in_flight: usize) {
        let at = self.find(id);
        let Waiter { n, called, granted, .. } = self.line[at];
        if granted {
            assert_eq!(result, Polled::Granted, "granted, and not admitted (I3)");
            self.remove(id);
            self.held += n;
            return;
        }
        if self.closed {
            assert!(called, "closed, but a waiter was not woken (I9)");
            match result {
                Polled::Closed => {}
                Polled::Granted => {
                    assert!(n == 1 && self.handed > 0, "granted after the close (I9)");
                    self.held += 1;
                }
                Polled::Pending => panic!("still waits after the close (I9)"),
            }
            self.remove(id);
            return;
        }
        assert_ne!(result, Polled::Closed, "it is not closed");
        if !called {
            assert_eq!(result, Polled::Pending, "admitted out of turn (I4)");
            return;
        }

        // One of those called may have been called for the front, all others have a permit.
        let seat = self.called() - self.handed;
        let holds_permit = seat == 0 || self.head.is_some_and(|head| head != id);
        let is_head = seat == 1 && (self.handed == 0 || self.head == Some(id));
        match result {
            Polled::Granted => {
                assert!(n > 1 || holds_permit || self.fits(n) || self.handed > 0);
                assert!(n == 1 || !is_head || self.fits(n), "granted beyond the ceiling (I1)");
                self.remove(id);
                self.held += n;
            }
            Polled::Pending => {
                assert!(n > 1 || !holds_permit, "called with a permit, and not admitted (I3)");
                assert!(n > 1 || !self.fits(n), "called, fits, and not admitted (I3)");
                assert!(!is_head || !self.fits(n), "called, fits, and not admitted (I3)");
                let handed = in_flight
                    .checked_sub(self.held + self.granted())
                    .expect("a permit is missing (I2)");
                let gave_back = handed + 1 == self.handed;
                assert!(handed == self.handed || gave_back, "a permit was lost or made (I2)");
                assert!(!gave_back || n > 1, "a waiter gave back a permit it could use (I3)");
                assert!(gave_back || !holds_permit, "a permit was taken without leaving (I2)");
                self.handed = handed;
                self.line[at].called = false;
                // Having given back a permit it is called anew, if no other is; that too it
                // has looked after in the same poll.
                let looked = !gave_back
                    || (self.free() > 0 && self.called() == handed && self.head.is_none());
                if looked {
                    assert!(self.head.is_none_or(|head| head == id), "two heads (I4)");
                    self.head = Some(id);
                    let mut waiter = self.line.remove(at).expect("it is there");
                    waiter.losses += 1;
                    waiter.looked = true;
                    self.line.push_front(waiter);
                    self.before.free = self.free();
                } else {
                    self.line[at].looked = false;
                }
            }
            Polled::Closed => unreachable!(),
        }
    }

    pub(crate) fn cancelled(&mut self, id: Id) {
        self.remove(id);
    }

    pub(crate) fn released(&mut self, n: usize) {
        self.held -= n;
        self.has_released = n > 0;
    }

    pub(crate) fn advance(&mut self, by: Duration) {
        self.now += by;
    }

    pub(crate) fn hold_up_remaining(&self) -> Duration {
        self.remaining(self.config.hold_up)
    }

    pub(crate) fn hold_down_remaining(&self) -> Duration {
        self.remaining(self.config.hold_down)
    }

    fn remaining(&self, hold: u64) -> Duration {
        let end = self.changed_at.map(|at| at + Duration::from_nanos(hold));
        end.unwrap_or_default().saturating_sub(self.now)
    }

    pub(crate) fn up(&mut self) -> Adjusted {
        self.adjust(self.setting.saturating_add(self.config.up), self.hold_up_remaining())
    }

    pub(crate) fn down(&mut self) -> Adjusted {
        self.adjust(self.setting.saturating_sub(self.config.down), self.hold_down_remaining())
    }

    pub(crate) fn set_ceiling(&mut self, to: usize) -> Adjusted {
        self.adjust(to, Duration::ZERO)
    }

    /// I7, I8.
    fn adjust(&mut self, wanted: usize, remaining: Duration) -> Adjusted {
        let from = self.setting;
        let to = wanted.clamp(self.config.min, self.config.max);
        if to == from {
            return Adjusted::Unchanged { ceiling: from };
        }
        if !remaining.is_zero() {
            return Adjusted::Held { remaining };
        }
        self.changed_at = Some(self.now);
        self.setting = to;
        Adjusted::Changed { from, to }
    }

    /// Ends a step: checks which requests it has woken, and takes that over.
    pub(crate) fn settle(&mut self, in_flight: usize, is_woken: impl Fn(Id) -> bool) {
        let uncalled: Vec<Id> =
            self.line.iter().filter(|waiter| !waiter.called).map(|waiter| waiter.id).collect();
        let woken: Vec<Id> = uncalled.iter().copied().filter(|&id| is_woken(id)).collect();
        if !self.closed {
            self.grant_large(&woken, in_flight);
        }
        if self.head.is_some_and(|head| self.line[self.find(head)].granted) {
            self.head = None;
        }
        let handed =
            in_flight.checked_sub(self.held + self.granted()).expect("a permit is missing (I2)");
        self.handed = handed;

        // I1: what was granted or handed in this step was there.
        if in_flight > self.before.in_flight || handed > self.before.handed {
            assert!(!self.paused, "granted while paused (I5)");
            let granted = self.line.iter().filter(|waiter| waiter.granted).count();
            let alone = match granted {
                0 => self.before.in_flight <= self.before.handed,
                1 => self.held == 0,
                _ => false,
            };
            assert!(
                in_flight <= self.ceiling() || alone && handed == 0 && self.ceiling() > 0,
                "granted beyond the ceiling (I1)"
            );
        }

        if self.closed {
            assert_eq!(woken, uncalled, "the close did not wake all (I9)");
            assert!(handed <= self.before.handed, "handed on after the close (I9)");
            assert!(handed <= self.line.len(), "a handed permit has no owner (I2)");
            for waiter in &mut self.line {
                waiter.called = true;
            }
            return;
        }

        self.check_order(&uncalled, &woken);
        for waiter in &mut self.line {
            if woken.contains(&waiter.id) {
                waiter.called = true;
            }
        }
        let called = self.called();
        let free = self.free();
        assert!(handed <= called, "a handed permit has no owner (I2)");
        assert!(called <= handed + 1, "woken for nothing");
        let granted = |id: &Id| self.line[self.find(*id)].granted;
        if !woken.iter().all(granted) {
            assert!(free > 0 && called == handed + 1, "woken, and nothing is free for it");
        }
        if let Some(head) = self.head {
            let head_called = self.line[self.find(head)].called;
            assert_eq!(head_called, called > handed, "another was called in place of the head");
        }

        // I3, I6, I17: as many as stand in line are called, in order, while there are permits for them.
        let permits = if self.paused { 0 } else { self.ceiling().saturating_sub(self.held) };
        let is_new = |waiter: &Waiter| woken.contains(&waiter.id);
        let called_before = self.line.iter().filter(|waiter| waiter.called && !is_new(waiter));
        let promised: usize = called_before.map(|waiter| waiter.n).sum();
        let mut left = permits.saturating_sub(promised);
        let mut alone = self.held + promised == 0 && permits > 0;
        let mut stopped = false;
        for waiter in &self.line {
            if is_new(waiter) || !waiter.called {
                let due = !stopped && (waiter.n <= left || alone);
                assert_eq!(is_new(waiter), due, "too few or too many woken (I3, I6, I17)");
                left = left.saturating_sub(waiter.n);
                alone = false;
                stopped |= !due;
            }
        }
        self.count_losses_of_a_large_head(in_flight);
        if free > 0 && called == handed {
            self.check_first_has_seen();
        }
    }

    /// Those woken that are large have been granted their permits; but one that came first may look for
    /// itself, which shows in what is counted.
    fn grant_large(&mut self, woken: &[Id], in_flight: usize) {
        for waiter in &mut self.line {
            waiter.granted |= waiter.n > 1 && woken.contains(&waiter.id);
        }
        // At most one unit has been called without a permit; none, if the large request is at the front.
        let is_called_unit =
            |waiter: &&Waiter| waiter.n == 1 && (waiter.called || woken.contains(&waiter.id));
        let units = self.line.iter().filter(is_called_unit).count();
        let granted = self.granted();
        let may_look = |waiter: &&mut Waiter| waiter.came_first && woken.contains(&waiter.id);
        if let Some(first) = self.line.iter_mut().find(may_look) {
            first.granted = in_flight - self.held != units + granted - first.n;
        }
    }

    /// I4: what comes back and is not enough for a large head is a loss, though it is not woken.
    fn count_losses_of_a_large_head(&mut self, in_flight: usize) {
        let Some(head) = self.head else { return };
        let at = self.find(head);
        let Waiter { n, called, .. } = self.line[at];
        if n > 1 && !called && self.free() > 0 && !self.fits(n) {
            if self.has_released {
                self.line[at].losses += 1;
            } else if in_flight < self.before.in_flight {
                // As a waiter with a permit gave up, or had no use for it.
                self.line[at].doubt += 1;
            }
        }
    }

    /// I4: called in the order of the line.
    fn check_order(&self, uncalled: &[Id], woken: &[Id]) {
        assert_eq!(woken, &uncalled[..woken.len()], "called out of order (I4)");
    }

    /// I3, with permits free and no waiter called for them.
    fn check_first_has_seen(&mut self) {
        let fits = |n| self.fits(n);
        let Some(at) = self.line.iter().position(|waiter| !waiter.called) else {
            return;
        };
        let first = &self.line[at];
        // I17: a large request that has the place at the front sleeps until there is enough for it.
        let may_sleep = first.n > 1 && !fits(first.n) && (first.looked || !first.came_first);
        assert!(may_sleep, "the first in line sleeps beside a free permit (I3)");
        let id = first.id;
        assert!(self.head.is_none_or(|head| head == id), "two heads (I4)");
        if self.head.is_none() {
            // It has come to the front. What was free then was too little for it, if anything was.
            self.head = Some(id);
            let first = &mut self.line[at];
            if self.has_released {
                first.losses += 1;
            } else {
                first.doubt += 1;
            }
        }
    }
}
