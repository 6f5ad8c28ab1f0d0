//! How long the unlucky ones wait, and how often the oldest waiter is passed over.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, Instant};

use futures_lite::future::block_on;

use super::contended::Shape;
use super::exec::Exec;
use super::wakeup::{CountingWaker, drive};
use crate::peers::AsyncPeer;
use crate::stats::quantile;

/// One acquire: the places of its arrival and of its admission in the order of all such events.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visit {
    pub(crate) arrived: usize,
    pub(crate) admitted: usize,
    pub(crate) waited: Duration,
}

/// Waiting at p50, p99 and p100 in microseconds; overtakes of the oldest waiter in percent of all
/// admissions; the most overtakes that one waiter suffered while it was the oldest.
///
/// An admission is seen when the task runs, not when the limiter decides: with two workers a
/// strictly fair limiter shows overtakes too, as many as the executor swaps.
pub fn waits<P: AsyncPeer, E: Exec>(shape: Shape, ops: u64) -> Vec<f64> {
    let per_task = (ops / shape.tasks as u64).max(1);
    let visits: Vec<Visit> = E::run(shape.workers, move |exec| async move {
        let limiter = Arc::new(P::new(shape.ceiling));
        let events = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..shape.tasks)
            .map(|_| {
                let limiter = Arc::clone(&limiter);
                let events = Arc::clone(&events);
                exec.spawn(async move {
                    let mut visits = Vec::with_capacity(per_task as usize);
                    for _ in 0..per_task {
                        let arrived = events.fetch_add(1, Ordering::Relaxed);
                        let start = Instant::now();
                        let permit = limiter.acquire().await;
                        let waited = start.elapsed();
                        let admitted = events.fetch_add(1, Ordering::Relaxed);
                        visits.push(Visit { arrived, admitted, waited });
                        E::yield_now().await;
                        drop(permit);
                    }
                    visits
                })
            })
            .collect();
        let mut visits = Vec::new();
        for task in tasks {
            visits.extend(E::join(task).await);
        }
        visits
    });

    let mut waited: Vec<f64> =
        visits.iter().map(|visit| visit.waited.as_secs_f64() * 1e6).collect();
    waited.sort_by(f64::total_cmp);
    let overtakes = overtakes(&visits, |_| true);
    let all: usize = overtakes.iter().sum();
    vec![
        quantile(&waited, 0.5),
        quantile(&waited, 0.99),
        quantile(&waited, 1.0),
        100.0 * all as f64 / visits.len() as f64,
        overtakes.iter().copied().max().unwrap_or(0) as f64,
    ]
}

/// For each visit, how many others, of those that `count`, were admitted before it while it was the
/// oldest.
pub(crate) fn overtakes(visits: &[Visit], count: impl Fn(usize) -> bool) -> Vec<usize> {
    #[derive(Clone, Copy)]
    enum Event {
        Arrival(usize),
        Admission(usize),
    }
    let mut events = vec![None; visits.len() * 2];
    for (index, visit) in visits.iter().enumerate() {
        events[visit.arrived] = Some(Event::Arrival(index));
        events[visit.admitted] = Some(Event::Admission(index));
    }
    let mut overtakes = vec![0; visits.len()];
    let mut admitted = vec![false; visits.len()];
    let mut line: VecDeque<usize> = VecDeque::new();
    for event in events.into_iter().flatten() {
        match event {
            Event::Arrival(index) => line.push_back(index),
            Event::Admission(index) => {
                admitted[index] = true;
                if let Some(&oldest) = line.front()
                    && oldest != index
                    && count(index)
                {
                    overtakes[oldest] += 1;
                }
                while line.front().is_some_and(|&oldest| admitted[oldest]) {
                    line.pop_front();
                }
            }
        }
    }
    overtakes
}

/// Above this a waiter counts as starved.
pub const MOST_WAKEUPS: usize = 1_000;
const LONGEST: Duration = Duration::from_millis(250);
/// How many turns of a spin loop a barging thread holds the permit: long against the moment it is
/// free, or the head would find it free by chance.
const BARGE_SPINS: usize = 100;

/// The most wake-ups that a waiter at the head needed until it was admitted, in `tries` attempts,
/// while two threads take and drop the only permit in a tight loop. Capped at [`MOST_WAKEUPS`]; a
/// waiter that got nothing within a quarter of a second counts as that many.
pub fn head_wakeups<P: AsyncPeer>(tries: usize) -> f64 {
    let limiter = P::new(1);
    let stop = AtomicBool::new(false);
    let barging = AtomicUsize::new(0);
    let barge = || {
        barging.fetch_add(1, Ordering::Relaxed);
        while !stop.load(Ordering::Relaxed) {
            if let Some(permit) = limiter.try_acquire() {
                (0..BARGE_SPINS).for_each(|_| std::hint::spin_loop());
                drop(permit);
            }
        }
    };
    let worst = thread::scope(|scope| {
        scope.spawn(barge);
        scope.spawn(barge);
        while barging.load(Ordering::Relaxed) < 2 {
            thread::yield_now();
        }
        let worst = (0..tries).map(|_| one_head(&limiter)).max();
        stop.store(true, Ordering::Relaxed);
        worst
    });
    worst.unwrap_or(0) as f64
}

fn one_head<P: AsyncPeer>(limiter: &P) -> usize {
    // So that the head surely finds the limiter full. Waiting for it gets it sooner than barging.
    let held = block_on(limiter.acquire());
    let waker = CountingWaker::for_this_thread();
    let as_waker = Waker::from(Arc::clone(&waker));
    let mut head = pin!(limiter.acquire());
    let poll = head.as_mut().poll(&mut Context::from_waker(&as_waker));
    assert!(poll.is_pending(), "granted while the limiter was full");
    drop(held);
    drive(head.as_mut(), &waker, MOST_WAKEUPS, LONGEST).map_or(MOST_WAKEUPS, |permit| {
        drop(permit);
        waker.count()
    })
}
