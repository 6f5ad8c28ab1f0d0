//! Uses that make no program of their own: clocks in tests, and two limiters at once.

use std::time::Duration;

use grmgr::{Adjustment, Clock, Limiter, ManualClock, acquire_all};
use tokio::time::{Instant, sleep, timeout};

/// A limiter that goes up with care, and down at once.
fn api(clock: impl Clock + 'static) -> Limiter {
    let builder = Limiter::builder("api").ceiling(8).max(10).hold_down(Duration::ZERO);
    builder.clock(clock).build().expect("it makes sense")
}

#[test]
fn manual_clock_ends_a_hold_when_told_to() {
    let clock = ManualClock::new();
    let api = api(clock.clone());
    assert_eq!(api.down(), Adjustment::Changed { from: 8, to: 6 });
    assert_eq!(api.up(), Adjustment::Held { remaining: Duration::from_secs(30) });
    assert_eq!(api.down(), Adjustment::Changed { from: 6, to: 4 });
    clock.advance(Duration::from_secs(30));
    assert_eq!(api.up(), Adjustment::Changed { from: 4, to: 5 });
}

/// tokio's clock, which `start_paused` moves on whenever all tasks sleep.
struct TokioClock(Instant);

impl Clock for TokioClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

#[tokio::test(start_paused = true)]
async fn paused_time_of_tokio_moves_holds_and_time_outs_alike() {
    let really = std::time::Instant::now();
    let api = api(TokioClock(Instant::now()));
    let _ = api.set_ceiling(1);
    let _permit = api.acquire().await.expect("one is free");

    // After an hour in line, the hold is over.
    assert!(timeout(Duration::from_secs(3600), api.acquire()).await.is_err());
    assert_eq!(api.up(), Adjustment::Changed { from: 1, to: 2 });
    assert!(api.acquire().await.is_ok());
    sleep(Duration::from_secs(29)).await;
    assert_eq!(api.up(), Adjustment::Held { remaining: Duration::from_secs(1) });
    assert!(really.elapsed() < Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn share_set_until_runs_out_in_tokios_time() {
    let api = api(TokioClock(Instant::now()));
    let share = api.cap("share").expect("the first");
    share.set_until(3, 0, Duration::from_secs(15));
    sleep(Duration::from_secs(14)).await;
    assert!(api.try_acquire().is_ok());
    sleep(Duration::from_secs(1)).await;
    assert!(api.try_acquire().is_err());
}

#[tokio::test]
async fn two_limiters_at_once_in_either_order_do_not_deadlock() {
    static DB: Limiter = Limiter::const_new("db", 1);
    static MEMORY: Limiter = Limiter::const_new("memory in MiB", 100);

    let work = async |forwards: bool| {
        for _ in 0..200 {
            let both = if forwards {
                acquire_all([(&DB, 1), (&MEMORY, 60)]).await
            } else {
                acquire_all([(&MEMORY, 60), (&DB, 1)]).await
            };
            let [first, second] = both.expect("neither is closed");
            tokio::task::yield_now().await;
            assert_eq!(first.count() + second.count(), 61);
        }
    };
    let all = async { tokio::join!(work(true), work(false), work(true), work(false)) };
    timeout(Duration::from_secs(60), all).await.expect("a deadlock");
    assert_eq!((DB.in_flight(), MEMORY.in_flight()), (0, 0));
}
