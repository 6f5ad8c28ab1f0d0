//! The events: a store that is lost and found again is told of, each once.

use std::fmt::{Debug, Write};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use grmgr::{Handle, Limiter};
use grmgr_cluster::{
    Answer, LeaseClock, Member, MemoryStore, Request, ShareStore, State, StoreError,
};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Each event as a line of text: its level, and its fields with the message among them.
#[derive(Clone, Default)]
struct Capture(Arc<Mutex<Vec<String>>>);

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {}={value:?}", field.name()).unwrap();
    }
}

impl Subscriber for Capture {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("grmgr_cluster")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        panic!("there are no spans")
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Text(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// A store that can be cut off.
struct Line(MemoryStore, Arc<AtomicBool>);

impl ShareStore for Line {
    fn refresh(&mut self, request: &Request) -> Result<Answer, StoreError> {
        if self.1.load(SeqCst) {
            return Err(StoreError::Unreachable("cut off".into()));
        }
        self.0.refresh(request)
    }
}

#[test]
fn a_store_that_is_lost_is_told_of_at_warn_and_shares_at_debug() {
    let capture = Capture::default();
    tracing::subscriber::set_global_default(capture.clone()).unwrap();
    let db = Limiter::builder("db").ceiling(9).run_alone(false).clock(LeaseClock).build().unwrap();
    let cut = Arc::new(AtomicBool::new(false));
    let store = Line(MemoryStore::new(), cut.clone());
    let builder = Member::builder(Handle::from(db)).store(store).total(9).floor(1).max_members(2);
    let builder = builder.ttl(Duration::from_millis(400)).max_lag(Duration::ZERO);
    let member = builder.start().unwrap();
    let until = |leased: bool| {
        let begin = Instant::now();
        while matches!(member.state(), State::Leased { .. }) != leased {
            assert!(begin.elapsed() < Duration::from_secs(20));
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_millis(50));
    };
    until(true);
    cut.store(true, SeqCst);
    until(false);
    cut.store(false, SeqCst);
    until(true);
    let lines = capture.0.lock().unwrap().join("\n");
    let warned = |words: [&str; 2]| {
        let mut warnings = lines.lines().filter(|line| line.starts_with("WARN"));
        warnings.any(|line| words.iter().all(|word| line.contains(word)))
    };
    assert!(warned(["could not be refreshed", "cut off"]), "{lines}");
    assert!(warned(["without a lease", "floor=1"]), "{lines}");
    assert!(lines.contains("share leased"), "{lines}");
}
