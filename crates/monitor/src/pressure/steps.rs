//! One step down for every limiter, or one step back up for those that pressure has lowered.
//!
//! What pressure has taken is read from each limiter's log of changes, where it stands in order
//! with what others have done.

use std::collections::HashMap;
use std::time::Duration;

use grmgr::{Adjust, Adjustment, Hand, Handle, Limiter, WeakHandle};

use crate::source::Source;

const CAUSE: &str = "pressure";

#[derive(Debug)]
pub(crate) struct Steps {
    source: Source,
    dry_run: bool,
    known: HashMap<String, Account>,
}

/// What pressure has taken from a limiter and may give back; in a dry run, what it would have.
#[derive(Debug)]
struct Account {
    /// Tells a limiter from another of the same name; keeps none alive.
    limiter: WeakHandle,
    taken: usize,
    /// When a dry run made its last step, which would hold back the next.
    stepped_at: Option<Duration>,
    /// The number of the last change read.
    read: u64,
}

impl Steps {
    pub(crate) fn new(source: Source, dry_run: bool) -> Self {
        Self { source, dry_run, known: HashMap::new() }
    }

    /// One step down for every limiter that is neither paused nor closed.
    pub(crate) fn down(&mut self, now: Duration) {
        for limiter in self.look() {
            if !self.dry_run {
                let _ = limiter.adjust(Adjust::Down, CAUSE);
            } else if let Some(account) = self.known.get_mut(limiter.name()) {
                account.would_lower(&limiter, now);
            }
        }
        self.look();
    }

    /// One step up for every limiter that pressure has lowered, at most to where it was.
    pub(crate) fn up(&mut self, now: Duration) {
        for limiter in self.look() {
            let Some(account) = self.known.get_mut(limiter.name()) else { continue };
            if account.taken == 0 {
                continue;
            }
            if self.dry_run {
                account.would_raise(&limiter, now);
            } else if let Adjustment::Unchanged { .. } = give_back(&limiter, account.taken) {
                // At its highest: somebody else has raised it.
                account.taken = 0;
            }
        }
        self.look();
    }

    /// Reads what others do meanwhile, before it leaves the limiters' logs.
    pub(crate) fn follow(&mut self) {
        if self.lowered() > 0 {
            self.look();
        }
    }

    /// How many limiters have something to get back.
    pub(crate) fn lowered(&self) -> usize {
        self.known.values().filter(|account| account.taken > 0).count()
    }

    /// Brings the accounts up to date; the limiters that may be moved.
    fn look(&mut self) -> Vec<Handle> {
        let limiters = self.source.limiters();
        let mut known = std::mem::take(&mut self.known);
        for limiter in &limiters {
            let name = limiter.name();
            let same = |account: &Account| account.limiter.upgrade().as_ref() == Some(limiter);
            let account = match known.remove(name).filter(same) {
                Some(mut account) => {
                    account.read(limiter);
                    account
                }
                None => Account::new(limiter),
            };
            self.known.insert(name.to_owned(), account);
        }
        limiters
            .into_iter()
            .filter(|limiter| !limiter.is_paused() && !limiter.is_closed())
            .collect()
    }
}

fn give_back(limiter: &Limiter, taken: usize) -> Adjustment {
    let setting = limiter.setting();
    if limiter.throttle().up.of(setting) <= taken {
        return limiter.adjust(Adjust::Up, CAUSE);
    }
    // A whole step would be more than was taken. Setting the ceiling does not ask for the hold, so
    // that is done here.
    match limiter.snapshot().hold_up_remaining {
        remaining if remaining.is_zero() => {
            limiter.adjust(Adjust::To(setting.saturating_add(taken)), CAUSE)
        }
        remaining => Adjustment::Held { remaining },
    }
}

impl Account {
    fn new(limiter: &Handle) -> Self {
        let read = limiter.changes().last().map_or(0, |change| change.number);
        Self { limiter: limiter.downgrade(), taken: 0, stepped_at: None, read }
    }

    /// A step down as it would be, had all those before it been made.
    fn would_lower(&mut self, limiter: &Limiter, now: Duration) {
        let throttle = limiter.throttle();
        let from = limiter.setting().saturating_sub(self.taken);
        let to = throttle.next(from, Adjust::Down);
        if to < from && self.may_step(limiter, now, Adjust::Down) {
            self.taken += from - to;
            tracing::info!(
                limiter = limiter.name(),
                from,
                to,
                "CPU pressure would lower the ceiling"
            );
        }
    }

    fn would_raise(&mut self, limiter: &Limiter, now: Duration) {
        let from = limiter.setting().saturating_sub(self.taken);
        let step = limiter.throttle().up.of(from).min(self.taken);
        if self.may_step(limiter, now, Adjust::Up) {
            self.taken -= step;
            let to = from + step;
            tracing::info!(
                limiter = limiter.name(),
                from,
                to,
                "CPU pressure would raise the ceiling"
            );
        }
    }

    /// Whether neither a real hold nor that of an imagined step is in the way; makes the step if not.
    fn may_step(&mut self, limiter: &Limiter, now: Duration, to: Adjust) -> bool {
        let (throttle, real) = (limiter.throttle(), limiter.snapshot());
        let (hold, remaining) = match to {
            Adjust::Up => (throttle.hold_up, real.hold_up_remaining),
            _ => (throttle.hold_down, real.hold_down_remaining),
        };
        let held = self.stepped_at.is_some_and(|at| now < at.saturating_add(hold));
        if held || !remaining.is_zero() {
            return false;
        }
        self.stepped_at = Some(now);
        true
    }

    fn read(&mut self, limiter: &Limiter) {
        for change in limiter.changes() {
            if change.number <= self.read {
                continue;
            }
            if change.number > self.read + 1 {
                // Nobody knows what happened in between.
                self.taken = 0;
            }
            self.read = change.number;
            if change.hand != Hand::Setting {
                continue;
            }
            let (raised, lowered) =
                (change.to.saturating_sub(change.from), change.from.saturating_sub(change.to));
            self.taken = match (change.cause == CAUSE, lowered) {
                (true, _) => (self.taken + lowered).saturating_sub(raised),
                (false, 0) => self.taken.saturating_sub(raised),
                // Somebody wants it low.
                (false, _) => 0,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use grmgr::{ManualClock, Registry};

    /// Only a dry run asks for the time.
    const NOW: Duration = Duration::ZERO;

    fn steps(dry_run: bool) -> (Arc<Registry>, Steps) {
        let registry = Arc::new(Registry::new());
        (registry.clone(), Steps::new(registry.into(), dry_run))
    }

    fn add(registry: &Registry, up: usize, down: usize) -> Handle {
        let builder = Limiter::builder("a").ceiling(10).max(20).up(up).down(down);
        registry.register(builder.hold(Duration::ZERO).build().unwrap()).unwrap()
    }

    fn times(n: usize, mut f: impl FnMut()) {
        (0..n).for_each(|_| f());
    }

    #[test]
    fn what_was_taken_comes_back_and_no_more() {
        let (registry, mut steps) = steps(false);
        let limiter = add(&registry, 3, 2);
        times(2, || steps.down(NOW));
        assert_eq!((limiter.ceiling(), steps.lowered()), (6, 1));
        steps.up(NOW);
        assert_eq!(limiter.ceiling(), 9, "a step of 3");
        times(3, || steps.up(NOW));
        assert_eq!((limiter.ceiling(), steps.lowered()), (10, 0));
        assert!(limiter.changes().iter().all(|change| change.cause == "pressure"));
    }

    #[test]
    fn what_an_operator_lowered_stays() {
        let (registry, mut steps) = steps(false);
        let limiter = add(&registry, 1, 2);
        steps.down(NOW);
        let _ = limiter.set_ceiling(5);
        times(5, || steps.up(NOW));
        assert_eq!(limiter.ceiling(), 5);
    }

    #[test]
    fn what_an_operator_lowered_before_stays_too() {
        let (registry, mut steps) = steps(false);
        let limiter = add(&registry, 1, 2);
        let _ = limiter.set_ceiling(6);
        steps.down(NOW);
        times(5, || steps.up(NOW));
        assert_eq!(limiter.ceiling(), 6);
    }

    #[test]
    fn what_an_operator_raised_is_not_given_back_again() {
        let (registry, mut steps) = steps(false);
        let limiter = add(&registry, 1, 4);
        steps.down(NOW);
        let _ = limiter.set_ceiling(9);
        times(5, || steps.up(NOW));
        assert_eq!(limiter.ceiling(), 10);
    }

    #[test]
    fn a_paused_limiter_is_left_alone_until_it_is_resumed() {
        let (registry, mut steps) = steps(false);
        let limiter = add(&registry, 1, 1);
        steps.down(NOW);
        limiter.pause();
        steps.down(NOW);
        steps.up(NOW);
        assert_eq!((limiter.ceiling(), limiter.is_paused()), (9, true));
        limiter.resume();
        steps.up(NOW);
        assert_eq!(limiter.ceiling(), 10);
    }

    #[test]
    fn the_hold_is_respected_in_both_directions() {
        let (registry, mut steps) = steps(false);
        let clock = ManualClock::new();
        let builder = Limiter::builder("a").ceiling(10).up(5).down(2).clock(clock.clone());
        let limiter = registry.register(builder.build().unwrap()).unwrap();
        steps.down(NOW);
        times(3, || steps.down(NOW));
        assert_eq!(limiter.ceiling(), 8);
        steps.up(NOW);
        assert_eq!(limiter.ceiling(), 8);
        clock.advance(Duration::from_secs(30));
        steps.up(NOW);
        assert_eq!(limiter.ceiling(), 10, "the hold is over; no more than was taken");
    }

    #[test]
    fn a_dry_run_moves_nothing_and_imagines_all_of_it() {
        let (registry, mut steps) = steps(true);
        let limiter = Limiter::builder("a").ceiling(10).min(7).up(1).down(2);
        let limiter = limiter.hold(Duration::from_secs(30)).build().unwrap();
        let limiter = registry.register(limiter).unwrap();
        let mut taken = |seconds, up: bool| {
            let now = Duration::from_secs(seconds);
            if up {
                steps.up(now)
            } else {
                steps.down(now)
            }
            steps.known["a"].taken
        };
        assert_eq!([taken(0, false), taken(29, false)], [2, 2], "held");
        assert_eq!([taken(30, false), taken(60, false)], [3, 3], "at its lowest");
        assert_eq!([taken(62, true), taken(64, true), taken(92, true)], [2, 2, 1]);
        // A step of somebody else's is real, and so is its hold.
        let _ = limiter.down();
        assert_eq!([taken(122, false), limiter.ceiling()], [0, 8]);
        assert!(limiter.changes().iter().all(|change| change.cause != CAUSE));
    }

    #[test]
    fn another_limiter_of_the_same_name_owes_nothing() {
        let (registry, mut steps) = steps(false);
        add(&registry, 1, 2);
        steps.down(NOW);
        registry.delete("a");
        let limiter = add(&registry, 1, 2);
        times(3, || steps.up(NOW));
        assert_eq!(limiter.ceiling(), 10);
    }

    #[test]
    fn the_lowest_ceiling_is_the_end() {
        let (registry, mut steps) = steps(false);
        let limiter = add(&registry, 1, 4);
        times(5, || steps.down(NOW));
        assert_eq!(limiter.ceiling(), 1);
        times(12, || steps.up(NOW));
        assert_eq!(limiter.ceiling(), 10);
    }
}
