//! What a waker may do while it is woken, and what becomes of it (I3, I12).

#![cfg(feature = "std")]

mod common;

use std::sync::{Arc, Barrier, Mutex};
use std::task::{Wake, Waker};
use std::time::Duration;

use common::{Task, assert_at_rest, must_end, request, waiter, waiters};
use grmgr::{AcquireError, Limiter, OwnedPermit};

struct Scene {
    limiter: Arc<Limiter>,
    /// Permits for wakers to release.
    stash: Mutex<Vec<OwnedPermit>>,
}

/// Four are in flight, two guards, one in the stash and one forgotten. Six waiters and two that
/// wait for idleness do `action` inside `wake`, whenever they are woken: as head, on the way to
/// the front, handed a permit, and told that it is idle. In the end all must have been served, or
/// refused because the action closes.
fn everybody_does(action: impl Fn(&Scene) + Clone + Send + Sync + 'static) {
    for (patience, large) in [(0, 1), (16, 1), (1, 2)] {
        let action = action.clone();
        must_end(move || {
            let limiter = Limiter::builder("wakers").ceiling(4).max(6).patience(patience);
            let limiter = Arc::new(limiter.hold(Duration::ZERO).build().unwrap());
            let mut held: Vec<_> = (0..3).map(|_| limiter.try_acquire_owned().unwrap()).collect();
            limiter.try_acquire().unwrap().forget();
            let stash = Mutex::new(Vec::from_iter(held.pop()));
            let scene = Arc::new(Scene { limiter: limiter.clone(), stash });
            let hook = || {
                let (scene, action) = (scene.clone(), action.clone());
                move || action(&scene)
            };

            let mut line = [1, 1, large, 1, 1, 1].map(|n| waiter(&limiter, n));
            line.iter().for_each(|task| task.on_wake(hook()));
            let mut idle = [(); 2].map(|()| Task::start(limiter.wait()));
            idle.iter().for_each(|task| task.on_wake(hook()));

            let mut serve = || {
                while line.iter().any(Task::is_woken) {
                    for task in &mut line {
                        task.run();
                    }
                    for task in &mut line {
                        if let Some(result) = task.take() {
                            assert!(result.is_ok() || limiter.is_closed());
                        }
                    }
                }
                line.iter().all(Task::is_done)
            };
            while held.pop().is_some() {
                serve();
            }
            // One at a time: the lock is not held while it is released.
            while let Some(permit) = { scene.stash.lock().unwrap().pop() } {
                drop(permit);
                serve();
            }
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| limiter.done()));
            assert!(serve(), "a waiter was not woken: {limiter:?}");
            for task in &mut idle {
                assert!(task.run(), "idleness was not told: {limiter:?}");
            }
            scene.stash.lock().unwrap().clear();
            assert_at_rest(&limiter);
        });
    }
}

#[test]
fn wakers_may_read() {
    everybody_does(|scene| {
        let snapshot = scene.limiter.snapshot();
        assert!(snapshot.in_flight <= snapshot.ceiling);
        let _ = format!("{:?}", scene.limiter);
        assert!(scene.limiter.waiting() <= 6);
    });
}

#[test]
fn wakers_may_take_and_release() {
    everybody_does(|scene| drop(scene.limiter.try_acquire()));
    everybody_does(|scene| drop(scene.limiter.try_acquire_many(2)));
    everybody_does(|scene| drop(request(&scene.limiter, 0)));
}

#[test]
fn wakers_may_take_and_keep_for_a_while() {
    everybody_does(|scene| {
        let permit = scene.limiter.try_acquire_owned();
        let before = std::mem::replace(&mut *scene.stash.lock().unwrap(), Vec::from_iter(permit));
        drop(before);
    });
}

#[test]
fn wakers_may_release() {
    everybody_does(|scene| {
        let permit = scene.stash.lock().unwrap().pop();
        drop(permit);
    });
}

#[test]
fn wakers_may_call_done() {
    everybody_does(|scene| {
        if let Ok(permit) = scene.limiter.try_acquire() {
            permit.forget();
            scene.limiter.done();
        }
    });
}

#[test]
fn wakers_may_raise_and_lower() {
    everybody_does(|scene| {
        let _ = scene.limiter.up();
    });
    everybody_does(|scene| {
        let _ = scene.limiter.down();
    });
    everybody_does(|scene| {
        let _ = scene.limiter.set_ceiling(1);
        let _ = scene.limiter.set_ceiling(6);
    });
}

#[test]
fn wakers_may_pause_and_resume() {
    everybody_does(|scene| {
        scene.limiter.pause();
        scene.limiter.resume();
    });
}

#[test]
fn wakers_may_close() {
    everybody_does(|scene| scene.limiter.close());
}

/// Only waiting for the same limiter is excluded.
#[test]
fn wakers_may_wait_for_another_limiter() {
    let other = Arc::new(Limiter::new("other", 1));
    let held = other.clone().try_acquire_owned().unwrap();
    let waits = other.clone();
    everybody_does(move |_| {
        let [first, second] = waiters(&waits);
        drop((second, first));
    });
    drop(held);
    assert_at_rest(&other);
}

/// A task that is done, or gone, is not kept alive by the limiter it had waited for.
#[test]
fn waker_is_dropped_with_its_place_in_line() {
    let [limiter, other] = [2, 1].map(|ceiling| Limiter::new("wakers", ceiling));
    let held = (common::take_all(&limiter), common::take_all(&other));
    let [mut head, mut handed, mut queued, cancelled] = waiters(&limiter);
    let [cancelled_head] = waiters(&other);
    let mut idle = Task::start(limiter.wait());
    let cancelled_idle = Task::start(limiter.wait());
    for task in [&head, &handed, &queued, &cancelled, &cancelled_head] {
        assert_eq!(task.wakers_kept(), 1);
    }
    assert_eq!(idle.wakers_kept(), 1);

    assert_eq!(cancelled.cancel(), 0);
    assert_eq!(cancelled_head.cancel(), 0);
    assert_eq!(cancelled_idle.cancel(), 0);
    drop(held);
    assert!(head.run() && handed.run());
    assert_eq!((head.wakers_kept(), handed.wakers_kept()), (0, 0));
    drop((head, handed));
    assert!(queued.run());
    assert_eq!(queued.wakers_kept(), 0);
    drop(queued);
    assert!(idle.run());
    assert_eq!(idle.wakers_kept(), 0);
}

/// The same for a head that finds its permit before it is woken, and for those that are refused.
#[test]
fn waker_is_dropped_however_the_wait_ends() {
    let limiter = Limiter::new("wakers", 1);
    limiter.pause();
    let [mut head] = waiters(&limiter);
    limiter.resume();
    // Called, lost, and called again: it registers once more.
    let barger = limiter.try_acquire().unwrap();
    assert!(!head.run());
    assert_eq!(head.wakers_kept(), 1);
    drop(barger);
    assert!(head.poll());
    assert_eq!(head.wakers_kept(), 0);
    drop(head);

    let held = limiter.try_acquire().unwrap();
    let line = waiters::<3>(&limiter);
    limiter.close();
    for mut task in line {
        assert!(task.run());
        assert_eq!(task.wakers_kept(), 0);
        assert_eq!(task.take().unwrap().unwrap_err(), AcquireError::Closed);
    }
    drop(held);
}

/// A future that moves from task to task.
#[test]
fn only_the_last_waker_is_woken() {
    let limiter = Limiter::new("wakers", 1);
    let held = limiter.try_acquire().unwrap();
    let [mut head, mut queued] = waiters(&limiter);
    let mut idle = Task::start(limiter.wait());
    let [second, third] = [(); 2].map(|()| Arc::new(common::Wakes::default()));
    for wakes in [&second, &third] {
        let waker = Waker::from(wakes.clone());
        assert!(!head.poll_with(&waker) && !queued.poll_with(&waker) && !idle.poll_with(&waker));
    }
    // None of the former ones is kept.
    assert_eq!((head.wakers_kept(), queued.wakers_kept(), idle.wakers_kept()), (0, 0, 0));
    assert_eq!(Arc::strong_count(&second), 1);
    drop(held);
    assert_eq!(third.count(), 1, "the head");
    assert!(head.poll());
    drop(head);
    assert_eq!(third.count(), 2, "the next in line");
    assert!(queued.poll());
    drop(queued);
    assert_eq!(third.count(), 3, "the one that waits for idleness");
    assert!(idle.poll());
    assert_eq!(second.count(), 0);
    assert_eq!(Arc::strong_count(&third), 1);
}

/// Runs `action` on another thread while the waker of `task` runs.
fn meanwhile<F: Future>(task: &Task<F>, action: impl FnOnce() + Send, wake: impl FnOnce()) {
    let woken = Arc::new(Barrier::new(2));
    task.on_wake({
        let woken = woken.clone();
        move || {
            woken.wait();
            // It goes on when the other thread is done.
            woken.wait();
        }
    });
    std::thread::scope(|scope| {
        scope.spawn(|| {
            woken.wait();
            action();
            woken.wait();
        });
        wake();
    });
}

/// A future moves to another task while a waiter is called ...
#[test]
fn waker_replaced_while_others_are_called_is_woken() {
    must_end(|| {
        let limiter = Limiter::new("wakers", 2);
        let [first, second] = [(); 2].map(|()| limiter.try_acquire().unwrap());
        let [head, handed, mut queued] = waiters(&limiter);
        let wakes = Arc::new(common::Wakes::default());
        let waker = Waker::from(wakes.clone());
        drop(first);
        let replace = || assert!(!queued.poll_with(&waker));
        meanwhile(&handed, replace, || drop(second));
        // It may have been told to try again.
        let before = wakes.count();
        if before > 0 {
            assert!(!queued.poll_with(&waker));
        }
        drop((head.granted(), handed.granted()));
        assert!(wakes.count() > before, "the former waker was woken (I3)");
        assert!(queued.poll());
        drop(queued);
        assert_at_rest(&limiter);
    });
}

/// ... and a wait for idleness begins while others are told of it.
#[test]
fn wait_begun_while_others_are_told_ends() {
    must_end(|| {
        let limiter = Limiter::new("wakers", 1);
        let held = limiter.try_acquire().unwrap();
        let idle = Task::start(limiter.wait());
        let mut late = Task::new(limiter.wait());
        let begin = || assert!(!late.poll());
        meanwhile(&idle, begin, || drop(held));
        assert!(late.is_done() || late.run(), "it is not told (I11)");
        assert_at_rest(&limiter);
    });
}

/// A task that owns a permit, and dies with the last of its wakers.
struct Owner {
    _permit: OwnedPermit,
}

impl Wake for Owner {
    fn wake(self: Arc<Self>) {}
}

/// tokio#5429: the last reference to a task may be a waker that the limiter keeps, and replaces.
/// Here by the head, which finds what is released thereby ...
#[test]
fn waker_replaced_by_the_head_may_release_permits() {
    must_end(|| {
        let limiter = Arc::new(Limiter::new("wakers", 2));
        let owned = limiter.try_acquire_many_owned(2).unwrap();
        let [mut head, queued] = waiters(&limiter);
        head.poll_with(&Waker::from(Arc::new(Owner { _permit: owned })));
        assert!(head.poll());
        assert_eq!(head.wakers_kept(), 0);
        assert_eq!(limiter.in_flight(), 2);
        drop(queued.granted());
        drop(head);
        assert_at_rest(&limiter);
    });
}

/// ... by a waiter in the queue, which has others in the queue called ...
#[test]
fn waker_replaced_in_the_queue_may_release_permits() {
    must_end(|| {
        let limiter = Arc::new(Limiter::new("wakers", 3));
        let owned = limiter.try_acquire_many_owned(3).unwrap();
        let [head, mut queued, last] = waiters(&limiter);
        queued.poll_with(&Waker::from(Arc::new(Owner { _permit: owned })));
        queued.poll();
        drop([last.granted(), queued.granted(), head.granted()]);
        assert_at_rest(&limiter);
    });
}

/// ... and by one that waits for idleness, which is just what the release brings about.
#[test]
fn waker_replaced_while_waiting_for_idleness_may_release_permits() {
    must_end(|| {
        let limiter = Arc::new(Limiter::new("wakers", 1));
        let owned = limiter.try_acquire_owned().unwrap();
        let mut idle = Task::start(limiter.wait());
        let mut other = Task::start(limiter.wait());
        idle.poll_with(&Waker::from(Arc::new(Owner { _permit: owned })));
        idle.poll();
        assert!(idle.run() && other.run());
        assert_at_rest(&limiter);
    });
}

/// The same for wakers that go with their future, or with the wake-up.
#[test]
fn last_waker_may_release_a_permit_when_it_is_dropped() {
    for (place, cancel) in
        ["head", "queue", "idle"].into_iter().flat_map(|place| [(place, true), (place, false)])
    {
        must_end(move || {
            let limiter = Arc::new(Limiter::new("wakers", 2));
            let owned = limiter.try_acquire_owned().unwrap();
            let held = limiter.try_acquire().unwrap();
            let [mut head, mut queued] = waiters(&limiter);
            let mut idle = Task::start(limiter.wait());
            {
                let owner = Waker::from(Arc::new(Owner { _permit: owned }));
                assert!(!match place {
                    "head" => head.poll_with(&owner),
                    "queue" => queued.poll_with(&owner),
                    _ => idle.poll_with(&owner),
                });
            }
            match (place, cancel) {
                ("head", true) => drop(head),
                ("queue", true) => drop(queued),
                ("idle", true) => drop(idle),
                _ => {
                    drop(held);
                    head.poll();
                    drop(head);
                    queued.poll();
                    drop(queued);
                    assert_eq!(limiter.in_flight(), usize::from(place == "idle"));
                    drop(idle);
                    assert_at_rest(&limiter);
                    return;
                }
            }
            assert_eq!(limiter.in_flight(), 1);
            drop(held);
        });
    }
}

/// Each waiter that is called frees another permit while it is, and leaves the next call to the thread
/// that is calling: that thread must not go on for as long as they do.
#[test]
fn one_release_does_not_call_for_others_without_end() {
    const WAITERS: usize = 200;
    let limiter = Arc::new(Limiter::new("busy", WAITERS + 1));
    let mut held: Vec<_> = common::take_all(&limiter);
    let first = held.pop();
    held.into_iter().for_each(|permit| permit.forget());
    let mut line: Vec<_> = (0..WAITERS).map(|_| waiter(&limiter, 1)).collect();
    for task in &line {
        let limiter = limiter.clone();
        task.on_wake(move || limiter.done());
    }
    drop(first);
    let called = line.iter().filter(|task| task.is_woken()).count();
    assert!((1..=20).contains(&called), "one release has called {called} waiters");

    // The others are called by those that run.
    while line.iter().any(|task| !task.is_done()) {
        let before = line.iter().filter(|task| task.is_done()).count();
        for task in &mut line {
            if task.run() {
                drop(task.take());
            }
        }
        let done = line.iter().filter(|task| task.is_done()).count();
        assert!(done > before, "{} waiters are left, and none is woken (I3)", WAITERS - done);
    }
    drop(line);
    assert_at_rest(&limiter);
}
