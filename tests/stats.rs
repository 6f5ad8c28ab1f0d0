//! The counters of feature `stats`.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use common::{Broken, Task, request, take_all, waiter, waiters};
use grmgr::{Adjust, Config, Hand, Handle, Limiter, ManualClock, Registry, Stats, TryAcquireError};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};

fn limiter() -> (ManualClock, Limiter) {
    let clock = ManualClock::new();
    let limiter = Limiter::builder("stats").ceiling(2).max(8).max_waiting(4);
    (clock.clone(), limiter.hold(Duration::ZERO).clock(clock).build().unwrap())
}

fn stats(limiter: &Limiter) -> Stats {
    limiter.snapshot().stats
}

#[test]
fn nothing_has_happened_at_first() {
    let stats = stats(&limiter().1);
    assert_eq!((stats.acquired, stats.waited, stats.cancelled), (0, 0, 0));
    assert_eq!((stats.raised, stats.lowered), (0, 0));
    assert_eq!((stats.peak_in_flight, stats.peak_waiting), (0, 0));
    assert_eq!((stats.wait.count(), stats.wait.sum()), (0, Duration::ZERO));
    assert_eq!(stats.wait.quantile(0.5), None);
}

/// Permits, not requests: by every way there is.
#[test]
fn every_permit_granted_is_counted() {
    let (_clock, limiter) = limiter();
    let limiter = Arc::new(limiter);
    drop(limiter.try_acquire().unwrap());
    drop(limiter.try_acquire_many_owned(2).unwrap());
    drop(request(&limiter, 2).granted());
    drop(limiter.acquire_blocking().unwrap());
    drop(Handle::from(&limiter).try_into_permit(2).unwrap());
    assert_eq!(stats(&limiter).acquired, 8);
    drop(limiter.try_acquire_many(0).unwrap());
    assert_eq!(stats(&limiter).acquired, 8);
    let held = take_all(&limiter);
    let [head, handed, called] = waiters(&limiter);
    drop(held);
    drop((head.granted(), handed.granted()));
    drop(called.granted());
    let stats = stats(&limiter);
    assert_eq!((stats.acquired, stats.waited, stats.cancelled), (13, 3, 0));
}

/// Takes and gives back one permit, `rounds` times.
fn churn(limiter: &Limiter, rounds: u64) {
    for _ in 0..rounds {
        drop(limiter.try_acquire().unwrap());
    }
}

/// More than have a cell of their own to count in.
#[test]
fn no_grant_of_many_threads_is_lost() {
    const THREADS: usize = 40;
    const ROUNDS: u64 = 20_000;
    let limiter = Limiter::new("stats", 100);
    let all = Barrier::new(THREADS);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                all.wait();
                churn(&limiter, ROUNDS);
                all.wait();
                let _permit = limiter.try_acquire().unwrap();
                all.wait();
            });
        }
    });
    let stats = stats(&limiter);
    assert_eq!(stats.acquired, THREADS as u64 * (ROUNDS + 1));
    assert_eq!(stats.peak_in_flight, THREADS, "all at once, at the end");
}

/// A thread counts on where one before it has ended.
#[test]
fn no_grant_is_lost_while_threads_come_and_go() {
    const GENERATIONS: u64 = 100;
    const ROUNDS: u64 = 5_000;
    let limiter = Limiter::new("stats", 100);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..GENERATIONS {
                    thread::scope(|scope| _ = scope.spawn(|| churn(&limiter, ROUNDS)));
                }
            });
        }
    });
    assert_eq!(stats(&limiter).acquired, 4 * GENERATIONS * ROUNDS);
}

/// Destructors of thread-local values run when the thread has left its place to others.
#[test]
fn no_grant_in_a_thread_local_destructor_is_lost() {
    const THREADS: u64 = 60;
    const ROUNDS: u64 = 20_000;
    struct AtExit(Arc<Limiter>);
    impl Drop for AtExit {
        fn drop(&mut self) {
            churn(&self.0, ROUNDS);
        }
    }
    thread_local! {
        static FIRST: std::cell::OnceCell<AtExit> = const { std::cell::OnceCell::new() };
        static LAST: std::cell::OnceCell<AtExit> = const { std::cell::OnceCell::new() };
    }
    let limiter = Arc::new(Limiter::new("stats", 100));
    let set = |limiter: &Arc<Limiter>| AtExit(limiter.clone());
    for _ in 0..THREADS / 4 {
        let four = [(); 4].map(|()| {
            let limiter = limiter.clone();
            thread::spawn(move || {
                // One before the first acquire and one after it: the order of destruction is open.
                FIRST.with(|exit| exit.get_or_init(|| set(&limiter)).0.name().len());
                churn(&limiter, ROUNDS);
                LAST.with(|exit| exit.get_or_init(|| set(&limiter)).0.name().len());
            })
        });
        // Ended with their destructors.
        for thread in four {
            thread.join().unwrap();
        }
    }
    assert_eq!(stats(&limiter).acquired, 3 * THREADS * ROUNDS);
}

/// As its documentation says, also while a permit is on its way to a waiter.
#[test]
fn given_back_is_what_was_acquired_less_what_is_in_flight() {
    let (_clock, limiter) = limiter();
    let given_back = || {
        let snapshot = limiter.snapshot();
        i128::from(snapshot.stats.acquired) - snapshot.in_flight as i128
    };
    let held = take_all(&limiter);
    let [head, handed] = waiters(&limiter);
    assert_eq!(given_back(), 0);
    drop(held);
    assert_eq!(given_back(), 2, "one of them is handed on and has not been seen");
    drop((head.granted(), handed.granted()));
    assert_eq!(given_back(), 4);
}

/// Each under its reason, and under one only.
#[test]
fn every_refusal_is_counted_by_its_reason() {
    let (_clock, limiter) = limiter();
    let limiter = Handle::from(limiter);
    let refused = || {
        let stats = stats(&limiter);
        [
            stats.refused_closed,
            stats.refused_exceeds_max,
            stats.refused_queue_full,
            stats.refused_no_permits,
        ]
    };
    assert!(limiter.try_acquire_many(9).is_err());
    assert!(request(&limiter, 9).is_done());
    assert_eq!(refused(), [0, 2, 0, 0]);
    let held = take_all(&limiter);
    assert_eq!(limiter.try_acquire().unwrap_err(), TryAcquireError::NoPermits);
    // One by `take_all`, which ends with a refusal.
    assert_eq!(refused(), [0, 2, 0, 2]);
    assert!(limiter.clone().try_into_permit(1).is_err());
    assert_eq!(refused(), [0, 2, 0, 2], "its handle asks again, or does not");
    let line = waiters::<4>(&limiter);
    assert!(request(&limiter, 1).is_done());
    assert_eq!(refused(), [0, 2, 1, 2]);
    limiter.close();
    assert!(limiter.try_acquire().is_err());
    assert!(request(&limiter, 1).is_done());
    assert_eq!(refused(), [2, 2, 1, 2]);
    for task in line {
        task.refused();
    }
    assert_eq!(refused(), [6, 2, 1, 2]);
    drop(held);
    assert_eq!(stats(&limiter).cancelled, 0);
}

/// In every state a waiter can be in; a request that never waited is none.
#[test]
fn every_waiter_that_gives_up_is_counted() {
    let (_clock, limiter) = limiter();
    drop(limiter.acquire());
    let held = take_all(&limiter);
    let [head, handed, queued, last] = waiters(&limiter);
    drop(queued);
    drop(held);
    drop((head, handed));
    assert_eq!(stats(&limiter).cancelled, 3);
    drop(last.granted());
    let stats = stats(&limiter);
    assert_eq!((stats.waited, stats.cancelled), (4, 3));
}

#[test]
fn peaks_stay() {
    let (_clock, limiter) = limiter();
    let _ = limiter.set_ceiling(5);
    let held = take_all(&limiter);
    let line = waiters::<3>(&limiter);
    drop(line);
    drop(held);
    drop(limiter.try_acquire().unwrap());
    limiter.pause();
    drop(waiter(&limiter, 1));
    limiter.resume();
    let first = stats(&limiter);
    assert_eq!((first.peak_in_flight, first.peak_waiting), (5, 3));
    assert_eq!(stats(&limiter), first, "reading changes nothing");
}

/// A request waits for `nanos` and is granted.
fn wait_for(clock: &ManualClock, limiter: &Limiter, nanos: u64) {
    let held = take_all(limiter);
    let task = waiter(limiter, 1);
    clock.advance(Duration::from_nanos(nanos));
    drop(held);
    drop(task.granted());
}

/// By the limiter's clock; only of those that waited and were granted.
#[test]
fn waiting_times_go_into_the_histogram() {
    let (clock, limiter) = limiter();
    drop(limiter.try_acquire().unwrap());
    let waits = [0, 1, 1_000, 1_000_000, 3_600_000_000_000];
    for nanos in waits {
        wait_for(&clock, &limiter, nanos);
    }
    let held = take_all(&limiter);
    let cancelled = waiter(&limiter, 1);
    clock.advance(Duration::from_secs(1));
    drop((cancelled, held));

    let wait = stats(&limiter).wait;
    assert_eq!(wait.count(), 5);
    assert_eq!(wait.sum(), Duration::from_nanos(waits.iter().sum()));
    let mut below = Duration::ZERO;
    for (end, count) in wait.buckets() {
        let inside = |nanos: &&u64| {
            let wait = Duration::from_nanos(**nanos);
            (below..end).contains(&wait)
        };
        assert_eq!(count, waits.iter().filter(inside).count() as u64, "{below:?} to {end:?}");
        below = end;
    }
    assert_eq!(
        wait.quantile(0.5),
        Some(Duration::from_nanos(1_024)),
        "shorter than it tells apart"
    );
    let longest = wait.quantile(1.0).unwrap();
    assert!(longest > Duration::from_secs(3_600) && longest <= Duration::from_secs(4_500));
    let debug = format!("{wait:?}");
    assert!(debug.starts_with("Histogram { count: 5, sum: 3600.001001001s, p50: 1.024µs, p99: "));
    assert!(debug.len() < 100, "{debug}");
}

#[test]
fn each_bucket_ends_at_most_a_quarter_after_the_one_before() {
    let wait = stats(&limiter().1).wait;
    let ends: Vec<_> = wait.buckets().map(|(end, _)| end.as_nanos()).collect();
    assert_eq!((ends[0], *ends.last().unwrap()), (1 << 10, 1 << 46));
    assert!(ends.windows(2).all(|two| two[0] < two[1] && 4 * two[1] <= 5 * two[0]), "{ends:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Of durations of every size that the buckets are for: from 1 µs to 19 hours.
    #[test]
    fn quantiles_are_at_most_a_quarter_too_long(
        sizes in vec((10..46_u32, any::<u64>()), 1..100),
        shares in vec(0.0..=1.0_f64, 10),
    ) {
        let mut waits: Vec<u64> =
            sizes.iter().map(|(octave, any)| 1 << octave | any & ((1 << octave) - 1)).collect();
        let (clock, limiter) = limiter();
        for nanos in &waits {
            wait_for(&clock, &limiter, *nanos);
        }
        let wait = stats(&limiter).wait;
        waits.sort_unstable();
        for share in shares {
            let rank = (share * waits.len() as f64).ceil() as usize;
            let exact = u128::from(waits[rank.saturating_sub(1)]);
            let read = wait.quantile(share).unwrap().as_nanos();
            prop_assert!(exact < read && 4 * read <= 5 * exact, "{share}: {exact} reads {read}");
        }
    }
}

/// Longer than the histogram is wide, and in sum than a number of nanoseconds.
#[test]
fn longest_waits_go_into_the_last_bucket() {
    let (clock, limiter) = limiter();
    let held = take_all(&limiter);
    let tasks = waiters::<2>(&limiter);
    clock.advance(Duration::MAX);
    drop(held);
    for task in tasks {
        drop(task.granted());
    }
    let wait = stats(&limiter).wait;
    assert_eq!(wait.buckets().last().unwrap().1, 2);
    assert_eq!(wait.quantile(1.0), Some(Duration::from_nanos(1 << 46)));
    assert_eq!(wait.sum(), 2 * Duration::from_nanos(u64::MAX));
}

#[test]
fn changes_are_logged_with_number_cause_and_time() {
    let (clock, limiter) = limiter();
    clock.advance(Duration::from_secs(1));
    let _ = limiter.up();
    clock.advance(Duration::from_secs(1));
    let _ = limiter.adjust(Adjust::To(8), "load");
    let _ = limiter.adjust(Adjust::Up, "refused: at its bound");
    let _ = limiter.down();
    let changes = limiter.changes();
    let changes: Vec<_> = changes
        .iter()
        .map(|change| {
            assert_eq!((change.hand, change.ceiling), (Hand::Setting, change.to));
            (change.number, change.from, change.to, &*change.cause, change.at.as_secs())
        })
        .collect();
    assert_eq!(changes, [(1, 2, 3, "manual", 1), (2, 3, 8, "load", 2), (3, 8, 6, "manual", 2)]);
    let stats = stats(&limiter);
    assert_eq!((stats.raised, stats.lowered), (2, 1));
}

/// What moved, and what was in force afterwards.
#[test]
fn caps_are_logged_with_the_ceiling_in_force() {
    let (clock, limiter) = limiter();
    let caps = ["a", "b"].map(|cause| limiter.cap(String::from(cause)).unwrap());
    clock.advance(Duration::from_secs(3));
    caps[0].set(1);
    caps[0].set(1);
    caps[1].set(7);
    let _ = limiter.adjust(Adjust::To(5), String::from("load"));
    caps[0].lift();
    drop(caps);
    let changes = limiter.changes();
    let told: Vec<_> = changes
        .iter()
        .map(|change| (change.hand, &*change.cause, change.from, change.to, change.ceiling))
        .collect();
    const NONE: usize = Limiter::MAX_CEILING;
    assert_eq!(
        told,
        [
            (Hand::Cap, "a", NONE, 1, 1),
            (Hand::Cap, "b", NONE, 7, 1),
            (Hand::Setting, "load", 2, 5, 1),
            (Hand::Cap, "a", 1, NONE, 5),
            (Hand::Cap, "b", 7, NONE, 5),
        ]
    );
    assert!(changes.iter().all(|change| change.at == Duration::from_secs(3)));
    let stats = stats(&limiter);
    assert_eq!((stats.raised, stats.lowered), (3, 2));
}

#[test]
fn reconfiguration_is_logged_with_its_cause() {
    let (_clock, limiter) = limiter();
    limiter.reconfigure(limiter.throttle().min(3)).unwrap();
    limiter.reconfigure(limiter.throttle().max(10)).unwrap();
    let registry = Registry::new();
    let limiter = registry.register(limiter).unwrap();
    registry.apply([Config::new("stats", 4)]).unwrap();
    let changes = limiter.changes();
    let told: Vec<_> =
        changes.iter().map(|change| (&*change.cause, change.from, change.to)).collect();
    assert_eq!(told, [("reconfigure", 2, 3), ("reload", 3, 4)]);
}

/// I18: setting leaves everything as it was then; dropping lifts the cap all the same.
#[test]
fn clock_that_panics_leaves_caps_as_they_were_and_no_cap_behind() {
    let broken = Arc::new(AtomicBool::new(false));
    let limiter = Limiter::builder("stats").ceiling(2).clock(Broken(broken.clone()));
    let limiter = limiter.build().unwrap();
    let cap = limiter.cap("load").unwrap();
    cap.set(0);
    let task = waiter(&limiter, 1);
    broken.store(true, Relaxed);
    catch_unwind(AssertUnwindSafe(|| cap.set(1))).unwrap_err();
    catch_unwind(AssertUnwindSafe(|| cap.lift())).unwrap_err();
    assert_eq!((cap.get(), limiter.ceiling(), task.is_woken()), (Some(0), 0, false));
    catch_unwind(AssertUnwindSafe(|| drop(cap))).unwrap_err();
    assert_eq!((limiter.caps().len(), limiter.ceiling(), task.is_woken()), (0, 2, true));
    broken.store(false, Relaxed);
    drop(task.granted());
}

/// Feature `serde`: for programs, times in seconds.
#[cfg(feature = "serde")]
#[test]
fn everything_that_can_be_read_is_serialised() {
    let (clock, limiter) = limiter();
    clock.advance(Duration::from_millis(1_500));
    let cap = limiter.cap("load").unwrap();
    cap.set(1);
    limiter.reconfigure(limiter.throttle().hold_up(Duration::from_secs(30))).unwrap();
    let up = serde_json::to_value(limiter.up()).unwrap();
    assert_eq!(up, serde_json::json!({"changed": {"from": 2, "to": 3}}));
    let up = serde_json::to_value(limiter.up()).unwrap();
    assert_eq!(up, serde_json::json!({"held": {"remaining": 30.0}}));
    let change = serde_json::to_value(&limiter.changes()[0]).unwrap();
    assert_eq!(
        change,
        serde_json::json!({
            "number": 1, "hand": "cap", "from": Limiter::MAX_CEILING, "to": 1, "ceiling": 1,
            "cause": "load", "at": 1.5,
        })
    );
    let held = limiter.try_acquire().unwrap();
    let task = waiter(&limiter, 1);
    clock.advance(Duration::from_millis(1_500));
    drop(held);
    drop(task.granted());
    let snapshot = serde_json::to_value(limiter.snapshot()).unwrap();
    assert_eq!(snapshot["caps"], serde_json::json!([["load", 1]]));
    assert_eq!((&snapshot["setting"], &snapshot["ceiling"]), (&3.into(), &1.into()));
    assert_eq!(snapshot["hold_up_remaining"], 28.5);
    assert_eq!(snapshot["stats"]["waited"], 1);
    let wait = &snapshot["stats"]["wait"];
    assert_eq!((&wait["count"], &wait["sum"]), (&1.into(), &1.5.into()));
    assert_eq!(wait["buckets"].as_array().unwrap().len(), 1, "empty ones are left out");
    let throttle = serde_json::to_value(limiter.throttle()).unwrap();
    assert_eq!((&throttle["up"], &throttle["hold_up"]), (&1.into(), &30.0.into()));
}

/// The list does not grow for ever, and a reader can tell what it has missed.
#[test]
fn log_keeps_the_last_64_changes() {
    let (_clock, limiter) = limiter();
    for _ in 0..50 {
        let _ = limiter.set_ceiling(3);
        let _ = limiter.set_ceiling(2);
    }
    let changes = limiter.changes();
    assert_eq!(changes.len(), 64);
    let numbers: Vec<_> = changes.iter().map(|change| change.number).collect();
    assert_eq!(numbers, (37..=100).collect::<Vec<_>>());
    let stats = stats(&limiter);
    assert_eq!((stats.raised, stats.lowered), (50, 50));
}

/// Waiting for idleness is no request.
#[test]
fn other_waits_are_not_counted() {
    let (_clock, limiter) = limiter();
    let held = take_all(&limiter);
    let mut idle = Task::start(limiter.wait());
    drop(held);
    assert!(idle.run());
    assert_eq!(stats(&limiter).waited, 0);
}

#[test]
fn clock_that_panics_costs_no_permit() {
    let broken = Arc::new(AtomicBool::new(false));
    let limiter = Limiter::builder("stats").ceiling(1).clock(Broken(broken.clone()));
    let limiter = limiter.build().unwrap();
    let held = limiter.try_acquire().unwrap();
    let mut waiter = request(&limiter, 1);
    drop(held);
    broken.store(true, Relaxed);
    // It is granted now, and asks how long it has waited.
    catch_unwind(AssertUnwindSafe(|| waiter.poll())).unwrap_err();
    drop(waiter);
    assert_eq!((limiter.in_flight(), limiter.waiting()), (0, 0));
    drop(limiter.try_acquire().unwrap());
}
