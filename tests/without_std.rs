//! Without `std` there is no list for large requests: they sleep among the units, where nothing is handed
//! over past them. All are served, on real threads.

#![cfg(not(feature = "std"))]

use std::pin::pin;
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use grmgr::{Acquire, Limiter, ManualClock, Permit};

const CEILING: usize = 3;
const ROUNDS: usize = 10_000;
const HANGS: Duration = Duration::from_secs(60);

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits by parking the thread; a wake-up that is lost ends the test.
fn finish(acquire: Acquire<'_>) -> Permit<'_> {
    let mut acquire = pin!(acquire);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        if let Poll::Ready(result) = acquire.as_mut().poll(&mut Context::from_waker(&waker)) {
            return result.expect("it is open");
        }
        let began = Instant::now();
        thread::park_timeout(HANGS);
        if began.elapsed() >= HANGS {
            eprintln!("asleep, and not woken");
            // The other threads wait for this one.
            std::process::abort();
        }
    }
}

/// In each round some enter, and one gives up, while the last permits are given back. Nothing follows
/// that would make up for a lost wake-up.
#[test]
fn requests_of_all_sizes_meet_releases() {
    for patience in [0, 1, 16] {
        let limiter = Limiter::builder("rounds")
            .ceiling(CEILING)
            .patience(patience)
            .clock(ManualClock::new())
            .build()
            .unwrap();
        let (begin, end) = (Barrier::new(3), Barrier::new(3));
        thread::scope(|scope| {
            for sizes in [[1, 2, 1], [2, 1, 2]] {
                let (limiter, begin, end) = (&limiter, &begin, &end);
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        begin.wait();
                        let n = sizes[round % 3];
                        if round % 5 == 0 {
                            let gives_up = pin!(limiter.acquire_many(n));
                            let mut cx = Context::from_waker(Waker::noop());
                            drop(gives_up.poll(&mut cx));
                        }
                        assert_eq!(finish(limiter.acquire_many(n)).count(), n);
                        end.wait();
                    }
                });
            }
            for round in 0..ROUNDS {
                let mut held = limiter.try_acquire_many(CEILING).expect("as good as new");
                begin.wait();
                // None, one or both are asleep by then.
                while limiter.waiting() < round % 3 {
                    thread::yield_now();
                }
                // One stays in flight, so that none of them runs alone.
                drop(held.split(1));
                drop(held.split(1));
                end.wait();
                drop(held);
                assert_eq!((limiter.in_flight(), limiter.waiting()), (0, 0));
            }
        });
    }
}
