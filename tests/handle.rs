//! What keeps a limiter alive: handles, and the owned permits, requests and waits that hold one.

#![cfg(feature = "std")]

mod common;

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use common::{Task, assert_at_rest, must_end, until, waiter};
use grmgr::{
    AcquireError, AcquireOwned, Handle, Limiter, OwnedPermit, Permit, TryAcquireError, WaitOwned,
};

static STATIC: Limiter = Limiter::const_new("handle", 2);
/// A handle can be a static itself.
static HANDLE: Handle = STATIC.handle();

fn new(ceiling: usize) -> Handle {
    Limiter::new("handle", ceiling).into()
}

#[test]
fn handle_is_made_of_whatever_keeps_a_limiter() {
    let shared = Arc::new(Limiter::new("shared", 1));
    let handles: [Handle; 7] = [
        Limiter::new("value", 1).into(),
        shared.clone().into(),
        (&shared).into(),
        (&STATIC).into(),
        STATIC.handle(),
        HANDLE.clone(),
        (&HANDLE).into(),
    ];
    let names = handles.each_ref().map(|handle| handle.name());
    assert_eq!(names, ["value", "shared", "shared", "handle", "handle", "handle", "handle"]);
    assert!(std::ptr::eq(&*handles[1], &*shared) && std::ptr::eq(&*handles[3], &STATIC));
    assert_eq!(handles[6], HANDLE);
}

/// Neither the name nor the way in which it is kept.
#[test]
fn handles_are_equal_if_their_limiter_is_the_same() {
    let (a, b) = (new(2), new(2));
    assert_eq!(a, a.clone());
    assert_ne!(a, b);
    assert_ne!(a, HANDLE);
    assert_eq!(HANDLE, Handle::from(&STATIC));
}

/// As they are equal: by the limiter, not by its name.
#[test]
#[allow(clippy::mutable_key_type, reason = "a handle compares and hashes by identity")]
fn handles_are_keys_of_a_map() {
    let (a, b) = (new(2), new(2));
    let mut seen = HashSet::from([a.clone(), HANDLE.clone()]);
    assert!(!seen.insert(a) && !seen.insert(Handle::from(&STATIC)));
    let hasher = RandomState::new();
    assert_ne!(hasher.hash_one(&b), hasher.hash_one(&HANDLE));
    assert!(seen.insert(b));
}

#[test]
fn handle_does_all_that_a_limiter_does() {
    let handle = new(2);
    let permit: Permit<'_> = handle.try_acquire().unwrap();
    let _ = handle.set_ceiling(1);
    assert_eq!((handle.ceiling(), handle.in_flight(), handle.available()), (1, 1, 0));
    let waiting = waiter(&handle, 1);
    drop(permit);
    drop(waiting.granted());
    assert_at_rest(&handle);
    assert!(format!("{handle:?}").contains("handle"));
}

/// All ways to an owned permit, of a handle, an `Arc` and a `static`.
#[test]
fn owned_permits_come_from_handles_arcs_and_statics() {
    fn permits(handle: &Handle) -> Vec<OwnedPermit> {
        vec![
            handle.try_acquire_owned().unwrap(),
            handle.try_acquire_many_owned(2).unwrap(),
            Task::start(handle.acquire_owned()).output().unwrap(),
            Task::start(handle.acquire_many_owned(2)).output().unwrap(),
            handle.acquire_owned_blocking().unwrap(),
            handle.acquire_many_owned(0).blocking().unwrap(),
        ]
    }
    static LARGE: Limiter = Limiter::const_new("large", 100);
    let shared = Arc::new(Limiter::new("shared", 100));
    let of_arc = vec![
        shared.try_acquire_owned().unwrap(),
        shared.try_acquire_many_owned(2).unwrap(),
        Task::start(shared.acquire_owned()).output().unwrap(),
        Task::start(shared.acquire_many_owned(2)).output().unwrap(),
        shared.acquire_owned_blocking().unwrap(),
        shared.acquire_many_owned(0).blocking().unwrap(),
    ];
    let own = new(100);
    for (handle, permits) in [
        (own.clone(), permits(&own)),
        (shared.into(), of_arc),
        (LARGE.handle(), permits(&LARGE.handle())),
    ] {
        assert_eq!(handle.in_flight(), 7);
        assert_eq!(
            permits.iter().map(|permit| permit.count()).collect::<Vec<_>>(),
            [1, 2, 1, 2, 1, 0]
        );
        assert!(permits.iter().all(|permit| *permit.limiter() == handle));
        std::thread::spawn(move || drop(permits)).join().unwrap();
        assert_at_rest(&handle);
    }
}

/// Nothing is cloned, and nothing is lost where it is refused.
#[test]
fn handle_becomes_the_guard_or_comes_back() {
    let handle = new(2);
    let weak = handle.downgrade();
    let permit = handle.try_into_permit(2).unwrap();
    let handle = permit.limiter().clone();
    let back = handle.clone().try_into_permit(1).unwrap_err();
    assert_eq!((&back, back.in_flight(), back.waiting()), (&handle, 2, 0));
    drop(permit);
    for (n, why) in [(3, "more than there will ever be"), (usize::MAX, "the same")] {
        assert_eq!(handle.clone().try_into_permit(n).unwrap_err(), handle, "{why}");
    }
    assert_eq!(handle.clone().try_into_permit(0).unwrap().count(), 0);
    assert_at_rest(&handle);
    handle.close();
    assert_eq!(handle.clone().try_into_permit(0).unwrap_err(), handle);
    drop((handle, back));
    assert_eq!(weak.upgrade(), None, "all handles are gone");
    assert_eq!(STATIC.handle().try_into_permit(1).unwrap().limiter(), &STATIC.handle());
}

#[test]
fn borrowed_permit_gives_the_limiter_for_as_long_as_it_was_borrowed() {
    fn outlives<'a>(permit: Permit<'a>) -> &'a Limiter {
        permit.limiter()
    }
    let limiter = Limiter::new("handle", 1);
    assert!(std::ptr::eq(outlives(limiter.try_acquire().unwrap()), &limiter));
    let of_static: &'static Limiter = outlives(STATIC.acquire_blocking().unwrap());
    assert!(std::ptr::eq(of_static, &STATIC));
}

/// Whatever is called owned, and nothing else.
#[test]
fn limiter_lives_as_long_as_anything_owned() {
    type Keeper = fn(&Handle) -> Box<dyn Send>;
    let keepers: [Keeper; 5] = [
        |handle| Box::new(handle.clone()),
        |handle| Box::new(handle.try_acquire_owned().unwrap()),
        |handle| Box::new(handle.acquire_owned()),
        |handle| Box::new(handle.wait_owned()),
        |handle| Box::new(handle.run_owned(async {})),
    ];
    for (i, keeper) in keepers.into_iter().enumerate() {
        let handle = new(1);
        let weak = handle.downgrade();
        let keeper = keeper(&handle);
        drop(handle);
        assert!(weak.upgrade().is_some(), "keeper {i}");
        drop(keeper);
        assert!(weak.upgrade().is_none(), "keeper {i}");
    }
    // A request that was refused, or answered, keeps nothing.
    let handle = new(1);
    let weak = handle.downgrade();
    let mut request = Task::start(handle.acquire_many_owned(2));
    assert!(request.take().unwrap().is_err());
    drop(handle.try_acquire_owned().unwrap());
    drop(handle);
    assert!(weak.upgrade().is_none());
}

#[test]
fn weak_handle_gives_back_its_own_limiter() {
    let (a, b) = (new(1), new(1));
    assert_eq!(a.downgrade().upgrade().as_ref(), Some(&a));
    assert_ne!(a.downgrade().upgrade().as_ref(), Some(&b));
    assert_eq!(STATIC.handle().downgrade().upgrade(), Some(HANDLE.clone()));
    let weak = a.downgrade();
    assert!(format!("{weak:?}").contains("handle"));
    a.close();
    assert!(weak.upgrade().is_some_and(|a| a.is_closed()));
}

/// I4, I10: the owned stand in the same line as the borrowed.
#[test]
fn owned_requests_wait_in_line() {
    let handle = new(1);
    let held = handle.try_acquire_owned().unwrap();
    assert_eq!(handle.try_acquire_owned().unwrap_err(), TryAcquireError::NoPermits);
    let mut first: Task<AcquireOwned> = Task::start(handle.acquire_owned());
    let second = waiter(&handle, 1);
    drop(held);
    assert!(!second.is_woken() && first.run());
    drop(first);
    drop(second.granted());
    assert_at_rest(&handle);
    handle.close();
    assert_eq!(handle.acquire_owned_blocking().unwrap_err(), AcquireError::Closed);
}

/// I11.
#[test]
fn owned_wait_ends_when_the_limiter_is_idle() {
    must_end(|| {
        let handle = new(1);
        let permit = handle.try_acquire_owned().unwrap();
        let mut idle: Task<WaitOwned> = Task::start(handle.wait_owned());
        let shared = Arc::new(Limiter::new("shared", 1));
        assert!(Task::start(shared.wait_owned()).is_done());
        assert!(!handle.wait_owned().blocking_timeout(std::time::Duration::ZERO));
        let waiting = {
            let wait = handle.wait_owned();
            std::thread::spawn(move || wait.blocking())
        };
        drop(handle);
        assert!(!idle.poll());
        drop(permit);
        assert!(idle.run());
        until(|| waiting.is_finished());
        waiting.join().unwrap();
    });
}
