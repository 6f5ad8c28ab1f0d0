//! The events of feature `tracing`.

mod common;

use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{request, take_all, waiter};
use grmgr::{Adjust, Limiter, ManualClock};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// What there was to see of an event: its level, and its fields with the message among them.
#[derive(Debug)]
struct Seen {
    level: Level,
    fields: Vec<(&'static str, String)>,
}

impl Seen {
    fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| *field == name).map(|(_, value)| value.as_str())
    }
}

impl Visit for Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.fields.push((field.name(), format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.push((field.name(), value.to_owned()));
    }
}

#[derive(Clone, Default)]
struct Capture(Arc<Mutex<Vec<Seen>>>);

impl Subscriber for Capture {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        panic!("there are no spans")
    }

    fn event(&self, event: &Event<'_>) {
        assert!(event.metadata().target().starts_with("grmgr"), "{:?}", event.metadata());
        let mut seen = Seen { level: *event.metadata().level(), fields: Vec::new() };
        event.record(&mut seen);
        self.0.lock().unwrap().push(seen);
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// The events of what `f` does.
fn events(f: impl FnOnce()) -> Vec<Seen> {
    let capture = Capture::default();
    tracing::subscriber::with_default(capture.clone(), f);
    std::mem::take(&mut *capture.0.lock().unwrap())
}

/// The event of what `f` does.
#[track_caller]
fn event(f: impl FnOnce()) -> Seen {
    let mut events = events(f);
    assert_eq!(events.len(), 1, "{events:?}");
    events.remove(0)
}

fn limiter() -> (ManualClock, Limiter) {
    let clock = ManualClock::new();
    let limiter = Limiter::builder("db").ceiling(4).max(5).clock(clock.clone()).build().unwrap();
    (clock, limiter)
}

#[test]
fn change_is_told_with_from_to_and_cause() {
    let (_clock, limiter) = limiter();
    let seen = event(|| _ = limiter.down());
    assert_eq!(seen.level, Level::INFO);
    assert_eq!(seen.get("limiter"), Some("db"));
    assert_eq!((seen.get("from"), seen.get("to")), (Some("4"), Some("2")));
    assert_eq!(seen.get("cause"), Some("manual"));
    assert_eq!(seen.get("message"), Some("ceiling changed"));

    let seen = event(|| _ = limiter.adjust(Adjust::To(5), "load"));
    assert_eq!((seen.get("from"), seen.get("to")), (Some("2"), Some("5")));
    assert_eq!(seen.get("cause"), Some("load"));
}

#[test]
fn cap_that_moves_is_told_with_the_ceiling_in_force() {
    let (_clock, limiter) = limiter();
    let cap = limiter.cap("pressure").unwrap();
    let seen = event(|| _ = cap.set(3));
    assert_eq!(seen.level, Level::INFO);
    assert_eq!((seen.get("hand"), seen.get("cause")), (Some("cap"), Some("pressure")));
    assert_eq!((seen.get("to"), seen.get("ceiling")), (Some("3"), Some("3")));
    assert!(events(|| _ = cap.set(3)).is_empty(), "it has not moved");
    let seen = event(|| _ = limiter.set_ceiling(5));
    assert_eq!((seen.get("hand"), seen.get("ceiling")), (Some("setting"), Some("3")));
    let seen = event(|| drop(cap));
    assert_eq!((seen.get("from"), seen.get("ceiling")), (Some("3"), Some("5")));
}

#[test]
fn held_change_is_told_with_what_remains() {
    let (clock, limiter) = limiter();
    let _ = limiter.down();
    clock.advance(Duration::from_secs(10));
    let seen = event(|| _ = limiter.adjust(Adjust::Up, "load"));
    assert_eq!(seen.level, Level::DEBUG);
    assert_eq!(seen.get("limiter"), Some("db"));
    assert_eq!((seen.get("adjust"), seen.get("remaining")), (Some("up"), Some("20s")));
    assert_eq!(seen.get("cause"), Some("load"));
    assert_eq!((seen.get("from"), seen.get("to")), (None, None), "nothing has changed");
}

#[test]
fn change_to_what_it_is_already_is_told_as_such() {
    let (_clock, limiter) = limiter();
    let seen = event(|| _ = limiter.set_ceiling(4));
    assert_eq!(seen.level, Level::DEBUG);
    assert_eq!((seen.get("limiter"), seen.get("ceiling")), (Some("db"), Some("4")));
    assert_eq!(seen.get("from"), None);
}

#[test]
fn refusal_is_told_with_its_reason() {
    let (_clock, limiter) = limiter();
    let seen = event(|| drop(request(&limiter, 6)));
    assert_eq!(seen.level, Level::DEBUG, "a thousand of them are the normal state under load");
    assert_eq!(seen.get("limiter"), Some("db"));
    assert!(seen.get("error").unwrap().starts_with("6 permits requested"), "{seen:?}");
    limiter.close();
    let seen = event(|| drop(request(&limiter, 1)));
    assert!(seen.get("error").unwrap().contains("closed"), "{seen:?}");
}

/// Once, however often it is polled.
#[test]
fn waiting_is_told_once_at_debug() {
    let (_clock, limiter) = limiter();
    let held = take_all(&limiter);
    let seen = event(|| {
        let mut task = waiter(&limiter, 1);
        task.poll();
        task.poll();
        drop(held);
        drop(task.granted());
    });
    assert_eq!(seen.level, Level::DEBUG);
    assert_eq!((seen.get("limiter"), seen.get("waiting")), (Some("db"), Some("1")));
}

/// The way of a request that finds a permit is silent, and so is a `try_acquire` that finds none.
#[test]
fn ordinary_work_is_not_told() {
    let (_clock, limiter) = limiter();
    let seen = events(|| {
        let held = take_all(&limiter);
        assert!(limiter.try_acquire().is_err());
        drop(held);
        drop(request(&limiter, 3).granted());
        limiter.pause();
        limiter.resume();
        limiter.wait_blocking();
    });
    assert!(seen.is_empty(), "{seen:?}");
}

/// A subscriber is called outside of all locks: it may use the limiter.
#[test]
fn subscriber_may_use_the_limiter() {
    struct Uses(Arc<Limiter>, Mutex<u32>);
    impl Subscriber for Uses {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            panic!("there are no spans")
        }
        fn event(&self, _: &Event<'_>) {
            drop(self.0.try_acquire());
            drop(self.0.acquire().blocking_timeout(Duration::ZERO));
            let _ = self.0.snapshot();
            *self.1.lock().unwrap() += 1;
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }
    common::must_end(|| {
        let limiter = Arc::new(Limiter::builder("db").ceiling(1).max(2).build().unwrap());
        let uses = Arc::new(Uses(limiter.clone(), Mutex::new(0)));
        tracing::subscriber::with_default(uses.clone(), || {
            let held = take_all(&limiter);
            let task = waiter(&limiter, 1);
            let _ = limiter.up();
            drop(held);
            drop(task.granted());
            limiter.close();
            drop(request(&limiter, 1));
        });
        assert!(*uses.1.lock().unwrap() >= 3);
        common::assert_at_rest(&limiter);
    });
}
