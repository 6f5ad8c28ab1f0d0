//! The holders of permits, of a limiter that tracks them.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use common::{Broken, Task, assert_at_rest, request};
use grmgr::{
    Builder, Config, Histogram, Limiter, ManualClock, Outcome, Permit, Registry, acquire_all,
};
use proptest::collection::vec;
use proptest::prelude::{
    Just, ProptestConfig, Strategy, any, prop_assert_eq, prop_oneof, proptest,
};

fn builder(ceiling: usize) -> (ManualClock, Builder) {
    let clock = ManualClock::new();
    (clock.clone(), Limiter::builder("holders").ceiling(ceiling).clock(clock))
}

fn tracked(ceiling: usize) -> (ManualClock, Limiter) {
    let (clock, builder) = builder(ceiling);
    (clock, builder.track_holders().build().unwrap())
}

const SECOND: Duration = Duration::from_secs(1);

/// Label, permits, seconds.
fn holders(limiter: &Limiter) -> Vec<(String, usize, u64)> {
    let holders = limiter.holders().into_iter();
    holders.map(|one| (one.label.into_owned(), one.count, one.held_for.as_secs())).collect()
}

fn holder(label: &str, count: usize, seconds: u64) -> (String, usize, u64) {
    (label.to_owned(), count, seconds)
}

#[test]
fn nobody_is_tracked_unless_asked_for() {
    let (clock, builder) = builder(4);
    let limiter = builder.build().unwrap();
    let mut permit = limiter.acquire_many(3).label("ignored").blocking().unwrap();
    permit.merge(limiter.try_acquire().unwrap());
    let part = permit.split(2).unwrap();
    clock.advance(SECOND);
    assert!(limiter.holders().is_empty());
    assert_eq!(limiter.snapshot().oldest_held, None);
    part.forget();
    limiter.done();
    limiter.done();
    drop(permit);
    assert_eq!(limiter.snapshot().stats.held.count(), 0);
    assert_at_rest(&limiter);
}

/// The sum has more than 64 bits, also of a single entry.
#[test]
fn sum_of_very_long_times_is_exact() {
    let (clock, limiter) = tracked(3);
    assert_eq!(limiter.snapshot().stats.held, Histogram::default(), "nothing has been held");
    let permits = limiter.try_acquire_many(3).unwrap();
    clock.advance(Duration::MAX);
    drop(permits);
    let held = limiter.snapshot().stats.held;
    assert_eq!((held.sum(), held.count()), (Duration::from_nanos(u64::MAX) * 3, 3));
}

static TRACKED: Limiter = Limiter::const_new("static", 4).with_track_holders();

#[test]
fn limiter_in_a_static_tracks_its_holders_if_told_to() {
    assert!(TRACKED.holders().is_empty());
    let permit = TRACKED.acquire_many(3).label("job").blocking().unwrap();
    let holders = TRACKED.holders();
    assert_eq!((&*holders[0].label, holders[0].count), ("job", 3));
    drop(permit);
    assert!(TRACKED.holders().is_empty());
    assert_eq!(TRACKED.snapshot().stats.held.count(), 3);
    // Twice is once, and the other options keep it.
    let twice = Limiter::const_new("", 4).with_track_holders().with_track_holders().with_min(2);
    let _permit = twice.try_acquire().unwrap();
    assert_eq!(twice.holders().len(), 1);
}

#[test]
fn reload_names_tracking_as_an_option_that_cannot_be_changed() {
    let registry = Registry::new();
    let config = |tracks| Config::new("db", 4).track_holders(tracks);
    registry.apply([config(true)]).unwrap();
    for (tracks, named) in [(true, &[][..]), (false, &["track_holders"])] {
        let outcome = registry.apply([config(tracks)]).unwrap().remove(0).outcome;
        let Outcome::Reconfigured { fixed, .. } = outcome else { panic!("{outcome:?}") };
        assert_eq!(fixed, named);
    }
    let db = registry.get("db").unwrap();
    let _permit = db.try_acquire().unwrap();
    assert_eq!(db.holders().len(), 1);
}

#[test]
fn acquire_all_labels_the_permits_of_each_limiter() {
    let [(_, a), (_, b)] = [tracked(4), tracked(4)];
    let both = acquire_all([(&a, 1), (&b, 2)]).label("both").blocking().unwrap();
    assert_eq!([holders(&a), holders(&b)], [[holder("both", 1, 0)], [holder("both", 2, 0)]]);
    drop(both);
    let _without = acquire_all([(&a, 1)]).blocking().unwrap();
    assert_eq!(holders(&a), [holder("", 1, 0)]);
}

/// By every way to a permit.
#[test]
fn holders_are_listed_the_oldest_first() {
    let (clock, limiter) = tracked(9);
    let limiter = Arc::new(limiter);
    let first = limiter.acquire_many(2).label("first").blocking().unwrap();
    clock.advance(SECOND);
    let second = limiter.try_acquire_many(3).unwrap();
    clock.advance(SECOND);
    let third = limiter.acquire_many_owned(4).label(format!("third {}", 3)).blocking().unwrap();
    let mut waiter = Task::start(limiter.acquire().label("waiter"));
    clock.advance(SECOND);
    let [first_, second_, third_] =
        [holder("first", 2, 3), holder("", 3, 2), holder("third 3", 4, 1)];
    assert_eq!(holders(&limiter), [first_.clone(), second_.clone(), third_.clone()]);
    assert_eq!(limiter.snapshot().oldest_held, Some(3 * SECOND));
    drop(first);
    assert_eq!(limiter.snapshot().oldest_held, Some(2 * SECOND));
    assert!(waiter.run());
    assert_eq!(holders(&limiter), [second_, third_, holder("waiter", 1, 0)]);
    drop((second, third, waiter));
    assert_eq!(limiter.snapshot().oldest_held, None);
    assert_at_rest(&limiter);
    assert!(limiter.holders().is_empty());
}

/// A number is used again: the order does not hang on it.
#[test]
fn holders_of_the_same_time_are_in_the_order_of_their_coming() {
    let (_clock, limiter) = tracked(9);
    let take = |label| limiter.acquire().label(label).blocking().unwrap();
    let gone = take("gone");
    let _a = take("a");
    let b = take("b");
    drop(gone);
    let _c = take("c");
    b.forget();
    let labels: Vec<_> = limiter.holders().into_iter().map(|holder| holder.label).collect();
    assert_eq!(labels, ["a", "b", "c"]);
}

#[test]
fn requests_for_nothing_hold_nothing() {
    let (_clock, limiter) = tracked(2);
    let mut nothing = limiter.try_acquire_many(0).unwrap();
    assert!(limiter.holders().is_empty());
    nothing.merge(limiter.acquire().label("one").blocking().unwrap());
    assert_eq!(holders(&limiter), [holder("one", 1, 0)]);
    drop(nothing);
    limiter.try_acquire_many(0).unwrap().forget();
    assert!(limiter.holders().is_empty());
    assert_eq!(limiter.snapshot().stats.held.count(), 1);
}

#[test]
fn a_request_that_gives_up_is_no_holder() {
    let (_clock, limiter) = tracked(1);
    let held = limiter.try_acquire().unwrap();
    let waiting = Task::start(limiter.acquire().label("gives up"));
    drop(limiter.acquire().label("not even polled"));
    assert_eq!(limiter.holders().len(), 1);
    drop((waiting, held));
    assert!(limiter.holders().is_empty());
}

/// At the end of a character, whether the label is borrowed or owned.
#[test]
fn label_of_a_megabyte_is_cut_to_256_bytes() {
    let (_clock, limiter) = tracked(8);
    let label = |label: String| {
        let leaked: &'static str = label.clone().leak();
        let mut permits = [
            limiter.acquire().label(leaked).blocking().unwrap(),
            limiter.acquire().label(label.clone()).blocking().unwrap(),
            limiter.try_acquire().unwrap(),
            limiter.try_acquire().unwrap(),
        ];
        permits[2].set_label(leaked);
        permits[3].set_label(label.clone());
        let kept = [0, 1, 2, 3].map(|i| limiter.holders().swap_remove(i).label);
        assert!(kept.iter().all(|one| *one == kept[0]));
        assert!(label.starts_with(&*kept[0]));
        kept[0].len()
    };
    assert_eq!(label("a".repeat(1 << 20)), 256);
    assert_eq!(label("é".repeat(1 << 19)), 256);
    assert_eq!(label(format!("a{}", "é".repeat(1 << 19))), 255);
    assert_eq!(label(format!("a{}", "🦀".repeat(1 << 18))), 253);
    assert_eq!(label("a".repeat(256)), 256);
    assert_eq!(label("a".repeat(255)), 255);
    assert_eq!(label(String::new()), 0);
}

#[test]
fn permits_are_labelled_after_their_grant_and_labelled_anew() {
    let (clock, limiter) = tracked(4);
    assert!(limiter.tracks_holders());
    let mut plain = limiter.try_acquire_many(2).unwrap();
    let mut labelled = Arc::new(tracked(1).1).acquire_owned().label("first").blocking().unwrap();
    clock.advance(SECOND);
    assert_eq!(holders(&limiter), [holder("", 2, 1)]);
    plain.set_label("late");
    labelled.set_label(format!("second of {}", 2));
    assert_eq!(holders(&limiter), [holder("late", 2, 1)], "as old as it is");
    assert_eq!(holders(labelled.limiter()), [holder("second of 2", 1, 0)]);
    plain.set_label("");
    assert_eq!(holders(&limiter), [holder("", 2, 1)]);
    plain.set_label("forgotten by name");
    plain.forget();
    assert_eq!(holders(&limiter), [holder("forgotten by name", 2, 1)]);
}

#[test]
fn part_that_was_split_off_is_labelled_by_itself() {
    let (_clock, limiter) = tracked(4);
    let mut rest = limiter.acquire_many(4).label("all").blocking().unwrap();
    let mut part = rest.split(1).unwrap();
    part.set_label("part");
    assert_eq!(holders(&limiter), [holder("all", 3, 0), holder("part", 1, 0)]);
    rest.set_label("rest");
    assert_eq!(holders(&limiter), [holder("rest", 3, 0), holder("part", 1, 0)]);
    part.merge(rest);
    assert_eq!(holders(&limiter), [holder("part", 4, 0)]);
    part.set_label("merged");
    assert_eq!(holders(&limiter), [holder("merged", 4, 0)]);
    let mut all = part.split(4).unwrap();
    part.set_label("of the guard that has none left");
    all.set_label("of the guard that has them all");
    assert_eq!(holders(&limiter), [holder("of the guard that has them all", 4, 0)]);
    assert_eq!(all.release(1), Some(3));
    assert_eq!(holders(&limiter), [holder("of the guard that has them all", 3, 0)]);
}

#[test]
fn label_of_no_permits_is_ignored() {
    let (_clock, limiter) = tracked(2);
    let mut nothing = limiter.try_acquire_many(0).unwrap();
    nothing.set_label("nothing");
    assert!(limiter.holders().is_empty());
    let one = limiter.acquire().label("one").blocking().unwrap();
    nothing.set_label("still nothing");
    assert_eq!(holders(&limiter), [holder("one", 1, 0)]);
    nothing.merge(one);
    assert_eq!(holders(&limiter), [holder("one", 1, 0)]);
}

#[test]
fn label_of_permits_that_are_not_tracked_is_ignored() {
    let (_clock, builder) = builder(4);
    let limiter = builder.build().unwrap();
    assert!(!limiter.tracks_holders());
    let mut permit = limiter.try_acquire_many(3).unwrap();
    permit.set_label("ignored");
    assert_eq!((permit.count(), limiter.in_flight()), (3, 3));
    assert!(limiter.holders().is_empty());
    drop(permit);
    assert_at_rest(&limiter);
}

#[test]
fn forgotten_permits_are_held_until_done() {
    let (clock, limiter) = tracked(8);
    limiter.acquire_many(2).label("labelled").blocking().unwrap().forget();
    clock.advance(SECOND);
    limiter.try_acquire().unwrap().forget();
    clock.advance(SECOND);
    assert_eq!(holders(&limiter), [holder("labelled", 2, 2), holder("forgotten", 1, 1)]);
    limiter.done();
    assert_eq!(holders(&limiter), [holder("labelled", 1, 2), holder("forgotten", 1, 1)]);
    limiter.done();
    assert_eq!(holders(&limiter), [holder("forgotten", 1, 1)]);
    limiter.done();
    assert!(limiter.holders().is_empty());
    let held = limiter.snapshot().stats.held;
    assert_eq!((held.count(), held.sum()), (3, 5 * SECOND));
    assert!(catch_unwind(AssertUnwindSafe(|| limiter.done())).is_err());
    assert_at_rest(&limiter);
}

/// What happens to the permits of a limiter.
#[derive(Clone, Debug)]
enum Step {
    Acquire(usize),
    Split(usize, usize),
    Merge(usize, usize),
    Label(usize),
    Forget(usize),
    Drop(usize),
    Done,
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..4_usize).prop_map(Step::Acquire),
        2 => (any::<usize>(), 0..4_usize).prop_map(|(i, n)| Step::Split(i, n)),
        1 => (any::<usize>(), any::<usize>()).prop_map(|(i, j)| Step::Merge(i, j)),
        1 => any::<usize>().prop_map(Step::Label),
        1 => any::<usize>().prop_map(Step::Forget),
        2 => any::<usize>().prop_map(Step::Drop),
        1 => Just(Step::Done),
        3 => (1..100_u64).prop_map(Step::Pass),
    ]
}

/// A guard as it should be: label, permits, since when.
type Entry = (String, usize, u64);

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// I2, of the accounts: whatever is done to guards, the holders have what is in flight, and each
    /// permit is counted once, with its time, when it is given back.
    #[test]
    fn holders_have_what_is_in_flight(steps in vec(step(), 1..80)) {
        let (clock, limiter) = tracked(1_000);
        let mut guards: Vec<(Permit<'_>, Entry)> = Vec::new();
        let mut forgotten: Vec<Entry> = Vec::new();
        let (mut now, mut returned, mut sum) = (0, 0, 0);
        for (label, step) in steps.into_iter().enumerate() {
            let at = |i: usize| (!guards.is_empty()).then(|| i % guards.len());
            match step {
                Step::Acquire(n) => {
                    let label = label.to_string();
                    let permit = limiter.acquire_many(n).label(label.clone()).blocking().unwrap();
                    guards.push((permit, (label, n, now)));
                }
                Step::Split(i, n) => if let Some(i) = at(i) {
                    let (permit, (label, count, since)) = &mut guards[i];
                    if let Some(part) = permit.split(n) {
                        *count -= n;
                        let part = (part, (label.clone(), n, *since));
                        guards.push(part);
                    }
                },
                Step::Merge(i, j) => if let Some(j) = at(j) && guards.len() > 1 {
                    let (other, (label, n, since)) = guards.swap_remove(j);
                    let i = i % guards.len();
                    let (permit, entry) = &mut guards[i];
                    permit.merge(other);
                    if entry.1 == 0 {
                        *entry = (label, n, since);
                    } else if n > 0 {
                        entry.1 += n;
                        entry.2 = entry.2.min(since);
                    }
                },
                Step::Label(i) => if let Some(i) = at(i) {
                    let (permit, entry) = &mut guards[i];
                    permit.set_label(label.to_string());
                    if entry.1 > 0 {
                        entry.0 = label.to_string();
                    }
                },
                Step::Forget(i) => if let Some(i) = at(i) {
                    let (permit, entry) = guards.swap_remove(i);
                    permit.forget();
                    if entry.1 > 0 {
                        forgotten.push(entry);
                    }
                },
                Step::Drop(i) => if let Some(i) = at(i) {
                    let (_, (_, n, since)) = guards.swap_remove(i);
                    returned += n as u64;
                    sum += n as u64 * (now - since);
                },
                Step::Done => if let Some((_, n, since)) = forgotten.first_mut() {
                    limiter.done();
                    returned += 1;
                    sum += now - *since;
                    *n -= 1;
                    if *n == 0 {
                        forgotten.remove(0);
                    }
                },
                Step::Pass(seconds) => {
                    clock.advance(seconds as u32 * SECOND);
                    now += seconds;
                }
            }
            let entries = guards.iter().map(|(_, entry)| entry).filter(|entry| entry.1 > 0);
            let mut expected: Vec<_> = entries
                .chain(&forgotten)
                .map(|(label, n, since)| (label.clone(), *n, now - since))
                .collect();
            expected.sort();
            let mut found = holders(&limiter);
            prop_assert_eq!(found.iter().map(|one| one.1).sum::<usize>(), limiter.in_flight());
            prop_assert_eq!(limiter.snapshot().oldest_held, found.first().map(|one| one.2 as u32 * SECOND));
            found.sort();
            prop_assert_eq!(found, expected);
            let held = limiter.snapshot().stats.held;
            prop_assert_eq!((held.count(), held.sum().as_secs()), (returned, sum));
        }
    }
}

/// Many at once, each permit given back by another thread than it was granted to.
#[test]
fn no_holder_is_lost_or_left_among_threads() {
    let limiter = Arc::new(Limiter::builder("holders").ceiling(3).track_holders().build().unwrap());
    thread::scope(|scope| {
        for id in 0..4 {
            let limiter = &limiter;
            scope.spawn(move || {
                for _ in 0..500 {
                    let permit = limiter.acquire_owned().label(format!("{id}")).blocking().unwrap();
                    let holders = limiter.holders();
                    assert!(holders.iter().any(|holder| holder.label == format!("{id}")));
                    assert!(holders.len() <= 3, "{holders:?}");
                    scope.spawn(move || drop(permit));
                }
            });
        }
    });
    assert!(limiter.holders().is_empty());
    assert_eq!(limiter.snapshot().stats.held.count(), 2_000);
    assert_at_rest(&limiter);
}

/// Every place where the clock is asked on the way of a permit.
#[test]
fn clock_that_panics_costs_no_permit_and_leaves_no_holder() {
    let broken = Arc::new(AtomicBool::new(false));
    let limiter = Limiter::builder("holders").ceiling(2).track_holders();
    let limiter = limiter.clock(Broken(broken.clone())).build().unwrap();
    let panics = |action: &mut dyn FnMut()| {
        broken.store(true, Relaxed);
        assert!(catch_unwind(AssertUnwindSafe(action)).is_err());
        broken.store(false, Relaxed);
    };
    // When a permit is granted without waiting,
    panics(&mut || drop(limiter.try_acquire_many(2)));
    panics(&mut || drop(request(&limiter, 2)));
    assert_at_rest(&limiter);
    // after waiting,
    let held = limiter.try_acquire_many(2).unwrap();
    let mut waiter = request(&limiter, 2);
    drop(held);
    panics(&mut || _ = waiter.poll());
    drop(waiter);
    assert_at_rest(&limiter);
    // when it is given back,
    let mut held = Some(limiter.try_acquire_many(2).unwrap());
    panics(&mut || drop(held.take()));
    assert_at_rest(&limiter);
    // and when it is given back without its guard.
    limiter.try_acquire_many(2).unwrap().forget();
    panics(&mut || limiter.done());
    assert_eq!((limiter.in_flight(), limiter.holders().len()), (1, 1));
    panics(&mut || limiter.done());
    assert!(limiter.holders().is_empty());
    // Each of the six was granted; the rest are those of `assert_at_rest`.
    assert_eq!(limiter.snapshot().stats.acquired, 6 * 2 + 3 * 2);
    assert_at_rest(&limiter);
}

/// Work that panics gives its permit back like any other.
#[test]
fn work_that_panics_is_no_holder_any_more() {
    let (clock, limiter) = tracked(1);
    let work = || {
        let _permit = limiter.acquire().label("panics").blocking().unwrap();
        clock.advance(SECOND);
        panic!("the work fails");
    };
    assert!(catch_unwind(AssertUnwindSafe(work)).is_err());
    assert!(limiter.holders().is_empty());
    assert_eq!(limiter.snapshot().stats.held.sum(), SECOND);
    assert_at_rest(&limiter);
}

/// The limiter asks it twice on the way of a permit that comes back while a cap has a term. A panic
/// out of the second would abort.
#[test]
fn clock_that_panics_costs_no_more_while_a_cap_has_a_term() {
    let broken = Arc::new(AtomicBool::new(false));
    let limiter = Limiter::builder("holders").ceiling(2).track_holders();
    let limiter = limiter.clock(Broken(broken.clone())).build().unwrap();
    let cap = limiter.cap("share").unwrap();
    cap.set_until(1, 0, SECOND);
    let permit = limiter.try_acquire().unwrap();
    let waiter = request(&limiter, 1);
    broken.store(true, Relaxed);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(permit))).is_err());
    broken.store(false, Relaxed);
    assert_eq!((limiter.in_flight(), limiter.holders().len()), (0, 0));
    drop(waiter.granted());
    drop(cap);
    assert_at_rest(&limiter);
}
