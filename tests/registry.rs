//! Limiters by name, and all of them at once.

#![cfg(feature = "std")]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex};
use std::task::{Wake, Waker};
use std::time::Duration;

use common::{Task, must_end, panic_of, take_all, waiter, waiters};
use grmgr::Adjustment::{Changed, Held, Unchanged};
use grmgr::{AcquireError, Adjust, Clock, Handle, Limiter, ManualClock, NameTaken, Registry};

fn add(registry: &Registry, name: &'static str, ceiling: usize) -> Handle {
    registry.register(Limiter::new(name, ceiling)).unwrap()
}

#[test]
fn limiters_are_found_by_their_names() {
    let registry = Registry::new();
    assert!(registry.names().is_empty() && registry.get("db").is_none());
    let db = add(&registry, "db", 5);
    let api = Handle::from(Limiter::new(String::from("api"), 3));
    assert!(registry.register(api.clone()).unwrap() == api);
    assert_eq!(registry.get("db").unwrap(), db);
    assert_eq!(registry.get("api").unwrap(), api);
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
    let second = Handle::from(Limiter::new("db", 7));
    let error = registry.register(second.clone()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a limiter named \"db\" is registered already: choose another name, or delete that one \
         first"
    );
    let NameTaken(back) = error;
    assert!(back == second && !back.is_closed());
    drop(back.try_acquire_many(7).unwrap());
    assert_eq!(registry.get("db").unwrap(), first);
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
    assert!(deleted == db && db.is_closed());
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
    let results = |adjusted: Vec<(Handle, _)>| {
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
        results(registry.adjust_all(Adjust::To(7), String::from("any text"))),
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
    assert_eq!(Registry::global().get("registry.rs").unwrap(), limiter);
}

#[test]
fn registry_keeps_its_limiters_alive_until_deleted() {
    let registry = Registry::new();
    let gone = add(&registry, "db", 1).downgrade();
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

/// No lock is held while a waiter is woken.
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

static STATIC: Limiter = Limiter::const_new("static", 2);

#[test]
fn static_limiter_is_registered_and_acts_with_the_others() {
    let registry = Registry::new();
    let clock = ManualClock::new();
    let own = Limiter::builder("own").ceiling(4).clock(clock).build().unwrap();
    let own = registry.register(own).unwrap();
    let handle = registry.register(&STATIC).unwrap();
    assert!(std::ptr::eq(&*handle, &STATIC));
    assert_eq!(registry.register(STATIC.handle()).unwrap_err().0, handle);
    assert_eq!(registry.limiters(), [own, handle.clone()]);
    let permit = registry.get("static").unwrap().try_acquire_owned().unwrap();
    assert_eq!((STATIC.in_flight(), registry.snapshots()[1].in_flight), (1, 1));
    drop(permit);
    let _ = registry.adjust_all(Adjust::To(1), "test");
    assert_eq!(STATIC.ceiling(), 1);
    registry.delete("static");
    assert!(STATIC.is_closed() && registry.len() == 1);
}

#[test]
fn registry_counts_and_lists_its_limiters_in_order() {
    let registry = Registry::new();
    assert!(registry.is_empty() && registry.limiters().is_empty());
    let [c, a, b] = ["c", "a", "b"].map(|name| add(&registry, name, 1));
    assert_eq!(registry.limiters(), [a, b.clone(), c]);
    assert_eq!((registry.len(), registry.is_empty()), (3, false));
    assert_eq!(registry.remove("b"), Some(b));
    assert_eq!(registry.len(), 2);
}

#[test]
fn removed_limiter_goes_on_working_and_its_name_is_free() {
    let registry = Registry::new();
    let old = add(&registry, "db", 1);
    let held = old.try_acquire().unwrap();
    let waiting = waiter(&old, 1);
    assert_eq!(registry.remove("db").as_ref(), Some(&old));
    assert_eq!((registry.remove("db"), registry.get("db")), (None, None));
    assert_ne!(add(&registry, "db", 1), old);
    drop(held);
    drop(waiting.granted());
    common::assert_at_rest(&old);
}

#[test]
fn limiter_is_made_once_and_found_from_then_on() {
    let registry = Registry::new();
    let name = String::from("tenant");
    let made = registry.get_or_register_with(&name, || Limiter::new(name.clone(), 3));
    let again = registry.get_or_register_with(&name, || panic!("it is there"));
    assert_eq!((made.ceiling(), again), (3, made.clone()));
    assert_eq!(registry.get("tenant"), Some(made));
}

/// All get the same, however many make one at the same time; the others are dropped.
#[test]
fn many_calls_at_once_get_one_limiter() {
    must_end(|| {
        const THREADS: usize = 4;
        for round in 0..100 {
            let registry = Registry::new();
            let all_make = Barrier::new(THREADS);
            let made = Mutex::new(Vec::new());
            let got = std::thread::scope(|scope| {
                let threads = [(); THREADS].map(|()| {
                    scope.spawn(|| {
                        registry.get_or_register_with("one", || {
                            // None is registered yet when the last call begins to make it.
                            all_make.wait();
                            let alive = Arc::new(());
                            made.lock().unwrap().push(Arc::downgrade(&alive));
                            let clock = KeepsAlive(alive);
                            Limiter::builder("one").ceiling(1).clock(clock).build().unwrap()
                        })
                    })
                });
                threads.map(|thread| thread.join().unwrap())
            });
            assert!(got.iter().all(|handle| *handle == got[0]), "round {round}");
            assert_eq!(registry.limiters(), [got[0].clone()]);
            let alive = made.lock().unwrap().iter().filter(|weak| weak.upgrade().is_some()).count();
            assert_eq!((made.lock().unwrap().len(), alive), (THREADS, 1));
        }
    });
}

struct KeepsAlive(#[allow(dead_code, reason = "dropped with the limiter")] Arc<()>);

impl Clock for KeepsAlive {
    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

#[test]
fn making_a_limiter_may_use_the_registry() {
    must_end(|| {
        let registry = Registry::new();
        let outer = registry.get_or_register_with("outer", || {
            let inner = registry.get_or_register_with("inner", || Limiter::new("inner", 2));
            assert_eq!((registry.len(), registry.remove_idle()), (1, 0));
            Limiter::new("outer", inner.ceiling())
        });
        assert_eq!(outer.ceiling(), 2);
        assert_eq!(registry.names(), ["inner", "outer"]);
    });
}

/// Its own name may have been taken meanwhile, by itself.
#[test]
fn limiter_registered_while_it_is_made_is_the_one() {
    let registry = Registry::new();
    let mut first = None;
    let got = registry.get_or_register_with("db", || {
        first = Some(add(&registry, "db", 1));
        Limiter::new("db", 2)
    });
    assert_eq!(Some(got), first);
}

#[test]
fn panic_while_making_a_limiter_leaves_nothing_behind() {
    let registry = Registry::new();
    let message = panic_of(|| registry.get_or_register_with("db", || panic!("on purpose")));
    assert_eq!(message, "on purpose");
    assert!(registry.is_empty());
    assert_eq!(registry.get_or_register_with("db", || Limiter::new("db", 2)).ceiling(), 2);
}

/// I14.
#[test]
fn limiter_made_with_another_name_is_not_registered() {
    let registry = Registry::new();
    let message = panic_of(|| registry.get_or_register_with("acme", || Limiter::new("initech", 2)));
    assert_eq!(
        message,
        "get_or_register_with(\"acme\", …) was given a limiter named \"initech\": make one with the \
         name that is asked for"
    );
    assert!(registry.is_empty());
}

/// Whatever keeps a limiter: the registry must not let it go.
#[test]
fn only_what_nothing_else_keeps_is_evicted() {
    let evictions: [fn(&Registry); 2] =
        [|registry| _ = registry.remove_idle(), |registry| registry.retain(|_| false)];
    for evict in evictions {
        let registry = Registry::new();
        let keepers: Vec<Box<dyn std::any::Any>> = vec![
            Box::new(add(&registry, "handle", 1)),
            Box::new(add(&registry, "permit", 1).try_acquire_owned().unwrap()),
            Box::new(add(&registry, "no permits", 1).try_acquire_many_owned(0).unwrap()),
            Box::new(add(&registry, "request", 1).acquire_owned()),
            Box::new(add(&registry, "wait", 1).wait_owned()),
            Box::new(add(&registry, "run", 1).run_owned(async {})),
        ];
        add(&registry, "forgotten", 2).try_acquire_many(2).unwrap().forget();
        drop(registry.register(&UNUSED_STATIC).unwrap());
        let evicted = ["closed", "idle", "paused"];
        for name in evicted {
            add(&registry, name, 1);
        }
        registry.get("closed").unwrap().close();
        registry.get("paused").unwrap().pause();
        let weak = registry.get("idle").unwrap().downgrade();

        evict(&registry);
        let kept =
            ["forgotten", "handle", "no permits", "permit", "request", "run", "unused", "wait"];
        assert_eq!(registry.names(), kept);
        assert!(weak.upgrade().is_none(), "it is gone for good");
        assert!(registry.limiters().iter().all(|limiter| !limiter.is_closed()));

        drop(keepers);
        registry.get("forgotten").unwrap().done();
        evict(&registry);
        assert_eq!(registry.names(), ["forgotten", "unused"]);
        registry.get("forgotten").unwrap().done();
        evict(&registry);
        assert_eq!(registry.names(), ["unused"]);
    }
}

static UNUSED_STATIC: Limiter = Limiter::const_new("unused", 1);

#[test]
fn remove_idle_tells_how_many_it_has_evicted() {
    let registry = Registry::new();
    assert_eq!(registry.remove_idle(), 0);
    let _kept = add(&registry, "a", 1);
    for name in ["b", "c"] {
        add(&registry, name, 1);
    }
    assert_eq!((registry.remove_idle(), registry.remove_idle()), (2, 0));
}

#[test]
fn retain_asks_for_each_in_order_and_evicts_what_is_refused() {
    let registry = Registry::new();
    for name in ["b", "d", "a", "c"] {
        add(&registry, name, 1);
    }
    let mut asked = Vec::new();
    registry.retain(|limiter| {
        asked.push(limiter.name().to_owned());
        limiter.name() < "c"
    });
    assert_eq!(asked, ["a", "b", "c", "d"]);
    assert_eq!(registry.names(), ["a", "b"]);
}

/// What it does to the registry itself stays done; what it keeps stays registered.
#[test]
fn retain_may_use_the_registry() {
    must_end(|| {
        let registry = Registry::new();
        for name in ["a", "b", "c", "d"] {
            add(&registry, name, 1);
        }
        let mut kept = None;
        registry.retain(|limiter| {
            match limiter.name() {
                "a" => drop(add(&registry, "new", 1)),
                // Another of the same name takes its place: that one was not asked for.
                "b" => {
                    drop(registry.remove("b"));
                    add(&registry, "b", 2);
                }
                "c" => kept = registry.get("c"),
                _ => assert_eq!(registry.remove_idle(), 2, "the new one, and the new b"),
            }
            false
        });
        assert_eq!(registry.limiters(), [kept.unwrap()]);

        let registry = Registry::new();
        add(&registry, "b", 1);
        registry.retain(|_| {
            drop(registry.remove("b"));
            add(&registry, "b", 2);
            false
        });
        assert_eq!(registry.get("b").unwrap().ceiling(), 2, "it is another one");
    });
}

#[test]
fn retain_that_panics_leaves_the_rest_alone() {
    let registry = Registry::new();
    for name in ["a", "b", "c"] {
        add(&registry, name, 1);
    }
    panic_of(|| registry.retain(|limiter| limiter.name() != "a" && panic!("on purpose")));
    assert_eq!(registry.names(), ["b", "c"]);
    assert_eq!(registry.remove_idle(), 2);
}

/// A limiter is dropped when the registry is not locked: its clock is the user's code.
#[test]
fn clock_dropped_with_an_evicted_limiter_may_use_the_registry() {
    struct Uses(Arc<Registry>);
    impl Clock for Uses {
        fn now(&self) -> Duration {
            Duration::ZERO
        }
    }
    impl Drop for Uses {
        fn drop(&mut self) {
            self.0.get_or_register_with("dropped", || Limiter::new("dropped", 1));
        }
    }
    must_end(|| {
        let registry = Arc::new(Registry::new());
        let make = || {
            let clock = Uses(registry.clone());
            Limiter::builder("a").ceiling(1).clock(clock).build().unwrap()
        };
        let was_dropped = || registry.delete("dropped").is_some();
        registry.get_or_register_with("a", make);
        assert!(registry.remove_idle() == 1 && was_dropped());
        registry.get_or_register_with("a", make);
        registry.retain(|_| false);
        assert!(was_dropped());
        registry.get_or_register_with("a", make);
        drop(registry.remove("a"));
        assert!(was_dropped());
        registry.get_or_register_with("a", make);
        drop(registry.register(make()).unwrap_err());
        assert!(was_dropped());
        // One that comes too late.
        registry.remove("a");
        registry.delete("dropped");
        registry.get_or_register_with("a", || {
            registry.get_or_register_with("a", || Limiter::new("a", 1));
            make()
        });
        assert!(was_dropped());
    });
}

/// A name's limiter is evicted only when nothing could still ask it, so no request ever meets one that
/// is closed, or another beside it (I1).
#[test]
fn eviction_beside_acquires_costs_nobody_a_permit() {
    const THREADS: usize = 4;
    const KEYS: [&str; 8] = ["0", "1", "2", "3", "4", "5", "6", "7"];
    const CEILING: usize = 1;
    const EACH: usize = 50_000;
    must_end(|| {
        let registry = Registry::new();
        let in_use = [(); KEYS.len()].map(|()| AtomicUsize::new(0));
        let (made, evicted, ended) =
            (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (registry, in_use, made, evicted, ended) =
                    (&registry, &in_use, &made, &evicted, &ended);
                scope.spawn(move || {
                    for i in 0..EACH {
                        // Two and two are after the same.
                        let key = (i / 16 + thread / 2 * 4) % KEYS.len();
                        let handle = registry.get_or_register_with(KEYS[key], || {
                            made.fetch_add(1, SeqCst);
                            Limiter::new(KEYS[key], CEILING)
                        });
                        let permit = match i % 3 {
                            0 => handle.acquire_owned_blocking(),
                            1 => handle.acquire_owned().blocking_timeout(Duration::from_secs(60)),
                            _ => Ok(smol::block_on(handle.acquire_owned()).unwrap()),
                        };
                        drop(handle);
                        let permit = permit.expect("no eviction closes anything");
                        let registered = registry.get(KEYS[key]);
                        assert_eq!(registered.as_ref(), Some(permit.limiter()), "it is in use");
                        drop(registered);
                        let used = in_use[key].fetch_add(1, SeqCst) + 1;
                        assert!(used <= CEILING, "{used} in use of {key}");
                        if i % 32 == 0 {
                            std::thread::yield_now();
                        }
                        in_use[key].fetch_sub(1, SeqCst);
                        drop(permit);
                        match i % 50 {
                            0 => drop(evicted.fetch_add(registry.remove_idle(), SeqCst)),
                            25 => registry.retain(|limiter| limiter.name() != KEYS[key]),
                            _ => {}
                        }
                    }
                    ended.fetch_add(1, SeqCst);
                });
            }
            // And one that does nothing else.
            scope.spawn(|| {
                while ended.load(SeqCst) < THREADS {
                    evicted.fetch_add(registry.remove_idle(), SeqCst);
                    std::thread::yield_now();
                }
            });
        });
        assert!(evicted.load(SeqCst) > KEYS.len() && made.load(SeqCst) > KEYS.len());
        registry.remove_idle();
        assert!(registry.is_empty());
    });
}

/// In all, not for each.
#[test]
fn wait_for_all_may_be_given_up() {
    must_end(|| {
        let registry = Registry::new();
        assert!(registry.wait_all_blocking_timeout(Duration::ZERO));
        let [a, b] = ["a", "b"].map(|name| add(&registry, name, 1));
        assert!(registry.wait_all_blocking_timeout(Duration::ZERO));
        for stuck in [&a, &b] {
            let held = stuck.try_acquire().unwrap();
            assert!(!registry.wait_all_blocking_timeout(Duration::from_millis(1)));
            drop(held);
        }
        std::thread::scope(|scope| {
            let held = (a.try_acquire().unwrap(), b.try_acquire().unwrap());
            let waiting = scope.spawn(|| registry.wait_all_blocking_timeout(Duration::MAX));
            drop(held);
            assert!(waiting.join().unwrap());
        });
    });
}
