//! How long the head may have to wait (I4): on a limiter with one permit, which two threads take
//! again and again without ever waiting for it.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use crate::rng::Rng;
use crate::tally::{Kind, count};
use crate::watch::{Beat, Soak};

/// What a limiter has that is not told otherwise.
const PATIENCE: usize = 16;

struct Wakes {
    thread: Thread,
    count: AtomicUsize,
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.count.fetch_add(1, SeqCst);
        self.thread.unpark();
    }
}

/// The only waiter of its limiter, so it is the head whenever it waits.
pub(crate) fn wait(soak: &'static Soak, beat: &Beat, mut rng: Rng) {
    while !soak.is_stopped() {
        beat.start(Kind::HeadWait);
        let wakes = Arc::new(Wakes { thread: thread::current(), count: AtomicUsize::new(0) });
        let waker = Waker::from(wakes.clone());
        let mut request = pin!(soak.barged.acquire());
        let mut seen = 0;
        let permit = loop {
            if let Poll::Ready(permit) = request.as_mut().poll(&mut Context::from_waker(&waker)) {
                break permit.expect("it is not closed");
            }
            while wakes.count.load(SeqCst) == seen {
                thread::park();
            }
            seen += 1;
        };
        let woken = wakes.count.load(SeqCst);
        assert!(woken <= PATIENCE + 1, "woken {woken} times: {:?}", soak.barged);
        if woken == PATIENCE + 1 {
            count(Kind::HeadOutOfPatience);
        }
        drop(permit);
        beat.finish();
        // Give the others the time to be in the middle of it.
        thread::sleep(rng.micros(2_000));
    }
}

pub(crate) fn barge(soak: &'static Soak, beat: &Beat, _: Rng) {
    const MANY: u64 = 64;
    while !soak.is_stopped() {
        beat.start(Kind::Barge);
        let mut taken = 0;
        for _ in 0..MANY {
            if let Ok(permit) = soak.barged.try_acquire() {
                taken += 1;
                for _ in 0..100 {
                    std::hint::spin_loop();
                }
                drop(permit);
            }
        }
        beat.finish_many(Kind::Barge, taken);
        // Some processor time is left for the rest of the work.
        if soak.barged.waiting() == 0 {
            thread::sleep(Duration::from_micros(50));
        } else {
            thread::yield_now();
        }
    }
}
