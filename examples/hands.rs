//! Several hands on one ceiling: operator, memory pressure, a share that expires. The lowest rules: `cargo run --example hands`

use std::error::Error;
use std::thread;
use std::time::Duration;

use grmgr::{Clock, Limiter, SystemClock};

static DB: Limiter = Limiter::const_new("db", 20).with_max(50);

fn main() -> Result<(), Box<dyn Error>> {
    // More work than may run, all the time.
    for _ in 0..30 {
        thread::spawn(|| {
            loop {
                let _permit = DB.acquire_blocking();
                thread::sleep(Duration::from_millis(5));
            }
        });
    }
    assert_eq!(now("at the start"), (20, None));

    // Memory runs short.
    let pressure = DB.cap("memory pressure")?;
    pressure.set(5);
    assert_eq!(now("memory runs short"), (5, Some("memory pressure".into())));

    // The operator lowers the setting, which does not touch the cap.
    let _ = DB.set_ceiling(12);
    assert_eq!(now("operator: 12"), (5, Some("memory pressure".into())));

    // A cluster grants 3 for a while, then 1, unless it renews the share in time.
    let share = DB.cap("cluster share")?;
    share.set_until(3, 1, SystemClock.now() + Duration::from_millis(500));
    assert_eq!(now("share: 3 for 500 ms"), (3, Some("cluster share".into())));
    while DB.ceiling() != 1 {
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(now("share not renewed"), (1, Some("cluster share".into())));

    // Each hand lets go of its own cap, in any order.
    drop(share);
    assert_eq!(now("share given up"), (5, Some("memory pressure".into())));
    pressure.lift();
    assert_eq!(now("memory is free again"), (12, None));
    Ok(())
}

/// Waits until the ceiling is reached, and returns it with the cause of the cap that keeps it there.
fn now(event: &str) -> (usize, Option<String>) {
    let mut now = DB.snapshot();
    while now.in_flight != now.ceiling {
        thread::sleep(Duration::from_millis(1));
        now = DB.snapshot();
    }
    let by = now.bound_by().unwrap_or("the setting");
    println!("{event:<20} {:>2} of {:>2} run, by {by}", now.in_flight, now.ceiling);
    (now.ceiling, now.bound_by().map(str::to_owned))
}
