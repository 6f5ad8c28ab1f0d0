//! Limiters by name, and all of them at once.

#![cfg(feature = "std")]

mod common;

use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Duration;

use common::{Task, must_end, take_all, waiter, waiters};
use grmgr::Adjustment::{Changed, Held, Unchanged};
use grmgr::{AcquireError, Adjust, Limiter, ManualClock, NameTaken, Registry};

fn add(registry: &Registry, name: &'static str, ceiling: usize) -> Arc<Limiter> {
    registry.register(Limiter::new(name, ceiling)).unwrap()
}

#[test]
fn limiters_are_found_by_their_names() {
    let registry = Registry::new();
    assert!(registry.names().is_empty() && registry.get("db").is_none());
    let db = add(&registry, "db", 5);
    let api = Arc::new(Limiter::new(String::from("api"), 3));
    assert!(Arc::ptr_eq(&registry.register(api.clone()).unwrap(), &api));
    assert!(Arc::ptr_eq(&registry.get("db").unwrap(), &db));
    assert!(Arc::ptr_eq(&registry.get("api").unwrap(), &api));
    assert!(registry.get("DB").is_none() && registry.get("").is_none());
    assert_eq!(registry.names(), ["api", "db"]);
    let _held = db.try_acquire().unwrap();
    let snapshots = registry.snapshots();
    assert_eq!(snapshots, [api.snapshot(), db.snapshot()]);
    assert_eq!(snapshots[1].in_flight, 1);
}

#[test]
fn taken_name_gives_the_limiter_back() {
    let registry = Registry::new();
    let first = add(&registry, "db", 5);
    let second = Arc::new(Limiter::new("db", 7));
    let error = registry.register(second.clone()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a limiter named \"db\" is registered already: choose another name, or delete that one \
         first"
    );
    let NameTaken(back) = error;
    assert!(Arc::ptr_eq(&back, &second) && !back.is_closed());
    drop(back.try_acquire_many(7).unwrap());
    assert!(Arc::ptr_eq(&registry.get("db").unwrap(), &first));
    // Not even twice itself.
    assert!(registry.register(first).is_err());
    assert_eq!(registry.names(), ["db"]);
}

#[test]
fn deleted_limiter_is_closed_and_its_name_free() {
    let registry = Registry::new();
    let db = add(&registry, "db", 1);
    let held = db.try_acquire().unwrap();
    let [waiting] = waiters(&db);
    let deleted = registry.delete("db").unwrap();
    assert!(Arc::ptr_eq(&deleted, &db) && db.is_closed());
    assert_eq!(waiting.refused(), AcquireError::Closed);
    assert!(registry.delete("db").is_none() && registry.get("db").is_none());
    assert!(!add(&registry, "db", 2).is_closed());
    // Done after Delete panics in the Go original.
    let idle = Task::start(deleted.wait());
    drop(held);
    assert!(idle.is_woken());
    assert!(registry.delete("unknown").is_none());
}

#[test]
fn all_go_up_and_down_together() {
    let registry = Registry::new();
    let clock = ManualClock::new();
    let build = |name: &'static str, ceiling: usize, max: usize| {
        let limiter = Limiter::builder(name).ceiling(ceiling).max(max).clock(clock.clone());
        registry.register(limiter.build().unwrap()).unwrap()
    };
    let (a, b, c) = (build("a", 4, 9), build("b", 1, 9), build("c", 9, 9));
    let results = |adjusted: Vec<(Arc<Limiter>, _)>| {
        for ((limiter, _), name) in adjusted.iter().zip(["a", "b", "c"]) {
            assert_eq!(limiter.name(), name);
        }
        adjusted.into_iter().map(|(_, result)| result).collect::<Vec<_>>()
    };
    let hold = Duration::from_secs(30);
    assert_eq!(
        results(registry.down_all()),
        [Changed { from: 4, to: 2 }, Unchanged { ceiling: 1 }, Changed { from: 9, to: 7 }]
    );
    assert_eq!(
        results(registry.up_all()),
        [Held { remaining: hold }, Changed { from: 1, to: 2 }, Held { remaining: hold }]
    );
    assert_eq!(
        results(registry.adjust_all(Adjust::To(7), "test")),
        [Changed { from: 2, to: 7 }, Changed { from: 2, to: 7 }, Unchanged { ceiling: 7 }]
    );
    assert_eq!([a, b, c].map(|limiter| limiter.ceiling()), [7, 7, 7]);
    assert!(Registry::new().up_all().is_empty());
}

/// I6: each wakes its own.
#[test]
fn up_all_wakes_the_waiters_of_each() {
    let registry = Registry::new();
    let limiters = ["a", "b"].map(|name| {
        let limiter = Limiter::builder(name).ceiling(1).max(2).build().unwrap();
        registry.register(limiter).unwrap()
    });
    let held = limiters.each_ref().map(|limiter| take_all(limiter));
    let waiting = limiters.each_ref().map(|limiter| waiter(limiter, 1));
    let _ = registry.up_all();
    for task in waiting {
        drop(task.granted());
    }
    drop(held);
}

#[test]
fn close_all_closes_each_and_keeps_it() {
    let registry = Registry::new();
    let limiters = ["a", "b"].map(|name| add(&registry, name, 1));
    let held = limiters.each_ref().map(|limiter| take_all(limiter));
    let waiting = limiters.each_ref().map(|limiter| waiter(limiter, 1));
    registry.close_all();
    for task in waiting {
        assert_eq!(task.refused(), AcquireError::Closed);
    }
    assert_eq!(registry.names(), ["a", "b"]);
    drop(held);
    registry.wait_all_blocking();
}

#[test]
fn wait_all_waits_for_each() {
    let registry = Registry::new();
    assert!(Task::start(registry.wait_all()).is_done());
    let [a, b] = ["a", "b"].map(|name| add(&registry, name, 1));
    for (first, second) in [(&a, &b), (&b, &a)] {
        let (first, second) = (first.try_acquire().unwrap(), second.try_acquire().unwrap());
        let mut all = Task::start(registry.wait_all());
        drop(first);
        assert!(!all.run());
        drop(second);
        assert!(all.run());
    }
    must_end(move || {
        std::thread::scope(|scope| {
            let held = (a.try_acquire().unwrap(), b.try_acquire().unwrap());
            let waiting = scope.spawn(|| registry.wait_all_blocking());
            drop(held);
            waiting.join().unwrap();
        });
    });
}

#[test]
fn program_shares_one_global_registry() {
    let limiter = add(Registry::global(), "registry.rs", 1);
    assert!(std::ptr::eq(Registry::global(), Registry::global()));
    assert!(Arc::ptr_eq(&Registry::global().get("registry.rs").unwrap(), &limiter));
}

#[test]
fn registry_keeps_its_limiters_alive_until_deleted() {
    let registry = Registry::new();
    let gone = Arc::downgrade(&add(&registry, "db", 1));
    assert!(gone.upgrade().is_some());
    drop(registry.delete("db"));
    assert!(gone.upgrade().is_none());
}

struct UsesRegistry(Arc<Registry>);

impl Wake for UsesRegistry {
    fn wake(self: Arc<Self>) {
        let registry = &self.0;
        let count = registry.names().len();
        assert_eq!(registry.snapshots().len(), count);
        let _ = registry.get("a");
        if let Ok(added) = registry.register(Limiter::new("woken", 1)) {
            assert!(!added.is_closed());
            registry.delete("woken");
        }
    }
}

/// No lock is held while anybody is woken.
#[test]
fn wakers_may_use_the_registry() {
    must_end(|| {
        let registry = Arc::new(Registry::new());
        let waker = Waker::from(Arc::new(UsesRegistry(registry.clone())));
        let limiter = Limiter::builder("a").ceiling(1).max(3).build().unwrap();
        let limiter = registry.register(limiter).unwrap();
        let held = take_all(&limiter);
        let mut line = waiters::<4>(&limiter);
        for task in &mut line {
            assert!(!task.poll_with(&waker));
        }
        let _ = registry.up_all();
        let _ = registry.adjust_all(Adjust::To(3), "test");
        registry.close_all();
        let mut idle = Task::new(limiter.wait());
        idle.poll_with(&waker);
        registry.delete("a");
        drop((held, line, idle));
    });
}
