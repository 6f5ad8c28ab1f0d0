//! Long random sequences of everything that can be done to a limiter, by one thread and from fixed
//! seeds, so that a failure comes again. After every step the invariants that can be seen from
//! outside are checked.
//!
//! `SEQUENCES` tells how many are run (default: 1,500 of each kind).

#![cfg(feature = "std")]

mod common;

use std::time::Duration;

use common::{Request, Task, assert_at_rest, request};
use grmgr::{Limiter, Permit, Wait};

/// xorshift64*
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }
}

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % n
    }
}

const MAX: usize = 6;

struct Waiter<'a> {
    n: usize,
    task: Request<'a>,
    /// Seen woken after some step.
    was_called: bool,
}

struct State<'a> {
    limiter: &'a Limiter,
    patience: u32,
    largest: usize,
    permits: Vec<Permit<'a>>,
    forgotten: usize,
    /// In the order in which they came.
    line: Vec<Waiter<'a>>,
    /// Each with whether there was a moment of idleness since it began.
    idle: Vec<(Task<Wait<'a>>, bool)>,
    log: Vec<String>,
}

impl<'a> State<'a> {
    fn guarded(&self) -> usize {
        self.permits.iter().map(Permit::count).sum::<usize>() + self.forgotten
    }

    /// Whether `n` permits might just have been granted.
    fn check_grant(&self, n: usize, newcomer: bool) {
        let limiter = self.limiter;
        if n == 0 {
            return;
        }
        let in_flight = limiter.in_flight();
        let allowed = in_flight <= limiter.ceiling() || (in_flight == n && limiter.ceiling() > 0);
        // A waiter may see only now what it was handed before the ceiling was lowered.
        assert!(allowed || (!newcomer && n == 1), "above the ceiling (I1)");
        if newcomer {
            assert!(!limiter.is_closed(), "granted though closed (I9)");
            assert!(!limiter.is_paused(), "granted though paused (I5)");
            let called = self.line.iter().all(|waiter| waiter.task.is_woken());
            assert!(self.patience > 0 || called, "overtaken though strict (I4)");
        }
    }

    fn take(&mut self, permit: Permit<'a>, newcomer: bool) {
        self.check_grant(permit.count(), newcomer);
        self.permits.push(permit);
    }

    /// Polls waiter `i`, and takes what it got.
    fn poll(&mut self, i: usize) {
        if self.line[i].task.poll() {
            let waiter = self.line.remove(i);
            match waiter.task.output() {
                Ok(permit) => {
                    assert_eq!(permit.count(), waiter.n);
                    self.take(permit, false);
                }
                Err(error) => assert!(self.limiter.is_closed(), "{error}"),
            }
        }
    }

    fn step(&mut self, random: &mut Random, may_close: bool) {
        let limiter = self.limiter;
        let action = random.below(if may_close { 101 } else { 100 });
        self.log.push(format!("{action} {limiter:?}"));
        match action {
            0..20 => {
                let n = random.below(self.largest + 1);
                let mut task = request(limiter, n);
                match task.take() {
                    Some(Ok(permit)) => self.take(permit, true),
                    Some(Err(error)) => assert!(limiter.is_closed(), "{error}"),
                    None => self.line.push(Waiter { n, task, was_called: false }),
                }
            }
            20..30 => {
                let n = random.below(self.largest + 1);
                if let Ok(permit) = limiter.try_acquire_many(n) {
                    self.take(permit, true);
                }
            }
            30..50 if !self.permits.is_empty() => {
                let i = random.below(self.permits.len());
                drop(self.permits.swap_remove(i));
            }
            50..70 => {
                let woken: Vec<_> =
                    (0..self.line.len()).filter(|i| self.line[*i].task.is_woken()).collect();
                if !woken.is_empty() {
                    self.poll(woken[random.below(woken.len())]);
                }
            }
            70..74 if !self.line.is_empty() => self.poll(random.below(self.line.len())),
            74..82 if !self.line.is_empty() => {
                let i = random.below(self.line.len());
                drop(self.line.remove(i));
            }
            82..88 => _ = limiter.set_ceiling(random.below(MAX + 1)),
            88..90 => _ = limiter.up(),
            90..92 => limiter.pause(),
            92..95 => limiter.resume(),
            95 if !self.permits.is_empty() => {
                let permit = self.permits.pop().unwrap();
                self.forgotten += permit.count();
                permit.forget();
            }
            96..98 if self.forgotten > 0 => {
                self.forgotten -= 1;
                limiter.done();
            }
            98 if self.idle.len() < 3 => {
                let task = Task::start(limiter.wait());
                assert!(!task.is_done() || self.is_idle());
                self.idle.push((task, false));
            }
            99 if !self.idle.is_empty() => drop(self.idle.swap_remove(0)),
            100 => limiter.close(),
            _ => {}
        }
    }

    fn is_idle(&self) -> bool {
        let waiting = !self.limiter.is_closed() && !self.line.is_empty();
        self.limiter.in_flight() == 0 && !waiting
    }

    fn check(&mut self) {
        let limiter = self.limiter;
        let (ceiling, in_flight) = (limiter.ceiling(), limiter.in_flight());
        let guarded = self.guarded();
        let woken = self.line.iter().filter(|waiter| waiter.task.is_woken()).count();

        // I2: what is in flight is in a guard, forgotten, or handed to somebody who was woken.
        assert!(guarded <= in_flight && in_flight - guarded <= woken, "a permit too many (I2)");
        assert_eq!(limiter.waiting(), self.line.len());

        // I4: nobody is called for the first time before all who came before have been called.
        // (Those that have been may run in any order; a large request may be called for a permit
        // that turns out to be too little, and sleep again.)
        if let Some(asleep) = self.line.iter().position(|waiter| !waiter.task.is_woken()) {
            for waiter in &self.line[asleep..] {
                let called = waiter.task.is_woken() && !waiter.was_called;
                assert!(!called || limiter.is_closed(), "called before its turn (I4)");
            }
        }
        for waiter in &mut self.line {
            waiter.was_called |= waiter.task.is_woken();
        }

        if limiter.is_closed() {
            assert_eq!(woken, self.line.len(), "not told that it is closed (I9)");
        } else if !limiter.is_paused() {
            if self.line.iter().all(|waiter| waiter.n == 1) {
                // I3, I6: as many are woken as there is room for beside the guards.
                let room = ceiling.saturating_sub(guarded).min(self.line.len());
                assert!(woken >= room, "{woken} woken, room for {room} (I3, I6)");
            } else if woken == 0 {
                // I3: the first in line does not fit.
                let n = self.line[0].n;
                let fits = in_flight + n <= ceiling || (in_flight == 0 && ceiling > 0);
                assert!(!fits, "the first fits and sleeps (I3)");
            }
        }

        // I11: told at the moment, and at no other.
        let is_idle = self.is_idle();
        for (task, moment) in &mut self.idle {
            *moment |= is_idle;
            assert!(task.is_done() || task.is_woken() == *moment, "idle: {is_idle} (I11)");
        }
    }
}

fn run(seed: u64, patience: u32, largest: usize, may_close: bool) {
    let limiter = Limiter::builder("sequences").ceiling(3).min(0).max(MAX).patience(patience);
    let limiter = limiter.hold(Duration::ZERO).build().unwrap();
    let mut random = Random::new(seed);
    let mut state = State {
        limiter: &limiter,
        patience,
        largest,
        permits: Vec::new(),
        forgotten: 0,
        line: Vec::new(),
        idle: Vec::new(),
        log: Vec::new(),
    };
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        for _ in 0..120 {
            state.step(&mut random, may_close);
            state.check();
        }
        // In the end everybody is served who has not been refused, in whatever order they run.
        limiter.resume();
        let _ = limiter.set_ceiling(3);
        state.check();
        while !state.line.is_empty() {
            state.permits.clear();
            (0..std::mem::take(&mut state.forgotten)).for_each(|_| limiter.done());
            state.check();
            let woken: Vec<_> =
                (0..state.line.len()).filter(|i| state.line[*i].task.is_woken()).collect();
            assert!(!woken.is_empty(), "nobody is woken (I3)");
            state.poll(woken[random.below(woken.len())]);
            state.check();
        }
        state.permits.clear();
        (0..std::mem::take(&mut state.forgotten)).for_each(|_| limiter.done());
        state.check();
        assert_at_rest(&limiter);
    }));
    if let Err(payload) = outcome {
        let log = state.log.join("\n");
        eprintln!("{log}\nseed {seed}, patience {patience}, largest {largest}, {may_close}");
        std::panic::resume_unwind(payload);
    }
}

fn run_all(patience: u32, largest: usize) {
    let sequences = std::env::var("SEQUENCES").map_or(1_500, |n| n.parse().expect("a number"));
    for seed in 1..=sequences {
        run(seed, patience, largest, seed % 3 == 0);
    }
}

/// I1 to I6, I9 to I11.
#[test]
fn requests_for_one_permit_with_barging() {
    run_all(2, 1);
}

/// I1 to I6, I9 to I11.
#[test]
fn requests_for_one_permit_without_barging() {
    run_all(0, 1);
}

/// I1 to I6, I9 to I11.
#[test]
fn requests_for_several_permits_with_barging() {
    run_all(2, MAX);
}

/// I1 to I6, I9 to I11.
#[test]
fn requests_for_several_permits_without_barging() {
    run_all(0, MAX);
}
