//! Everything at once, for a while: tokio, smol and plain threads share the same limiters, and do
//! to them whatever programs do: time out, abort, panic, leave futures unpolled, cancel, move the
//! ceilings, pause. Throughout, permits are counted apart from the limiter (I1), the head's wake-ups are
//! counted (I4), and a watchdog looks for tasks that do not get on (I3, I11, I12); at the end
//! everything has been given back (I2, I10).
//!
//! `SOAK_SECONDS` says for how long (3), `SOAK_SEED` repeats the choices of an earlier run, though
//! not how the threads interleave. What was done is printed, with `--nocapture`:
//!
//! ```text
//! SOAK_SECONDS=3600 cargo test --release --test soak -- --nocapture
//! ```

#![cfg(feature = "std")]

mod ceilings;
mod head;
mod rng;
mod rounds;
mod runtime;
mod subject;
mod tally;
mod tasks;
mod threads;
mod wakers;
mod watch;

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use rng::Rng;
use runtime::Runtime;
use watch::{Beat, Soak};

const TOKIO_WORKERS: usize = 3;
const TOKIO_TASKS: usize = 40;
const SMOL_THREADS: usize = 2;
const SMOL_TASKS: usize = 24;
const THREADS: usize = 6;

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// Gives each worker a generator of its own.
struct Hands {
    soak: &'static Soak,
    seed: u64,
    workers: u64,
}

impl Hands {
    fn rng(&mut self) -> Rng {
        self.workers += 1;
        Rng::new(self.seed, self.workers)
    }

    fn thread(&mut self, name: &str, work: fn(&'static Soak, &Beat, Rng)) -> JoinHandle<()> {
        let (soak, rng) = (self.soak, self.rng());
        let beat = soak.beat(name.to_owned());
        thread::spawn(move || {
            work(soak, &beat, rng);
            beat.end();
        })
    }
}

#[test]
fn everything_at_once() {
    let time = Duration::from_secs(number("SOAK_SECONDS").unwrap_or(3));
    let seed = number("SOAK_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        now.map_or(0, |now| now.as_nanos() as u64 % 1_000_000_000)
    });
    let began = Instant::now();
    let soak = Soak::start(seed);
    let mut hands = Hands { soak, seed, workers: 0 };

    let movers = [
        hands.thread("ceilings", ceilings::move_them),
        hands.thread("more ceilings", ceilings::meddle),
    ];
    let mut threads = vec![
        hands.thread("head", head::wait),
        hands.thread("barger 1", head::barge),
        hands.thread("barger 2", head::barge),
    ];
    for i in 0..THREADS {
        threads.push(hands.thread(&format!("thread {i}"), threads::work));
    }

    let tokio = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(TOKIO_WORKERS)
        .enable_time()
        .build()
        .expect("a runtime");
    let _entered = tokio.enter();
    let executor = Arc::new(smol::Executor::new());
    let (running, ended) = smol::channel::bounded::<()>(1);
    let smol_threads: Vec<_> = (0..SMOL_THREADS)
        .map(|_| {
            let (executor, ended) = (executor.clone(), ended.clone());
            thread::spawn(move || {
                // An error, when the sender is gone: that is the end.
                let _ = smol::block_on(executor.run(ended.recv()));
            })
        })
        .collect();

    let smol = Runtime::Smol(executor);
    let mut jobs = Vec::new();
    for (runtime, name, tasks) in
        [(Runtime::Tokio, "tokio", TOKIO_TASKS), (smol, "smol", SMOL_TASKS)]
    {
        for i in 0..tasks {
            let (here, name) = (runtime.clone(), format!("{name} {i}"));
            jobs.push(runtime.spawn(tasks::work(soak, here, name, hands.rng())));
        }
        let (here, name) = (runtime.clone(), format!("{name} rounds"));
        jobs.push(runtime.spawn(rounds::work(soak, here, name, hands.rng())));
    }

    thread::sleep(time);
    soak.stop();
    for job in jobs {
        smol::block_on(job.join());
    }
    for thread in threads {
        thread.join().expect("it does not panic");
    }
    // Only now: tasks that work may need a ceiling that is raised again.
    soak.set_over();
    for mover in movers {
        mover.join().expect("it does not panic");
    }
    drop(running);
    for thread in smol_threads {
        thread.join().expect("it does not panic");
    }

    for subject in &soak.subjects {
        subject.assert_at_rest();
    }
    assert_eq!((soak.barged.in_flight(), soak.barged.waiting()), (0, 0));
    println!("SOAK_SEED={seed}, {:.1?}:", began.elapsed());
    tally::print();
}
