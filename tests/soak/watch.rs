//! The tasks and threads that work, for how long, and what is done when one does not get on.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use grmgr::Limiter;

use crate::subject::Subject;
use crate::tally::{self, Kind};

/// Every operation takes milliseconds, and those that wait, at the most as long as the others
/// together: so much is for a machine that is busy otherwise.
const LIMIT: Duration = Duration::from_secs(20);

pub(crate) struct Soak {
    pub(crate) subjects: Vec<Subject>,
    /// The dedicated limiter of the barging tasks.
    pub(crate) barged: Limiter,
    /// Limiters that live for a round.
    rounds: Mutex<Vec<Arc<Limiter>>>,
    beats: Mutex<Vec<Arc<Beat>>>,
    seed: u64,
    /// No operation is begun any more.
    stopped: AtomicBool,
    /// No task is at work that would need the ceilings to move.
    over: AtomicBool,
}

/// One that works: shows that it gets on.
pub(crate) struct Beat {
    name: String,
    kind: Mutex<Kind>,
    done: AtomicU64,
    ended: AtomicBool,
}

impl Beat {
    /// It has begun something.
    pub(crate) fn start(&self, kind: Kind) {
        *self.kind.lock().unwrap() = kind;
    }

    /// It has done it.
    pub(crate) fn finish(&self) {
        let kind = *self.kind.lock().unwrap();
        self.finish_as(kind);
    }

    /// It has done something that does not wait.
    pub(crate) fn finish_as(&self, kind: Kind) {
        self.finish_many(kind, 1);
    }

    pub(crate) fn finish_many(&self, kind: Kind, n: u64) {
        tally::count_many(kind, n);
        self.done.fetch_add(1, Relaxed);
    }

    pub(crate) fn end(&self) {
        self.ended.store(true, Relaxed);
    }
}

impl Soak {
    /// Lives to the end of the process: what works on it need not prove that it ends before.
    pub(crate) fn start(seed: u64) -> &'static Self {
        let soak: &'static Self = Box::leak(Box::new(Self {
            subjects: Subject::all(),
            barged: Limiter::new("barged", 1),
            rounds: Mutex::default(),
            beats: Mutex::default(),
            seed,
            stopped: AtomicBool::new(false),
            over: AtomicBool::new(false),
        }));
        // Any panic but those that are part of the work, which do not come here, is a failure.
        // A panic is told at once: in a task it might not be asked for while the others hang.
        std::panic::set_hook(Box::new(move |info| soak.give_up(&info.to_string())));
        std::thread::spawn(move || soak.watch());
        soak
    }

    pub(crate) fn beat(&self, name: String) -> Arc<Beat> {
        let beat = Arc::new(Beat {
            name,
            kind: Mutex::new(Kind::Nothing),
            done: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        });
        self.beats.lock().unwrap().push(beat.clone());
        beat
    }

    pub(crate) fn begin_round(&self, limiter: &Arc<Limiter>) {
        self.rounds.lock().unwrap().push(limiter.clone());
    }

    pub(crate) fn end_round(&self, limiter: &Arc<Limiter>) {
        self.rounds.lock().unwrap().retain(|other| !Arc::ptr_eq(other, limiter));
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Relaxed);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Relaxed)
    }

    pub(crate) fn set_over(&self) {
        self.over.store(true, Relaxed);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Relaxed)
    }

    /// Looks after each of them alone: one that hangs is not to be overlooked
    /// because the others get on.
    fn watch(&self) {
        // What each had done, and when it was first seen to have.
        let mut seen: Vec<(u64, Instant)> = Vec::new();
        loop {
            sleep(Duration::from_millis(200));
            let beats = self.beats.lock().unwrap().clone();
            for (i, beat) in beats.iter().enumerate() {
                let done = beat.done.load(Relaxed);
                if i == seen.len() {
                    seen.push((done, Instant::now()));
                }
                if seen[i].0 != done || beat.ended.load(Relaxed) {
                    seen[i] = (done, Instant::now());
                } else if seen[i].1.elapsed() > LIMIT {
                    self.give_up(&format!("{} hangs", beat.name));
                }
            }
        }
    }

    /// Tells what is known and ends the process: a thread that hangs could not be stopped.
    fn give_up(&self, why: &str) -> ! {
        let mut text = format!("{why}\nSOAK_SEED={}\n", self.seed);
        for subject in &self.subjects {
            text += &format!("{:?}\n", subject.limiter);
        }
        text += &format!("{:?}\n", self.barged);
        // Not to hang here as well.
        if let Ok(rounds) = self.rounds.try_lock() {
            for limiter in &*rounds {
                text += &format!("{limiter:?}\n");
            }
        }
        if let Ok(beats) = self.beats.try_lock() {
            for beat in beats.iter().filter(|beat| !beat.ended.load(Relaxed)) {
                let kind = beat.kind.try_lock().map(|kind| *kind);
                text += &format!("{}: {} done, at {kind:?}\n", beat.name, beat.done.load(Relaxed));
            }
        }
        // Not with `eprintln`, which the test harness may catch.
        let _ = std::io::stderr().write_all(text.as_bytes());
        std::process::abort()
    }
}
