//! Without `std` there is no list for large requests: they sleep among the units, where nothing is handed
//! over past them. All are served, on real threads.

#![cfg(not(feature = "std"))]

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use grmgr::{Acquire, Limiter, ManualClock, Permit};

const CEILING: usize = 8;
const ROUNDS: usize = 40_000;
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
        assert!(began.elapsed() < HANGS, "asleep, and not woken");
    }
}

#[test]
fn crowd_of_all_sizes_is_served() {
    for patience in [0, 1, 16] {
        let limiter = Limiter::builder("crowd")
            .ceiling(CEILING)
            .patience(patience)
            .clock(ManualClock::new())
            .build()
            .unwrap();
        let in_flight = AtomicUsize::new(0);
        let work = |thread: usize| {
            for round in 0..ROUNDS {
                // All at once, so that what one gives back is enough for several.
                let n = if thread == 0 { CEILING } else { 1 + (round + thread) / 4 % 2 };
                let mut acquire = limiter.acquire_many(n);
                if (round + thread) % 7 == 0 {
                    // Gives up wherever it stands.
                    let _ = pin!(&mut acquire).poll(&mut Context::from_waker(Waker::noop()));
                    continue;
                }
                let permit = finish(acquire);
                assert!(in_flight.fetch_add(n, SeqCst) + n <= CEILING, "beyond the ceiling");
                in_flight.fetch_sub(n, SeqCst);
                drop(permit);
            }
        };
        thread::scope(|scope| {
            for thread in 0..4 {
                let work = &work;
                scope.spawn(move || work(thread));
            }
        });
        assert_eq!((limiter.in_flight(), limiter.waiting()), (0, 0));
        assert!(limiter.try_acquire_many(CEILING).is_ok(), "as good as new");
    }
}
