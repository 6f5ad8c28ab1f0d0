//! What pressure does to the limiters: it caps each a step lower, and later raises its caps again.
//!
//! The cap is all that it has to remember: what others do with the setting stays as it is, below
//! the cap or above it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use grmgr::{Adjust, Handle, OwnedCap, WeakHandle};

use super::{CAUSE, Pressure};
use crate::source::Source;

#[derive(Debug)]
pub(crate) struct Squeeze {
    source: Source,
    /// Those that are capped; in a dry run, that would be.
    capped: HashMap<String, Hold>,
    /// Said once: a limiter has as many caps as it can have.
    told: bool,
}

/// One limiter that is held down.
#[derive(Debug)]
struct Hold {
    /// Tells a limiter from another of the same name; keeps none alive.
    limiter: WeakHandle,
    /// Where the cap stands.
    at: usize,
    /// None in a dry run.
    cap: Option<OwnedCap>,
    moved: Duration,
}

impl Squeeze {
    pub(crate) fn new(source: Source) -> Self {
        Self { source, capped: HashMap::new(), told: false }
    }

    /// One step down for every limiter that pressure may touch.
    pub(crate) fn down(&mut self, config: &Pressure, now: Duration) {
        for limiter in self.present() {
            if limiter.is_closed() || !config.touches(&limiter) {
                continue;
            }
            let throttle = limiter.throttle();
            let hold = self.capped.get_mut(limiter.name());
            if hold.as_ref().is_some_and(|hold| now < hold.moved.saturating_add(throttle.hold_down))
            {
                continue;
            }
            // Below what is in force, be that by its own cap, the setting or somebody else's cap.
            let from = limiter.ceiling().min(hold.as_ref().map_or(usize::MAX, |hold| hold.at));
            let floor = config.floor.unwrap_or(throttle.min);
            let to = from.saturating_sub(throttle.down.of(from)).max(floor);
            if to >= from {
                continue;
            }
            match hold {
                Some(hold) => hold.set(&limiter, from, to, now),
                None => self.begin(config, &limiter, from, to, now),
            }
        }
    }

    /// One step up for every limiter that is capped; a cap that is no lower than the setting goes.
    pub(crate) fn up(&mut self, now: Duration) {
        for limiter in self.present() {
            let Some(hold) = self.capped.get_mut(limiter.name()) else { continue };
            let throttle = limiter.throttle();
            if now < hold.moved.saturating_add(throttle.hold_up) {
                continue;
            }
            let (from, setting) = (hold.at, limiter.setting());
            let to = from.saturating_add(throttle.up.of(from));
            if to < setting {
                hold.set(&limiter, from, to, now);
            } else if let Some(hold) = self.capped.remove(limiter.name()) {
                hold.log(&limiter, from, setting, Adjust::Up);
            }
        }
    }

    /// Forgets limiters that are no longer registered.
    pub(crate) fn follow(&mut self) {
        if !self.capped.is_empty() {
            self.present();
        }
    }

    /// Where each cap stands; in a dry run, where it would.
    pub(crate) fn caps(&self) -> Arc<BTreeMap<String, usize>> {
        Arc::new(self.capped.iter().map(|(name, hold)| (name.clone(), hold.at)).collect())
    }

    /// The limiters; those that are gone, or are others of the same name, are capped no longer.
    fn present(&mut self) -> Vec<Handle> {
        let limiters = self.source.limiters();
        // Both in the order of the names.
        self.capped.retain(|name, hold| {
            let at = limiters.binary_search_by(|limiter| limiter.name().cmp(name));
            at.is_ok_and(|at| hold.limiter.upgrade().as_ref() == Some(&limiters[at]))
        });
        limiters
    }

    fn begin(
        &mut self,
        config: &Pressure,
        limiter: &Handle,
        from: usize,
        to: usize,
        now: Duration,
    ) {
        let cap = match config.dry_run {
            true => None,
            false => match limiter.cap_owned(CAUSE) {
                Ok(cap) => Some(cap),
                Err(error) => {
                    if !std::mem::replace(&mut self.told, true) {
                        tracing::warn!(%error, "CPU pressure: not capped");
                    }
                    return;
                }
            },
        };
        let mut hold = Hold { limiter: limiter.downgrade(), at: from, cap, moved: now };
        hold.set(limiter, from, to, now);
        self.capped.insert(limiter.name().to_owned(), hold);
    }
}

impl Hold {
    fn set(&mut self, limiter: &Handle, from: usize, to: usize, now: Duration) {
        if let Some(cap) = &self.cap {
            cap.set(to);
        }
        (self.at, self.moved) = (to, now);
        self.log(limiter, from, to, if to < from { Adjust::Down } else { Adjust::Up });
    }

    /// What a dry run does not do; the rest is logged by the limiter itself.
    fn log(&self, limiter: &Handle, from: usize, to: usize, step: Adjust) {
        if self.cap.is_none() {
            let limiter = limiter.name();
            match step {
                Adjust::Down => {
                    tracing::info!(limiter, from, to, "CPU pressure would lower the ceiling");
                }
                _ => tracing::info!(limiter, from, to, "CPU pressure would raise the ceiling"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use grmgr::{Limiter, ManualClock, Registry};

    struct Bench {
        registry: Arc<Registry>,
        squeeze: Squeeze,
        config: Pressure,
        now: Duration,
    }

    impl Bench {
        fn new(config: Pressure) -> Self {
            let registry = Arc::new(Registry::new());
            let squeeze = Squeeze::new(registry.clone().into());
            Self { registry, squeeze, config, now: Duration::ZERO }
        }

        fn add(&self, up: usize, down: usize) -> Handle {
            let builder = Limiter::builder("a").ceiling(10).max(20).up(up).down(down);
            self.registry.register(builder.hold(Duration::ZERO).build().unwrap()).unwrap()
        }

        fn down(&mut self, polls: usize) {
            (0..polls).for_each(|_| self.squeeze.down(&self.config, self.now));
        }

        fn up(&mut self, polls: usize) {
            (0..polls).for_each(|_| self.squeeze.up(self.now));
        }

        fn capped(&self) -> usize {
            self.squeeze.caps().len()
        }
    }

    fn bench() -> Bench {
        Bench::new(Pressure::default())
    }

    #[test]
    fn what_was_taken_comes_back_and_no_more() {
        let mut bench = bench();
        let limiter = bench.add(3, 2);
        bench.down(2);
        assert_eq!((limiter.ceiling(), limiter.setting(), bench.capped()), (6, 10, 1));
        bench.up(1);
        assert_eq!(limiter.ceiling(), 9, "a step of 3");
        bench.up(3);
        assert_eq!((limiter.ceiling(), bench.capped()), (10, 0));
        assert!(limiter.caps().is_empty());
        assert!(limiter.changes().iter().all(|change| change.cause == "pressure"));
    }

    #[test]
    fn what_an_operator_sets_stays_whatever_pressure_does() {
        for (before, meanwhile) in [(10, 5), (6, 6), (10, 9), (10, 20)] {
            let mut bench = bench();
            let limiter = bench.add(1, 2);
            let _ = limiter.set_ceiling(before);
            bench.down(1);
            let _ = limiter.set_ceiling(meanwhile);
            bench.up(30);
            assert_eq!((limiter.ceiling(), limiter.setting()), (meanwhile, meanwhile));
            assert_eq!(bench.capped(), 0);
        }
    }

    #[test]
    fn a_paused_limiter_stays_paused() {
        let mut bench = bench();
        let limiter = bench.add(1, 1);
        limiter.pause();
        bench.down(1);
        bench.up(1);
        assert_eq!((limiter.ceiling(), limiter.is_paused()), (10, true));
    }

    #[test]
    fn its_own_steps_keep_to_the_holds() {
        let mut bench = bench();
        let builder = Limiter::builder("a").ceiling(10).up(5).down(2).clock(ManualClock::new());
        let limiter = bench.registry.register(builder.build().unwrap()).unwrap();
        bench.down(4);
        assert_eq!(limiter.ceiling(), 8);
        bench.up(3);
        assert_eq!(limiter.ceiling(), 8);
        bench.now += Duration::from_secs(30);
        bench.up(1);
        assert_eq!(limiter.ceiling(), 10, "the hold is over; no more than was taken");
    }

    #[test]
    fn a_dry_run_moves_nothing_and_imagines_all_of_it() {
        let mut bench = Bench::new(Pressure::default().dry_run(true));
        let limiter = Limiter::builder("a").ceiling(10).min(7).up(1).down(2);
        let limiter = limiter.hold(Duration::from_secs(30)).build().unwrap();
        let limiter = bench.registry.register(limiter).unwrap();
        let mut would_be = |seconds, up: bool| {
            bench.now = Duration::from_secs(seconds);
            if up {
                bench.up(1)
            } else {
                bench.down(1)
            }
            bench.squeeze.caps().get("a").copied()
        };
        assert_eq!([would_be(0, false), would_be(29, false)], [Some(8), Some(8)], "held");
        assert_eq!([would_be(30, false), would_be(60, false)], [Some(7), Some(7)], "its floor");
        assert_eq!([would_be(62, true), would_be(64, true)], [Some(8), Some(8)]);
        assert_eq!([would_be(92, true), would_be(122, true)], [Some(9), None]);
        assert_eq!((limiter.ceiling(), limiter.changes().len()), (10, 0));
    }

    #[test]
    fn a_limiter_that_is_gone_is_let_go() {
        let mut bench = bench();
        let first = bench.add(1, 2);
        bench.down(1);
        bench.registry.remove("a");
        let second = bench.add(1, 2);
        bench.squeeze.follow();
        assert_eq!((first.ceiling(), second.ceiling(), bench.capped()), (10, 10, 0));
    }

    #[test]
    fn dropping_it_gives_everything_back() {
        let mut bench = bench();
        let limiter = bench.add(1, 4);
        bench.down(2);
        assert_eq!(limiter.ceiling(), 2);
        drop(bench.squeeze);
        assert_eq!(limiter.ceiling(), 10);
    }

    #[test]
    fn it_goes_down_to_the_floor_and_touches_only_what_it_may() {
        let only = |limiter: &Limiter| limiter.name() == "a";
        let mut bench = Bench::new(Pressure::default().floor(3).only(only));
        let limiter = bench.add(1, 4);
        let other = bench.registry.register(Limiter::new("b", 10)).unwrap();
        bench.down(5);
        assert_eq!((limiter.ceiling(), other.ceiling()), (3, 10));
        let mut bench = self::bench();
        let limiter = bench.add(1, 4);
        bench.down(5);
        assert_eq!(limiter.ceiling(), 1, "its lowest setting, unless told otherwise");
    }
}
