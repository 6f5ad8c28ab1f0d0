//! What the models are written with. A model is a closure that is run over and over: under loom
//! once for each interleaving (up to a bound on preemptions), under shuttle in random interleavings,
//! without either for many rounds on real threads. Its source is the same.
//!
//! Tasks are polled by hand, and only when they have been woken: a lost wake-up shows as a task
//! that is never finished.

#![allow(missing_debug_implementations, reason = "nobody prints them")]

use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
#[cfg(not(shuttle))]
use std::sync::atomic::AtomicU64;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};

use grmgr::{Acquire, AcquireError, Limiter, Permit};

/// What a piece of work changes: an atomic whose Relaxed accesses loom lets be out of date.
#[cfg(loom)]
pub use loom::sync::atomic::AtomicUsize as Data;
#[cfg(not(loom))]
pub use std::sync::atomic::AtomicUsize as Data;

#[cfg(loom)]
pub use loom::thread::{spawn, yield_now};
#[cfg(shuttle)]
pub use shuttle::thread::{spawn, yield_now};
#[cfg(not(any(loom, shuttle)))]
pub use std::thread::{spawn, yield_now};

/// Runs a model in every interleaving with at most `LOOM_MAX_PREEMPTIONS` (default: 2)
/// preemptions.
#[cfg(loom)]
pub fn model(f: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(2));
    builder.max_branches = 10_000;
    let executions = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = executions.clone();
    builder.check(move || {
        counter.fetch_add(1, SeqCst);
        f();
    });
    eprintln!("{} executions", executions.load(SeqCst));
}

/// Runs a model in `SHUTTLE_ITERATIONS` (default: 20,000) random schedules. Half of them are uniformly
/// random at each step; in the other half few preemptions are put at random places (PCT), which finds
/// what needs a thread to be held up for long.
///
/// A failure prints its schedule. `SHUTTLE_REPLAY`, set to that, runs it alone.
#[cfg(shuttle)]
pub fn model(f: impl Fn() + Send + Sync + 'static) {
    use shuttle::scheduler::{PctScheduler, RandomScheduler};
    use shuttle::{Config, Runner};

    let f = Arc::new(move || {
        IDLE.set(0);
        f();
    });
    if let Ok(schedule) = std::env::var("SHUTTLE_REPLAY") {
        return shuttle::replay(move || f(), schedule.trim());
    }
    let mut config = Config::new();
    // It says that every ordering is taken for `SeqCst`. The others are loom's to explore.
    config.silence_warnings = true;
    // What the other threads do after a failure would only hide it.
    config.ungraceful_shutdown_config.immediately_return_on_panic = true;
    let schedules: usize =
        std::env::var("SHUTTLE_ITERATIONS").map_or(20_000, |n| n.parse().expect("a number"));
    let half = schedules.div_ceil(2);
    let random = RandomScheduler::new(half);
    let mut ran = Runner::new(random, config.clone()).run({
        let f = f.clone();
        move || f()
    });
    for depth in [2, 4, 8] {
        let f = f.clone();
        let pct = PctScheduler::new(depth, half.div_ceil(3));
        ran += Runner::new(pct, config.clone()).run(move || f());
    }
    eprintln!("{ran} schedules");
}

/// A model that takes a hundred times as long as others: under shuttle one like any, on real threads run
/// for a tenth of the rounds. Nothing for loom.
#[cfg(shuttle)]
pub fn long_model(f: impl Fn() + Send + Sync + 'static) {
    model(f);
}

/// Runs a model for `MODEL_ROUNDS` (default: 2,000) rounds. A round that does not end is a lost
/// wake-up: the process is aborted then.
#[cfg(not(any(loom, shuttle)))]
pub fn model(f: impl Fn() + Send + Sync + 'static) {
    rounds(1, f);
}

/// As [`model`], for a tenth of the rounds: each takes so much longer.
#[cfg(not(any(loom, shuttle)))]
pub fn long_model(f: impl Fn() + Send + Sync + 'static) {
    rounds(10, f);
}

/// The rounds of a model, or one in so many.
#[cfg(not(any(loom, shuttle)))]
fn rounds(one_in: usize, f: impl Fn() + Send + Sync + 'static) {
    use std::sync::mpsc::{RecvTimeoutError, channel};
    use std::time::Duration;

    let rounds = std::env::var("MODEL_ROUNDS").map_or(2_000, |n| n.parse().expect("a number"));
    let rounds = usize::div_ceil(rounds, one_in);
    let name = std::thread::current().name().unwrap_or("?").to_owned();
    let (alive, watch) = channel();
    let watchdog = std::thread::spawn(move || {
        loop {
            match watch.recv_timeout(Duration::from_secs(30)) {
                Ok(()) => {}
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    eprintln!("{name}: a round hangs");
                    std::process::abort();
                }
            }
        }
    });
    for _ in 0..rounds {
        f();
        alive.send(()).expect("the watchdog is there");
    }
    drop(alive);
    watchdog.join().expect("the watchdog does not panic");
}

/// A future with its output, polled by hand.
pub struct Task<F: Future> {
    future: Option<Pin<Box<F>>>,
    woken: Arc<Woken>,
    output: Cell<Option<F::Output>>,
}

/// Plain std atomics, which loom does not see: the flag is no part of what is modelled. Nor does
/// shuttle, which must not switch tasks in here: most wakers are called under a real mutex.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

impl<F: Future> Task<F> {
    /// A task that has been polled once.
    pub fn start(future: F) -> Self {
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let mut task = Self { future: Some(Box::pin(future)), woken, output: Cell::new(None) };
        task.run();
        task
    }

    /// Polls it as long as it is woken; returns whether it was.
    pub fn run(&mut self) -> bool {
        let mut ran = false;
        while self.future.is_some() && self.woken.0.swap(false, SeqCst) {
            // Woken by itself: another thread has to get on.
            if ran {
                yield_now();
            }
            ran = true;
            #[cfg(shuttle)]
            IDLE.set(0);
            self.poll();
        }
        ran
    }

    /// Polls it though it has not been woken.
    pub fn poll(&mut self) {
        let waker = Waker::from(self.woken.clone());
        if let Some(future) = &mut self.future
            && let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker))
        {
            self.output.set(Some(output));
            self.future = None;
        }
    }

    /// Moves it to another task, with a waker of its own, and polls it there.
    pub fn poll_elsewhere(&mut self) {
        self.woken = Arc::new(Woken(AtomicBool::new(false)));
        self.poll();
    }

    /// Whether it has been woken since it was polled last.
    pub fn is_woken(&self) -> bool {
        self.woken.0.load(SeqCst)
    }

    /// How many of its wakers are kept somewhere.
    pub fn wakers_kept(&self) -> usize {
        Arc::strong_count(&self.woken) - 1
    }

    /// Whether it has finished.
    pub fn is_done(&self) -> bool {
        self.future.is_none()
    }

    /// Tells from outside whether it has been woken since it was polled last.
    pub fn wake_flag(&self) -> impl Fn() -> bool + Send + 'static {
        let woken = self.woken.clone();
        move || woken.0.load(SeqCst)
    }

    /// Polls it whenever it is woken, until it has finished.
    pub fn finish(mut self) -> F::Output {
        while !self.is_done() {
            if !self.run() {
                idle();
            }
        }
        self.output()
    }

    /// Drops the future, finished or not.
    pub fn cancel(mut self) {
        self.future = None;
    }

    /// Its output, once, if it has finished.
    pub fn take(&self) -> Option<F::Output> {
        self.output.take()
    }

    /// Its output, once.
    pub fn output(&self) -> F::Output {
        self.output.take().expect("the task has not finished: it was not woken")
    }
}

/// Random numbers: shuttle's, so that they belong to a schedule, or ones that differ in each thread
/// and round.
pub struct Random {
    #[cfg(not(shuttle))]
    state: u64,
}

#[cfg(shuttle)]
#[allow(clippy::new_without_default, reason = "as without shuttle")]
impl Random {
    pub fn new() -> Self {
        Self {}
    }

    fn next(&mut self) -> u64 {
        shuttle::rand::RngCore::next_u64(&mut shuttle::rand::thread_rng())
    }
}

#[cfg(not(shuttle))]
#[allow(clippy::new_without_default, reason = "no two are alike")]
impl Random {
    pub fn new() -> Self {
        static SEED: AtomicU64 = AtomicU64::new(0);
        Self { state: SEED.fetch_add(1 << 32, SeqCst) }
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl Random {
    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

// How often threads have found nothing to do since one was woken. All threads of a model are
// coroutines on one real thread under shuttle.
#[cfg(shuttle)]
std::thread_local!(static IDLE: Cell<u32> = const { Cell::new(0) });

/// Lets other threads run because this one's tasks are asleep. That all threads do so for ever is a
/// lost wake-up.
pub fn idle() {
    #[cfg(shuttle)]
    {
        IDLE.set(IDLE.get() + 1);
        assert!(IDLE.get() < 100_000, "all tasks are asleep, and none is woken (I3, I11)");
    }
    yield_now();
}

/// A limiter in which no newcomer overtakes a waiter.
pub fn strict(ceiling: usize) -> Arc<Limiter> {
    Arc::new(Limiter::builder("").ceiling(ceiling).patience(0).build().expect("valid settings"))
}

/// A request that has been polled once.
pub fn request(limiter: &Limiter, n: usize) -> Task<Acquire<'_>> {
    Task::start(limiter.acquire_many(n))
}

/// Runs all tasks that are woken until none is.
pub fn run_all(tasks: &mut [&mut Task<Acquire<'_>>]) {
    while tasks.iter_mut().fold(false, |ran, task| task.run() | ran) {}
}

/// Runs all tasks that are woken until none is, and drops the permits as they come. Each must be
/// finished in the end.
pub fn serve_all(tasks: &mut [&mut Task<Acquire<'_>>]) {
    serve(tasks);
    for task in tasks {
        assert!(task.is_done(), "a task was not woken (I3)");
    }
}

/// Runs all tasks that are woken until none is, and drops the permits as they come.
pub fn serve(tasks: &mut [&mut Task<Acquire<'_>>]) {
    let run = |task: &mut &mut Task<Acquire<'_>>| {
        let ran = task.run();
        if let Some(result) = task.output.take() {
            drop(result.expect("granted"));
        }
        ran
    };
    while tasks.iter_mut().fold(false, |ran, task| run(task) | ran) {}
}

/// Waits for `n` permits, blocking. Not really under shuttle: a parker's waker switches tasks.
pub fn acquire(limiter: &Limiter, n: usize) -> Result<Permit<'_>, AcquireError> {
    if cfg!(shuttle) { request(limiter, n).finish() } else { limiter.acquire_many(n).blocking() }
}

/// Waits until the limiter is idle, blocking as [`acquire`] does.
pub fn wait_idle(limiter: &Limiter) {
    if cfg!(shuttle) { Task::start(limiter.wait()).finish() } else { limiter.wait_blocking() }
}

/// Checks that nothing is left behind: no permit, no waiter, no flag (I2, I10, I11), and that
/// exactly `ceiling` permits can be had (I1).
pub fn assert_at_rest(limiter: &Limiter, ceiling: usize) {
    // Told before the panic begins: while its message is written, shuttle must not switch tasks.
    let check = |at_rest: bool, what: &str| {
        if !at_rest {
            let found = format!("{limiter:?}");
            panic!("{what}: {found}");
        }
    };
    check(limiter.in_flight() == 0, "a permit was lost");
    check(limiter.waiting() == 0, "a waiter was left");
    check(Task::start(limiter.wait()).is_done(), "not idle");
    assert_eq!(limiter.ceiling(), ceiling);
    if !limiter.is_closed() {
        let permits: Vec<_> = (0..ceiling).map(|_| limiter.try_acquire().expect("free")).collect();
        assert!(limiter.try_acquire().is_err());
        drop(permits);
    }
}
