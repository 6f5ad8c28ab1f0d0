//! Names and numbers that no sane program has.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use grmgr::{AcquireError, Limiter, Registry, TryAcquireError};

use crate::common::{assert_at_rest, must_end};
use crate::hooks::{Hook, Task};

const MAX: usize = Limiter::MAX_CEILING;

fn names() -> Vec<String> {
    vec![
        String::new(),
        " ".into(),
        "x".repeat(4 << 20),
        "\0\u{1b}[31m\r\n\t\u{7f}\u{202e}".into(),
        "\"quoted\" \\ {} {0} %s".into(),
        "\u{1F980}\u{0301}".into(),
    ]
}

#[test]
fn any_text_is_a_name() {
    let registry = Registry::new();
    for name in names() {
        let limiter = registry.register(Limiter::new(name.clone(), 2)).unwrap();
        assert_eq!(limiter.name(), name);
        assert_eq!(limiter.snapshot().name, name);
        assert_eq!(registry.get(&name).unwrap(), limiter);
        // Taken is taken, whatever the name looks like.
        let refused = registry.register(Limiter::new(name.clone(), 1)).unwrap_err();
        assert_eq!(refused.0.name(), name);
        assert_at_rest(&limiter);
    }
    assert_eq!(registry.names().len(), names().len());
    for name in names() {
        assert!(registry.delete(&name).unwrap().is_closed());
        assert!(registry.get(&name).is_none());
    }
    assert!(registry.names().is_empty());
}

/// A reader of a log cannot be deceived by a name: what is printed is escaped.
#[test]
fn names_are_escaped_where_they_are_printed() {
    for name in names() {
        let limiter = Arc::new(Limiter::new(name.clone(), 1));
        let permit = limiter.try_acquire().unwrap();
        let request = limiter.acquire();
        let printed = format!("{limiter:?} {permit:?} {request:?} {:?}", limiter.wait());
        drop((permit, request));
        // `done` without a forgotten permit panics and names the limiter (I14).
        let panic = catch_unwind(AssertUnwindSafe(|| limiter.done())).unwrap_err();
        let message = panic.downcast_ref::<String>().expect("a message");
        for text in [&printed, message] {
            assert!(text.contains(&format!("{name:?}")));
            assert!(!text.contains(char::is_control), "{text:?}");
        }
        assert_at_rest(&limiter);
    }
}

#[test]
fn the_highest_ceiling_can_be_had_in_one_request() {
    must_end(|| {
        let limiter = Arc::new(Limiter::new("huge", MAX));
        let mut all = limiter.try_acquire_many(MAX).unwrap();
        assert_eq!((all.count(), limiter.in_flight(), limiter.available()), (MAX, MAX, 0));
        assert_eq!(limiter.try_acquire().unwrap_err(), TryAcquireError::NoPermits);
        assert!(all.split(MAX + 1).is_none());
        assert!(all.split(usize::MAX).is_none());
        let part = all.split(MAX - 1).unwrap();
        assert_eq!((all.count(), part.count()), (1, MAX - 1));
        all.merge(part);

        // One that waits for all of them behind one that has all of them.
        let mut next = Task::waiting(limiter.acquire_many_owned(MAX), Arc::new(Hook::default()));
        drop(all);
        let next = next.run().expect("woken").unwrap();
        assert_eq!(limiter.in_flight(), MAX);
        drop(next);
        assert_eq!((limiter.in_flight(), limiter.waiting()), (0, 0));
        assert!(limiter.wait().blocking_timeout(Duration::ZERO));
    });
}

#[test]
fn all_of_the_highest_ceiling_can_be_forgotten() {
    let limiter = Limiter::new("huge", MAX);
    limiter.try_acquire_many(MAX).unwrap().forget();
    for _ in 0..1_000 {
        limiter.done();
    }
    assert_eq!(limiter.in_flight(), MAX - 1_000);
    limiter.try_acquire_many(1_000).unwrap().forget();
    assert_eq!(limiter.try_acquire().unwrap_err(), TryAcquireError::NoPermits);
}

/// I1: what was possible once stays possible, alone, however low the ceiling is by then.
#[test]
fn the_largest_request_runs_alone_after_a_shrink() {
    let limiter = Limiter::new("huge", MAX);
    assert_eq!(limiter.try_acquire_many(MAX).unwrap().count(), MAX);
    let _ = limiter.set_ceiling(1);
    let all = limiter.try_acquire_many(MAX).unwrap();
    assert_eq!(limiter.in_flight(), MAX);
    drop(all);
    assert_at_rest(&limiter);
}

#[test]
fn more_than_there_can_be_is_refused_at_once() {
    for ceiling in [1, 2, MAX] {
        let limiter = Arc::new(Limiter::new("huge", ceiling));
        for requested in [ceiling + 1, MAX + 1, usize::MAX / 2, usize::MAX] {
            let refused = limiter.try_acquire_many(requested).unwrap_err();
            assert_eq!(refused, TryAcquireError::ExceedsMax { requested, max: ceiling });
            let refused = limiter.acquire_many_owned(requested).blocking().unwrap_err();
            assert_eq!(refused, AcquireError::ExceedsMax { requested, max: ceiling });
        }
        assert_eq!((limiter.in_flight(), limiter.waiting()), (0, 0));
    }
}

#[test]
fn ceilings_out_of_range_are_clamped_or_refused() {
    let limiter = Limiter::builder("huge").ceiling(MAX).min(0).up(MAX).down(MAX);
    let limiter = limiter.hold(Duration::ZERO).build().unwrap();
    let _ = limiter.up();
    assert_eq!(limiter.ceiling(), MAX);
    let _ = limiter.down();
    assert_eq!(limiter.ceiling(), 0);
    assert_eq!(limiter.try_acquire().unwrap_err(), TryAcquireError::NoPermits);
    let _ = limiter.up();
    assert_eq!(limiter.ceiling(), MAX);
    let _ = limiter.set_ceiling(usize::MAX);
    assert_eq!(limiter.ceiling(), MAX);
    for ceiling in [0, MAX + 1, usize::MAX] {
        assert!(catch_unwind(|| Limiter::new("huge", ceiling)).is_err());
        assert!(Limiter::builder("huge").ceiling(ceiling).build().is_err());
    }
    assert_eq!(limiter.in_flight(), 0);
}

/// A timeout that no clock can express is none.
#[test]
fn endless_timeouts_wait_and_empty_ones_do_not() {
    must_end(|| {
        let limiter = Arc::new(Limiter::new("patient", 1));
        let permit = limiter.try_acquire_owned().unwrap();
        assert!(limiter.acquire().blocking_timeout(Duration::ZERO).is_err());
        assert!(!limiter.wait().blocking_timeout(Duration::ZERO));
        assert_eq!(limiter.waiting(), 0);
        let waiter = {
            let limiter = limiter.clone();
            std::thread::spawn(move || {
                limiter.acquire_owned().blocking_timeout(Duration::MAX).unwrap()
            })
        };
        while limiter.waiting() == 0 {
            std::thread::yield_now();
        }
        drop(permit);
        drop(waiter.join().unwrap());
        assert!(limiter.wait().blocking_timeout(Duration::MAX));
        assert_at_rest(&limiter);
    });
}

#[test]
fn queue_of_none_refuses_and_counts_nobody() {
    let limiter = Limiter::builder("full").ceiling(1).max_waiting(0).build().unwrap();
    let permit = limiter.try_acquire().unwrap();
    for _ in 0..1_000 {
        let refused = limiter.acquire().blocking().unwrap_err();
        assert_eq!(refused, AcquireError::QueueFull { max_waiting: 0 });
    }
    drop(permit);
    assert_at_rest(&limiter);
}
