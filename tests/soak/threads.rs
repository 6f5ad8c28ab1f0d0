//! What plain threads do.

use std::ops::Deref;
use std::time::Instant;

use grmgr::{AcquireError, Limiter};

use crate::rng::Rng;
use crate::subject::Held;
use crate::tally::{Kind, count};
use crate::tasks::drill;
use crate::wakers::Restless;
use crate::watch::{Beat, Soak};

const KINDS: &[Kind] = &[
    Kind::Block,
    Kind::BlockOwned,
    Kind::BlockTimeout,
    Kind::BlockTimeout,
    Kind::BlockPanic,
    Kind::BlockWakers,
    Kind::BlockLatch,
    Kind::Try,
];

/// One of the threads.
pub(crate) fn work(soak: &'static Soak, beat: &Beat, mut rng: Rng) {
    while !soak.is_stopped() {
        step(soak, beat, &mut rng);
    }
}

fn step(soak: &'static Soak, beat: &Beat, rng: &mut Rng) {
    let subject = rng.pick(&soak.subjects);
    let limiter = &subject.limiter;
    let n = subject.some(rng);
    let kind = *rng.pick(KINDS);
    beat.start(kind);
    let since = subject.now();
    match kind {
        Kind::Block => finish(subject.answer(limiter.acquire_many(n).blocking(), since), rng),
        Kind::BlockOwned => {
            finish(subject.answer(limiter.acquire_owned_blocking(), since), rng);
        }
        Kind::BlockTimeout => {
            let time = rng.micros(500);
            let request = limiter.acquire_many_owned(n);
            let answer = if rng.one_in(2) {
                request.blocking_timeout(time)
            } else {
                request.blocking_until(Instant::now() + time)
            };
            match answer {
                Err(AcquireError::TimedOut) => count(Kind::TimedOut),
                answer => finish(subject.answer(answer, since), rng),
            }
        }
        Kind::BlockPanic => {
            if let Some(held) = subject.answer(limiter.acquire_many(n).blocking(), since) {
                drill(held);
            }
        }
        Kind::BlockWakers => {
            let meddle = rng.one_in(2).then_some(subject);
            let request = Restless::new(limiter.acquire_many(n), meddle, rng.fork());
            finish(subject.answer(smol::block_on(request), since), rng);
        }
        Kind::BlockLatch => {
            if limiter.wait().blocking_timeout(rng.micros(1_000)) {
                count(Kind::LatchResolved);
            }
        }
        Kind::Try => {
            if let Some(held) = subject.try_acquire(n) {
                finish(Some(held), rng);
            }
        }
        kind => unreachable!("{kind:?}"),
    }
    beat.finish();
}

/// Has the permits for a while and gives them back.
fn finish<L: Deref<Target = Limiter> + Clone>(held: Option<Held<L>>, rng: &mut Rng) {
    let Some(held) = held else {
        count(Kind::QueueFull);
        std::thread::yield_now();
        return;
    };
    match rng.below(64) {
        0 => std::thread::sleep(rng.micros(300)),
        1..=24 => std::thread::yield_now(),
        _ => {}
    }
    drop(held.juggle(rng));
}
