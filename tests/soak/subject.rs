//! The limiters under test, each with a count of its own of what is in flight.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use grmgr::{AcquireError, Handle, Limiter, PermitOf, TryAcquireError};

use crate::ceilings::Ceilings;
use crate::rng::Rng;

/// What a subject's count is compared with.
pub(crate) enum Bound {
    /// Its ceiling, which stays.
    Exact,
    /// The largest ceiling in force since the request was made, as logged by the only task
    /// that moves it.
    Logged(Ceilings),
    /// Its largest ceiling: several move it.
    Max,
}

pub(crate) struct Subject {
    pub(crate) limiter: Arc<Limiter>,
    /// Raised after each grant, lowered before each release: at no time more than is in flight.
    used: AtomicUsize,
    pub(crate) bound: Bound,
    /// The largest request made here.
    largest: usize,
}

/// What was in force when a request was made.
#[derive(Clone, Copy)]
pub(crate) struct Since(usize);

impl Subject {
    fn new(limiter: Limiter, bound: Bound, largest: usize) -> Self {
        Self { limiter: Arc::new(limiter), used: AtomicUsize::new(0), bound, largest }
    }

    pub(crate) fn all() -> Vec<Self> {
        let logged = |limiter: Limiter, largest| {
            let log = Ceilings::new(limiter.ceiling());
            Self::new(limiter, Bound::Logged(log), largest)
        };
        let builder = |name, ceiling| Limiter::builder(name).ceiling(ceiling).hold(Duration::ZERO);
        vec![
            Self::new(Limiter::new("default", 3), Bound::Exact, 1),
            logged(builder("strict", 2).max(4).patience(0).build().unwrap(), 1),
            logged(builder("units", 2).min(0).max(4).build().unwrap(), 1),
            logged(builder("weighted", 4).min(0).max(6).patience(2).build().unwrap(), 4),
            Self::new(builder("weighted, strict", 4).patience(0).build().unwrap(), Bound::Exact, 4),
            Self::new(
                builder("bounded", 2)
                    .max(4)
                    .max_waiting(5)
                    .hold(Duration::from_millis(1))
                    .build()
                    .unwrap(),
                Bound::Max,
                2,
            ),
        ]
    }

    /// How many to ask for: mostly one.
    pub(crate) fn some(&self, rng: &mut Rng) -> usize {
        if rng.one_in(2) { 1 } else { 1 + rng.below(self.largest) }
    }

    /// To be called before each request.
    pub(crate) fn now(&self) -> Since {
        match &self.bound {
            Bound::Logged(log) => Since(log.now()),
            Bound::Exact | Bound::Max => Since(0),
        }
    }

    /// Counts what was granted (I1).
    pub(crate) fn held<L: Deref<Target = Limiter>>(
        &'static self,
        permit: PermitOf<L>,
        since: Since,
    ) -> Held<L> {
        let n = permit.count();
        let used = self.used.fetch_add(n, SeqCst) + n;
        let max = self.limiter.throttle().max;
        let ceiling = match &self.bound {
            Bound::Exact => self.limiter.ceiling(),
            Bound::Logged(log) => log.largest_since(since.0).unwrap_or(max),
            Bound::Max => max,
        };
        // A request for more than the ceiling runs alone, so then there is nothing else in `used`.
        assert!(
            n == 0 || used <= ceiling.max(n),
            "{used} in use, {n} of them new, under a ceiling of at most {ceiling}: {:?}",
            self.limiter
        );
        Held { permit: Some(permit), subject: self }
    }

    /// What came of a request; `None` if too many wait already.
    pub(crate) fn answer<L: Deref<Target = Limiter>>(
        &'static self,
        answer: Result<PermitOf<L>, AcquireError>,
        since: Since,
    ) -> Option<Held<L>> {
        match answer {
            Ok(permit) => Some(self.held(permit, since)),
            Err(AcquireError::QueueFull { .. }) => None,
            Err(error) => panic!("{error}: {:?}", self.limiter),
        }
    }

    pub(crate) async fn acquire(&'static self, n: usize) -> Option<Held<&'static Limiter>> {
        let since = self.now();
        self.answer(self.limiter.acquire_many(n).await, since)
    }

    pub(crate) async fn acquire_owned(&'static self, n: usize) -> Option<Held<Handle>> {
        let since = self.now();
        self.answer(self.limiter.acquire_many_owned(n).await, since)
    }

    pub(crate) fn try_acquire(&'static self, n: usize) -> Option<Held<&'static Limiter>> {
        let since = self.now();
        match self.limiter.try_acquire_many(n) {
            Ok(permit) => Some(self.held(permit, since)),
            Err(TryAcquireError::NoPermits) => None,
            Err(error) => panic!("{error}: {:?}", self.limiter),
        }
    }

    /// Everything was given back, no request waits, and all of it can be had (I2, I10, I11).
    pub(crate) fn assert_at_rest(&'static self) {
        let limiter = &self.limiter;
        assert_eq!(self.used.load(SeqCst), 0, "miscounted here: {limiter:?}");
        assert_eq!(limiter.in_flight(), 0, "a permit is lost: {limiter:?}");
        assert_eq!(limiter.waiting(), 0, "a waiter is left: {limiter:?}");
        limiter.wait_blocking();
        let all = self.try_acquire(limiter.ceiling()).expect("all can be had");
        assert!(self.try_acquire(1).is_none(), "more can be had: {limiter:?}");
        drop(all);
        #[cfg(feature = "stats")]
        {
            let snapshot = limiter.snapshot();
            let max = snapshot.max;
            assert!(snapshot.stats.peak_in_flight <= max, "{snapshot:?}");
            assert!(snapshot.stats.cancelled <= snapshot.stats.waited, "{snapshot:?}");
        }
    }
}

/// Permits that are counted.
pub(crate) struct Held<L: Deref<Target = Limiter>> {
    /// `None` while it is dropped.
    permit: Option<PermitOf<L>>,
    subject: &'static Subject,
}

impl<L: Deref<Target = Limiter>> Drop for Held<L> {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.subject.used.fetch_sub(permit.count(), SeqCst);
        }
    }
}

impl<L: Deref<Target = Limiter> + Clone> Held<L> {
    /// Splits it, merges it, gives it back by hand: whatever can be done with a guard without
    /// waiting. Returns what is left of it.
    pub(crate) fn juggle(mut self, rng: &mut Rng) -> Option<Self> {
        let mut permit = self.permit.take()?;
        let count = permit.count();
        assert!(permit.split(count + 1).is_none());
        match rng.below(4) {
            0 => {
                let part = permit.split(rng.below(count + 1)).expect("as many as there are");
                let part = Self { permit: Some(part), subject: self.subject };
                self.permit = Some(permit);
                // Either part may be given back first.
                Some(if rng.one_in(2) { part } else { self })
            }
            1 => {
                let part = permit.split(rng.below(count + 1)).expect("as many as there are");
                permit.merge(part);
                assert_eq!(permit.count(), count);
                self.permit = Some(permit);
                Some(self)
            }
            2 => {
                permit.forget();
                for _ in 0..count {
                    self.subject.used.fetch_sub(1, SeqCst);
                    self.subject.limiter.done();
                }
                None
            }
            _ => {
                self.permit = Some(permit);
                Some(self)
            }
        }
    }
}
