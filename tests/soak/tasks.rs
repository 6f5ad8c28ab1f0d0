//! What tasks do.

use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use grmgr::Limiter;
use smol::future::poll_once;

use crate::rng::Rng;
use crate::runtime::Runtime;
use crate::subject::{Held, Subject};
use crate::tally::{Kind, count};
use crate::wakers::Restless;
use crate::watch::{Beat, Soak};

const KINDS: &[Kind] = &[
    Kind::Hold,
    Kind::Hold,
    Kind::HoldOwned,
    Kind::HoldOwned,
    Kind::Timeout,
    Kind::Timeout,
    Kind::Select,
    Kind::Select,
    Kind::Abort,
    Kind::Panic,
    Kind::Unordered,
    Kind::WakersInWake,
    Kind::SpuriousPolls,
    Kind::Cancel,
    Kind::Cancel,
    Kind::Try,
    Kind::Try,
    Kind::Latch,
];

/// What a panic that belongs to the work carries. It is thrown past the panic hook, which takes
/// any other for a failure.
struct Drill;

/// Panics inside a permit, and goes on.
pub(crate) fn drill<T>(held: T) {
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let _held = held;
        resume_unwind(Box::new(Drill));
    }));
    assert!(caught.unwrap_err().is::<Drill>());
}

/// One of the tasks.
pub(crate) async fn work(soak: &'static Soak, runtime: Runtime, name: String, mut rng: Rng) {
    let beat = soak.beat(name);
    while !soak.is_stopped() {
        step(soak, &runtime, &beat, &mut rng).await;
    }
    beat.end();
}

async fn step(soak: &'static Soak, runtime: &Runtime, beat: &Beat, rng: &mut Rng) {
    let subject = rng.pick(&soak.subjects);
    let n = subject.some(rng);
    let kind = *rng.pick(KINDS);
    beat.start(kind);
    match kind {
        Kind::Hold => finish(runtime, subject.acquire(n).await, rng).await,
        Kind::HoldOwned => finish(runtime, subject.acquire_owned(n).await, rng).await,
        Kind::Timeout => match runtime.timeout(rng.micros(3_000), subject.acquire(n)).await {
            Some(held) => finish(runtime, held, rng).await,
            None => count(Kind::TimedOut),
        },
        Kind::Select => {
            let other = rng.pick(&soak.subjects);
            let n_other = other.some(rng);
            let held = runtime.first(subject.acquire(n), other.acquire(n_other)).await;
            finish(runtime, held, rng).await;
        }
        Kind::Abort => abort(subject, n, runtime, rng).await,
        Kind::Panic => panic(subject, n, runtime, rng).await,
        Kind::Unordered => unordered(subject, runtime, rng).await,
        Kind::WakersInWake | Kind::SpuriousPolls => {
            let since = subject.now();
            // The wakers may as well take those of another limiter.
            let whose = if rng.one_in(4) { rng.pick(&soak.subjects) } else { subject };
            let meddle = (kind == Kind::WakersInWake).then_some(whose);
            let request = Restless::new(subject.limiter.acquire_many(n), meddle, rng.fork());
            let held = subject.answer(request.await, since);
            finish(runtime, held, rng).await;
        }
        Kind::Cancel => cancel(subject, n, runtime, rng).await,
        Kind::Try => {
            if let Some(held) = subject.try_acquire(n) {
                finish(runtime, Some(held), rng).await;
            }
            assert_eq!(subject.acquire(0).await.map(drop), Some(()));
        }
        Kind::Latch => {
            // Few are that lucky with a limiter that is always busy: see `rounds.rs`.
            let wait = Restless::new(subject.limiter.wait(), None, rng.fork());
            if runtime.timeout(rng.micros(3_000), wait).await.is_some() {
                count(Kind::LatchResolved);
            }
        }
        kind => unreachable!("{kind:?}"),
    }
    beat.finish();
}

/// Has the permits for a while and gives them back.
async fn finish<L: Deref<Target = Limiter> + Clone>(
    runtime: &Runtime,
    held: Option<Held<L>>,
    rng: &mut Rng,
) {
    let Some(held) = held else {
        count(Kind::QueueFull);
        // Or those that are refused go round in circles.
        runtime.yield_now().await;
        return;
    };
    match rng.below(128) {
        // Rarely: for so long the others have fewer to share.
        0 => runtime.sleep(rng.micros(1_000)).await,
        1..=64 => {
            for _ in 0..=rng.below(3) {
                runtime.yield_now().await;
            }
        }
        _ => {}
    }
    let rest = held.juggle(rng);
    if rng.one_in(4) {
        runtime.yield_now().await;
    }
    drop(rest);
}

/// A task that is ended while it waits, or has been called, or is at work.
async fn abort(subject: &'static Subject, n: usize, runtime: &Runtime, rng: &mut Rng) {
    let job = {
        let (runtime, mut rng) = (runtime.clone(), rng.fork());
        let here = runtime.clone();
        here.spawn(async move {
            let held = subject.acquire_owned(n).await;
            finish(&runtime, held, &mut rng).await;
        })
    };
    if rng.one_in(16) {
        runtime.sleep(rng.micros(1_000)).await;
    } else {
        for _ in 0..rng.below(6) {
            runtime.yield_now().await;
        }
    }
    if job.abort().await {
        count(Kind::Aborted);
    }
}

/// A panic that takes with it what is held, and a request that waits.
async fn panic(subject: &'static Subject, n: usize, runtime: &Runtime, rng: &mut Rng) {
    let polls = rng.below(3);
    let act = async {
        let held = subject.acquire(n).await;
        let mut waits = pin!(subject.acquire_owned(1));
        for _ in 0..polls {
            // Not awaited: a task that holds permits must not wait for more.
            if poll_once(waits.as_mut()).await.is_some() {
                break;
            }
            runtime.yield_now().await;
        }
        if held.is_some() {
            resume_unwind(Box::new(Drill));
        }
    };
    if let Err(payload) = AssertUnwindSafe(act).catch_unwind().await {
        assert!(payload.is::<Drill>());
    }
}

/// Futures that are polled only when their task looks after all of them, which for a while it does not:
/// they may have been called, or handed a permit, or hold one.
async fn unordered(subject: &'static Subject, runtime: &Runtime, rng: &mut Rng) {
    let mut all = FuturesUnordered::new();
    for _ in 0..=rng.below(8) {
        let n = subject.some(rng);
        all.push(async move {
            let held = subject.acquire(n).await;
            runtime.yield_now().await;
            drop(held);
        });
    }
    for _ in 0..rng.below(4) {
        let _ = poll_once(all.next()).await;
        runtime.yield_now().await;
    }
    match rng.below(8) {
        0 => runtime.sleep(rng.micros(3_000)).await,
        // Meanwhile newcomers try to get past them.
        _ => {
            for _ in 0..rng.below(8) {
                drop(subject.try_acquire(1));
                runtime.yield_now().await;
            }
        }
    }
    if rng.one_in(3) {
        // Some of them get on first.
        let _ = runtime.timeout(Duration::from_millis(1), all.next()).await;
        return;
    }
    while all.next().await.is_some() {}
}

/// A request that is polled a few times and then dropped, in whatever state it is.
async fn cancel(subject: &'static Subject, n: usize, runtime: &Runtime, rng: &mut Rng) {
    let since = subject.now();
    let mut request = subject.limiter.acquire_many(n);
    for _ in 0..=rng.below(4) {
        if let Some(answer) = poll_once(&mut request).await {
            return finish(runtime, subject.answer(answer, since), rng).await;
        }
        runtime.yield_now().await;
    }
    if rng.one_in(32) {
        runtime.sleep(rng.micros(1_000)).await;
    }
}
