//! More threads and longer histories than loom can go through: four to eight threads do some twenty
//! random things each. Under shuttle, in random schedules; without it on real threads.
#![cfg(not(loom))]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use grmgr::{AcquireError, Limiter, Permit};
use loom_tests::{Random, Task, assert_at_rest, idle, long_model, request, spawn, yield_now};

/// A limiter, with its own count of the permits that are out.
struct Crowd {
    limiter: Limiter,
    /// A permit is counted after it was granted and until before it is given back, so this is never
    /// more than what is in flight. A plain atomic: not an occasion to switch tasks.
    held: AtomicUsize,
    /// The ceiling, or the highest it may get.
    cap: usize,
}

/// A permit that is counted.
struct Counted<'a> {
    permit: Option<Permit<'a>>,
    crowd: &'a Crowd,
}

impl Crowd {
    fn new(limiter: Limiter) -> Arc<Self> {
        let cap = limiter.throttle().max;
        Arc::new(Self { limiter, held: AtomicUsize::new(0), cap })
    }

    fn fixed(ceiling: usize, patience: u32, max: usize) -> Arc<Self> {
        let builder = Limiter::builder("").ceiling(ceiling).max(max).patience(patience);
        let limiter = builder.build().unwrap();
        Arc::new(Self { limiter, held: AtomicUsize::new(0), cap: ceiling })
    }

    fn moving(ceiling: usize, patience: u32, max: usize) -> Arc<Self> {
        let builder = Limiter::builder("").ceiling(ceiling).max(max).patience(patience);
        Self::new(builder.hold(Duration::ZERO).build().unwrap())
    }

    /// I1: above the ceiling only if it is alone.
    fn count<'a>(&'a self, permit: Permit<'a>) -> Counted<'a> {
        let n = permit.count();
        let held = self.held.fetch_add(n, SeqCst) + n;
        assert!(held <= self.cap || held == n, "{held} of {} permits are out (I1)", self.cap);
        Counted { permit: Some(permit), crowd: self }
    }

    /// Threads that each run `work` with the limiter and a number of their own.
    fn threads(
        self: &Arc<Self>,
        n: usize,
        work: impl Fn(&Self, &mut Random, usize) + Copy + Send + 'static,
    ) -> Vec<Box<dyn FnOnce()>> {
        let start = |i| {
            let crowd = self.clone();
            let thread = spawn(move || work(&crowd, &mut Random::new(), i));
            Box::new(move || thread.join().unwrap()) as Box<dyn FnOnce()>
        };
        (0..n).map(start).collect()
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.crowd.held.fetch_sub(permit.count(), SeqCst);
            drop(permit);
        }
    }
}

fn join(threads: Vec<Box<dyn FnOnce()>>) {
    for thread in threads {
        thread();
    }
}

fn pause(random: &mut Random) {
    for _ in 0..random.below(3) {
        yield_now();
    }
}

/// Does `steps` random things that want up to `max` permits, or fewer if the limiter is closed.
fn use_it(crowd: &Crowd, random: &mut Random, steps: usize, max: usize) {
    let limiter = &crowd.limiter;
    for _ in 0..steps {
        // Most requests are for one permit.
        let n = if random.below(3) == 0 { 1 + random.below(max) } else { 1 };
        let done = match random.below(8) {
            0 => limiter.try_acquire_many(n).map_or(Ok(()), |permit| {
                let _counted = crowd.count(permit);
                pause(random);
                Ok(())
            }),
            1 => give_up(crowd, random, n),
            2 => give_up_unseen(crowd, random, n),
            3 => two_at_once(crowd, random, n),
            4 => request(limiter, n).finish().map(|mut permit| {
                // In two halves, counted apart.
                let half = permit.split(n / 2).expect("there are that many");
                let (_first, _second) = (crowd.count_part(permit, n), crowd.count_part(half, n));
                pause(random);
            }),
            _ => request(limiter, n).finish().map(|permit| {
                let _counted = crowd.count(permit);
                pause(random);
            }),
        };
        match done {
            Ok(()) => {}
            Err(AcquireError::Closed) => return assert!(limiter.is_closed()),
            Err(error) => panic!("{error}"),
        }
    }
}

impl Crowd {
    /// As `count`, for a part of `n` permits that were granted at once.
    fn count_part<'a>(&'a self, permit: Permit<'a>, n: usize) -> Counted<'a> {
        let held = self.held.fetch_add(permit.count(), SeqCst) + permit.count();
        assert!(held <= self.cap || held <= n, "{held} of {} permits are out (I1)", self.cap);
        Counted { permit: Some(permit), crowd: self }
    }
}

/// Waits for a while, then no longer.
fn give_up(crowd: &Crowd, random: &mut Random, n: usize) -> Result<(), AcquireError> {
    let mut task = request(&crowd.limiter, n);
    for _ in 0..random.below(4) {
        task.run();
        yield_now();
    }
    if task.is_done() {
        drop(crowd.count(task.output()?));
    } else {
        task.cancel();
    }
    Ok(())
}

/// Is not polled any more, woken or not, and then dropped.
fn give_up_unseen(crowd: &Crowd, random: &mut Random, n: usize) -> Result<(), AcquireError> {
    let task = request(&crowd.limiter, n);
    if task.is_done() {
        drop(crowd.count(task.output()?));
        return Ok(());
    }
    pause(random);
    task.cancel();
    Ok(())
}

/// Two requests of one thread, served in any order.
fn two_at_once(crowd: &Crowd, random: &mut Random, n: usize) -> Result<(), AcquireError> {
    let limiter = &crowd.limiter;
    let mut tasks = vec![request(limiter, n), request(limiter, 1)];
    while !tasks.is_empty() {
        let mut ran = false;
        for i in (0..tasks.len()).rev() {
            ran |= tasks[i].run();
            if tasks[i].is_done() {
                ran = true;
                // A permit is not kept while the other is waited for.
                drop(crowd.count(tasks.swap_remove(i).output()?));
                pause(random);
            }
        }
        if !ran {
            idle();
        }
    }
    Ok(())
}

/// Waits `n` times for a moment when it is idle.
fn watch_idle(crowd: &Crowd, n: usize) {
    for _ in 0..n {
        Task::start(crowd.limiter.wait()).finish();
    }
}

fn mixed_requests(patience: u32) {
    long_model(move || {
        let crowd = Crowd::fixed(3, patience, 5);
        join(crowd.threads(6, |crowd, random, i| match i {
            5 => watch_idle(crowd, 3),
            _ => use_it(crowd, random, 20, 5),
        }));
        assert_at_rest(&crowd.limiter, 3);
    });
}

#[test]
fn mixed_requests_are_all_served() {
    mixed_requests(16);
}

#[test]
fn mixed_requests_are_all_served_in_a_strict_line() {
    mixed_requests(0);
}

#[test]
fn mixed_requests_are_all_served_with_little_patience() {
    mixed_requests(1);
}

/// Eight threads that want one permit each: permits are handed over by the handful.
#[test]
fn many_unit_requests_are_all_served() {
    long_model(|| {
        let crowd = Crowd::fixed(4, 16, 4);
        join(crowd.threads(8, |crowd, random, _| use_it(crowd, random, 20, 1)));
        assert_at_rest(&crowd.limiter, 4);
    });
}

/// Few threads, so that the queue is often empty, and waiters that are gone when they are called: calls
/// that reach no waiter.
fn given_up_requests(threads: usize, ceiling: usize, largest: usize) {
    long_model(move || {
        let crowd = Crowd::fixed(ceiling, 2, ceiling);
        join(crowd.threads(threads, move |crowd, random, _| {
            for _ in 0..25 {
                let n = 1 + random.below(largest);
                let done = match random.below(6) {
                    0..2 => give_up(crowd, random, n),
                    2..4 => give_up_unseen(crowd, random, n),
                    _ => request(&crowd.limiter, n).finish().map(|permit| {
                        let _counted = crowd.count(permit);
                        pause(random);
                    }),
                };
                done.unwrap();
            }
        }));
        assert_at_rest(&crowd.limiter, ceiling);
    });
}

#[test]
fn requests_given_up_leave_nothing() {
    given_up_requests(4, 2, 1);
}

#[test]
fn requests_given_up_leave_nothing_of_many_permits() {
    given_up_requests(6, 3, 1);
}

#[test]
fn large_requests_given_up_leave_nothing() {
    given_up_requests(4, 2, 2);
}

/// Moves the ceiling and checks that nothing is granted above it (I5). The only thread that does.
fn move_ceiling(crowd: &Crowd, random: &mut Random, steps: usize, units_only: bool) {
    let limiter = &crowd.limiter;
    for _ in 0..steps {
        match random.below(6) {
            0 => drop(limiter.up()),
            1 => drop(limiter.down()),
            2 => {
                limiter.pause();
                let mut last = limiter.in_flight();
                for _ in 0..3 {
                    let now = limiter.in_flight();
                    assert!(now <= last, "granted while paused: {last} to {now} (I5)");
                    last = now;
                }
                limiter.resume();
            }
            _ => {
                let ceiling = 1 + random.below(crowd.cap);
                let _ = limiter.set_ceiling(ceiling);
                assert_eq!(limiter.ceiling(), ceiling);
                let mut last = limiter.in_flight();
                // A large request may run alone above the ceiling.
                for _ in 0..if units_only { 3 } else { 0 } {
                    let now = limiter.in_flight();
                    assert!(now <= last.max(ceiling), "granted above the ceiling (I5)");
                    last = now;
                }
            }
        }
        pause(random);
    }
}

fn moving_ceiling(patience: u32, largest: usize) {
    long_model(move || {
        let crowd = Crowd::moving(2, patience, 4);
        join(crowd.threads(7, move |crowd, random, i| match i {
            6 => move_ceiling(crowd, random, 20, largest == 1),
            5 => watch_idle(crowd, 2),
            _ => use_it(crowd, random, 15, largest),
        }));
        let ceiling = crowd.limiter.ceiling();
        assert_at_rest(&crowd.limiter, ceiling);
    });
}

#[test]
fn moving_ceiling_meets_unit_requests() {
    moving_ceiling(16, 1);
}

#[test]
fn moving_ceiling_meets_mixed_requests() {
    moving_ceiling(16, 4);
}

#[test]
fn moving_ceiling_meets_a_strict_line() {
    moving_ceiling(0, 4);
}

/// All waiters are told, and none keeps anything, whenever the close comes (I9, I11).
#[test]
fn close_meets_everything() {
    long_model(|| {
        let crowd = Crowd::moving(2, 2, 4);
        join(crowd.threads(8, |crowd, random, i| match i {
            7 => {
                for _ in 0..random.below(100) {
                    yield_now();
                }
                crowd.limiter.close();
            }
            6 => move_ceiling(crowd, random, 8, false),
            5 => watch_idle(crowd, 2),
            // So many that it is the close that ends it, most of the time.
            _ => use_it(crowd, random, 20, 4),
        }));
        assert!(crowd.limiter.is_closed());
        let ceiling = crowd.limiter.ceiling();
        assert_at_rest(&crowd.limiter, ceiling);
    });
}

/// I4, with a patience of 0: no request gets a permit while one that had come before is asleep. Only under
/// shuttle is there nothing between the step that calls a waiter to the seat and its waker.
#[cfg(shuttle)]
#[test]
fn strict_line_is_never_overtaken() {
    use std::sync::Mutex;

    /// The sleepers: since when they sleep, and whether they have been called.
    #[derive(Default)]
    struct Asleep {
        now: usize,
        tasks: Vec<(usize, Box<dyn Fn() -> bool + Send>)>,
    }

    impl Asleep {
        fn tick(&mut self) -> usize {
            self.now += 1;
            self.now
        }

        /// Called with a permit that was asked for at `started`.
        fn check(&self, started: usize) {
            let overtaken = self.tasks.iter().any(|(since, woken)| *since < started && !woken());
            assert!(!overtaken, "a waiter was overtaken in a strict line (I4)");
        }
    }

    fn wait(crowd: &Crowd, asleep: &Mutex<Asleep>, random: &mut Random) {
        let started = asleep.lock().unwrap().tick();
        let mut task = request(&crowd.limiter, 1);
        let since = asleep.lock().unwrap().tick();
        let mut patience = if random.below(4) == 0 { random.below(10) } else { usize::MAX };
        while !task.is_done() {
            asleep.lock().unwrap().tasks.push((since, Box::new(task.wake_flag())));
            while !task.is_woken() && patience > 0 {
                patience -= 1;
                idle();
            }
            asleep.lock().unwrap().tasks.retain(|(other, _)| *other != since);
            if patience == 0 {
                return task.cancel();
            }
            task.run();
        }
        let permit = task.output().unwrap();
        asleep.lock().unwrap().check(started);
        let _counted = crowd.count(permit);
        pause(random);
    }

    long_model(|| {
        let crowd = Crowd::fixed(3, 0, 3);
        let asleep = Arc::new(Mutex::new(Asleep::default()));
        let threads: Vec<_> = (0..6)
            .map(|_| {
                let (crowd, asleep) = (crowd.clone(), asleep.clone());
                spawn(move || {
                    let mut random = Random::new();
                    for _ in 0..15 {
                        if random.below(4) > 0 {
                            wait(&crowd, &asleep, &mut random);
                            continue;
                        }
                        let started = asleep.lock().unwrap().tick();
                        if let Ok(permit) = crowd.limiter.try_acquire() {
                            asleep.lock().unwrap().check(started);
                            drop(crowd.count(permit));
                        }
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_at_rest(&crowd.limiter, 3);
    });
}
