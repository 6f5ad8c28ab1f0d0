//! What a request costs more under an adaptive limiter than with a plain permit and two looks at the clock.

use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use grmgr::{Clock, Limiter, SystemClock};
use grmgr_adaptive::Adaptive;

const ROUNDS: usize = 41;
const EACH: u32 = 200_000;

/// Nanoseconds each.
fn time(mut work: impl FnMut()) -> f64 {
    let begun = Instant::now();
    for _ in 0..EACH {
        work();
    }
    begun.elapsed().as_nanos() as f64 / f64::from(EACH)
}

fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("a permit is free"),
    }
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let plain = Limiter::new("plain", 20);
    // Full with one request, so that each counts in an experiment.
    let adaptive = Adaptive::new(Limiter::new("adaptive", 1)).expect("a cap");
    let (mut permits, mut clocks, mut measured) = (Vec::new(), Vec::new(), Vec::new());
    // In turn, so that whatever else the machine does meets all alike.
    for _ in 0..ROUNDS {
        permits.push(time(|| drop(black_box(now(plain.acquire()).expect("open")))));
        clocks.push(time(|| {
            let permit = now(plain.acquire()).expect("open");
            black_box(SystemClock.now());
            drop(black_box(permit));
            black_box(SystemClock.now());
        }));
        measured.push(time(|| now(adaptive.acquire()).expect("open").success()));
    }
    let (permit, clock, all) = (median(&mut permits), median(&mut clocks), median(&mut measured));
    println!("acquire + drop                      {permit:6.1} ns");
    println!("acquire + drop + two clock reads    {clock:6.1} ns");
    println!("adaptive acquire + success          {all:6.1} ns");
    println!("on top                              {:6.1} ns", all - clock);
}
