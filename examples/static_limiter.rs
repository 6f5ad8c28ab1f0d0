//! A `static` limiter in async code, spawned tasks and threads, with `select!` and time-outs: `cargo run --example static_limiter`

use std::thread;
use std::time::Duration;

use grmgr::{AcquireError, Limiter, OwnedPermit};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

static API: Limiter = Limiter::const_new("api", 2);

/// Ends the task.
static DONE: Notify = Notify::const_new();

#[tokio::main]
async fn main() -> Result<(), AcquireError> {
    // In async code: borrowed, and good for 'static.
    let permit = API.acquire().await?;

    // What is spawned, or put into a struct, may own it.
    let owned: OwnedPermit = API.handle().acquire_owned().await?;
    let task = tokio::spawn(async move {
        DONE.notified().await;
        owned.count()
    });

    // In a thread, which waits in the same line until the task gives its permit back.
    let waits = thread::spawn(|| API.acquire_blocking().map(|permit| permit.count()));
    while API.waiting() == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    println!("two hold a permit, one waits: {API:?}");

    // With a time-out: the request is dropped, and so leaves the line.
    let late = timeout(Duration::from_millis(5), API.acquire()).await;
    assert!(late.is_err());
    assert_eq!(API.waiting(), 1);

    // In a loop with `select!`: one request, polled by reference, keeps its place in line.
    let mut request = API.acquire();
    let mut ticks = 0;
    let second = loop {
        tokio::select! {
            granted = &mut request => break granted?,
            () = sleep(Duration::from_millis(5)) => ticks += 1,
        }
        if ticks == 3 {
            DONE.notify_one();
        }
    };
    println!("granted after {ticks} ticks");
    assert!(ticks >= 3);
    assert_eq!(task.await.expect("no panic"), 1);
    assert_eq!(waits.join().expect("no panic")?, 1);

    // Work passed as a future: the permit is back when the work is ready.
    drop((permit, second));
    let jobs: Vec<_> = (1..=20).map(|i| tokio::spawn(API.run(call(i)))).collect();
    let mut sum = 0;
    for job in jobs {
        sum += job.await.expect("no panic")?;
    }
    println!("20 calls, two at once, add up to {sum}");
    assert_eq!((sum, API.in_flight(), API.waiting()), (210, 0, 0));
    Ok(())
}

async fn call(i: u32) -> u32 {
    assert!(API.in_flight() <= 2);
    sleep(Duration::from_millis(1)).await;
    i
}
