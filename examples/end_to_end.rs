//! From the first line to the last: work is let in at most `ceiling` at a time, the ceiling is
//! turned down and up while it runs, and the end waits for all of it.
//!
//! It is the complete example of the Go library grmgr, whose lines are quoted where they have a
//! counterpart.
//!
//! ```text
//! cargo run --example end_to_end
//! ```

use std::error::Error;
use std::time::{Duration, Instant};

use grmgr::{Adjustment, Handle, Limiter, OwnedPermit, Registry};
use tokio::sync::mpsc;
use tokio::time::sleep;

const NODES: usize = 100;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // go grmgr.PowerOn(ctx, &wpStart, &wpEnd): there is no service to start.

    // limiterDP, err := grmgr.NewConfig("dp", 10, 4, 2, 2, "200ms")
    let limiter = Limiter::builder("dp")
        .ceiling(10)
        .down(4)
        .up(2)
        .min(2)
        .hold(Duration::from_millis(200))
        .build()?;
    let dp = Registry::global().register(limiter)?;

    // The nodes come from somewhere; this channel never holds more than four.
    let (sender, mut nodes) = mpsc::channel(4);
    tokio::spawn(async move {
        for node in 0..NODES {
            let _ = sender.send(node).await;
        }
    });
    let operator = tokio::spawn(operate(dp.clone()));

    // for node := range ch {
    while let Some(node) = nodes.recv().await {
        // limiterDP.Control(): waits until fewer than the ceiling run.
        let permit = dp.acquire_owned().await?;
        // go processDP(limiterDP, node)
        tokio::spawn(process(node, permit));
    }

    // limiterDP.Wait()
    dp.wait().await;
    println!("all {NODES} nodes are done: {} in flight", dp.in_flight());
    operator.await?;

    // limiterDP.Delete(): later requests for it are told so, and nothing panics.
    Registry::global().delete("dp");
    println!("after the end: {}", dp.acquire().await.expect_err("it is closed"));

    // cancel(): there is no service to stop.
    Ok(())
}

async fn process(_node: usize, _permit: OwnedPermit) {
    sleep(Duration::from_millis(50)).await;
    // defer limiterDP.Done(): the permit is dropped here, also if this panics.
}

/// Turns the ceiling while the work goes on, as an operator would, and tells what it sees.
async fn operate(dp: Handle) {
    let started = Instant::now();
    let tell = |what: &str| {
        // Both figures of a snapshot belong to the same instant.
        let now = dp.snapshot();
        let time = started.elapsed().as_millis();
        println!("{time:>4} ms  {what:<24} {:>2} run, ceiling {}", now.in_flight, now.ceiling);
    };
    sleep(Duration::from_millis(20)).await;
    tell("full speed");
    // limiterDP.Down(): cancels no work; for a moment more may run than the ceiling allows.
    tell(&format!("down: {}", describe(dp.down())));
    // A second change within the hold is refused, and does not prolong it.
    tell(&format!("down: {}", describe(dp.down())));
    sleep(Duration::from_millis(100)).await;
    tell("the surplus has ended");
    sleep(Duration::from_millis(120)).await;
    // limiterDP.Up(): as many as now may are let in at once.
    tell(&format!("up: {}", describe(dp.up())));
    sleep(Duration::from_millis(20)).await;
    tell("two more are let in");
    // To a ceiling of one's choice, hold or not.
    tell(&format!("set to 10: {}", describe(dp.set_ceiling(10))));
    sleep(Duration::from_millis(20)).await;
    tell("full speed again");
}

fn describe(adjustment: Adjustment) -> String {
    match adjustment {
        Adjustment::Changed { from, to } => format!("from {from} to {to}"),
        Adjustment::Held { remaining } => format!("held for {} ms", remaining.as_millis()),
        other => format!("{other:?}"),
    }
}
