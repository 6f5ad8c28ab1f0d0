//! Ceilings on the move, and a log of them that tells what was in force.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread::sleep;
use std::time::Duration;

use grmgr::Limiter;

use crate::rng::Rng;
use crate::subject::{Bound, Subject};
use crate::tally::Kind;
use crate::watch::{Beat, Soak};

/// How many changes are kept: seconds of them.
const KEPT: usize = 4096;

/// The ceilings of one limiter that one thread moves. Each is logged before it is in force.
pub(crate) struct Ceilings {
    log: Vec<AtomicUsize>,
    /// How many have been logged.
    logged: AtomicUsize,
}

impl Ceilings {
    pub(crate) fn new(first: usize) -> Self {
        let log: Vec<_> = (0..KEPT).map(|_| AtomicUsize::new(first)).collect();
        // As if there had been some before, so that there always is one before the last.
        Self { log, logged: AtomicUsize::new(2) }
    }

    fn add(&self, ceiling: usize) {
        let logged = self.logged.load(SeqCst);
        self.log[logged % KEPT].store(ceiling, SeqCst);
        self.logged.store(logged + 1, SeqCst);
    }

    pub(crate) fn now(&self) -> usize {
        self.logged.load(SeqCst)
    }

    /// The largest in force since `since`, or `None` if that was too long ago.
    pub(crate) fn largest_since(&self, since: usize) -> Option<usize> {
        // The last one logged then may not have been in force yet.
        let first = since - 2;
        let end = self.now();
        let largest = (first..end.min(first + KEPT)).map(|i| self.log[i % KEPT].load(SeqCst)).max();
        // If some have been overwritten meanwhile: it is the oldest that go, one at a time.
        if self.now() >= first + KEPT { None } else { largest }
    }
}

/// Moves the ceilings every millisecond, until no task works any more.
pub(crate) fn move_them(soak: &'static Soak, beat: &Beat, mut rng: Rng) {
    while !soak.is_over() {
        sleep(Duration::from_millis(1));
        for subject in &soak.subjects {
            match rng.below(32) {
                // For two rounds as a rule.
                0 => pause(beat, &subject.limiter),
                1..=16 => resume(beat, &subject.limiter),
                _ => {}
            }
            move_one(beat, subject, &mut rng);
        }
    }
    for subject in &soak.subjects {
        subject.limiter.resume();
        let max = subject.limiter.throttle().max;
        if let Bound::Logged(log) = &subject.bound {
            log.add(max);
        }
        let _ = subject.limiter.set_ceiling(max);
    }
}

fn pause(beat: &Beat, limiter: &Limiter) {
    beat.start(Kind::Pause);
    limiter.pause();
    beat.finish();
}

fn resume(beat: &Beat, limiter: &Limiter) {
    limiter.resume();
    beat.finish_as(Kind::Resume);
}

fn move_one(beat: &Beat, subject: &Subject, rng: &mut Rng) {
    let limiter = &subject.limiter;
    let throttle = limiter.throttle();
    let from = limiter.ceiling();
    // What is wanted, and which way leads there.
    let (to, way) = match rng.below(4) {
        0 => ((from + throttle.up.of(from)).min(throttle.max), Kind::Up),
        1 => (from.saturating_sub(throttle.down.of(from)).max(throttle.min), Kind::Down),
        _ => (throttle.min + rng.below(throttle.max - throttle.min + 1), Kind::SetCeiling),
    };
    match &subject.bound {
        Bound::Exact => return,
        Bound::Logged(log) => log.add(to),
        Bound::Max => {}
    }
    beat.start(way);
    let _ = match way {
        Kind::Up => limiter.up(),
        Kind::Down => limiter.down(),
        _ => limiter.set_ceiling(to),
    };
    beat.finish();
    if matches!(subject.bound, Bound::Logged(_)) {
        assert_eq!(limiter.ceiling(), to, "{way:?} from {from}: {limiter:?}");
    }
}

/// The second to move the ceilings that several move.
pub(crate) fn meddle(soak: &'static Soak, beat: &Beat, mut rng: Rng) {
    while !soak.is_over() {
        sleep(rng.micros(1_000));
        for subject in soak.subjects.iter().filter(|subject| matches!(subject.bound, Bound::Max)) {
            move_one(beat, subject, &mut rng);
        }
    }
}
