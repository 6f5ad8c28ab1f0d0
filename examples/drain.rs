//! Drains under Ctrl-C, or after half a second, and names the work that still runs: `cargo run --features stats --example drain`

use std::error::Error;
use std::thread;
use std::time::Duration;

use grmgr::{Handle, Limiter, Registry};

const GRACE: Duration = Duration::from_millis(300);

fn main() -> Result<(), Box<dyn Error>> {
    let limiters = Registry::global();
    let jobs = Limiter::builder("jobs").ceiling(3).track_holders().build()?;
    let jobs = limiters.register(jobs)?;
    for (name, takes) in [("mails", 5), ("nightly export", 60_000), ("thumbnails", 20)] {
        let jobs = jobs.clone();
        thread::spawn(move || work(&jobs, name, Duration::from_millis(takes)));
    }
    wait_for_ctrl_c(Duration::from_millis(500))?;

    // Nothing new begins. What runs may finish, but not take for ever.
    limiters.close_all();
    if limiters.wait_all_blocking_timeout(GRACE) {
        return Err("the export cannot have ended".into());
    }
    for limiter in limiters.limiters() {
        for holder in limiter.holders() {
            let (label, held_for) = (&holder.label, holder.held_for);
            println!("{}: {label} still runs, for {held_for:.1?} now", limiter.name());
        }
    }
    let left: Vec<_> = jobs.holders().into_iter().map(|holder| holder.label).collect();
    assert_eq!(left, ["nightly export"]);
    Ok(())
}

/// The same job over and over, until the limiter is closed.
fn work(jobs: &Handle, name: &'static str, takes: Duration) {
    while let Ok(_permit) = jobs.acquire().label(name).blocking() {
        thread::sleep(takes);
    }
    println!("{name}: over");
}

fn wait_for_ctrl_c(at_most: Duration) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let told = tokio::time::timeout(at_most, tokio::signal::ctrl_c()).await;
        println!("{}", if told.is_ok() { "told to stop" } else { "the time is over" });
        Ok(())
    })
}
