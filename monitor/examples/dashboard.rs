//! What the crate is about, to look at: limits on three kinds of work, a history, a dashboard with
//! buttons, and a watcher of the CPU.
//!
//! ```text
//! cargo run --release -p grmgr-monitor --example dashboard
//! ```
//!
//! Then open the address it prints. `dashboard ADDRESS FILE` chooses where.

use std::env;
use std::error::Error;
use std::time::Duration;

use grmgr::{Limiter, Registry};
use grmgr_monitor::{Monitor, Pressure};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().unwrap_or("127.0.0.1:9187".into());
    let file = arguments.next().unwrap_or("dashboard.db".into());

    let registry = Registry::global();
    for (limiter, tasks, work) in [
        // More callers than places: they wait, and a press of `up` lets more of them in.
        (Limiter::builder("database").ceiling(20).min(4).max(40).up(4).down(4), 60, 80),
        (Limiter::builder("thumbnails").ceiling(6).min(1).max(12).up(1).down(2), 8, 40),
        // Rarely full.
        (Limiter::builder("mail api").ceiling(8).min(2).max(8), 6, 300),
    ] {
        let limiter = registry.register(limiter.hold(Duration::from_secs(5)).build()?)?;
        for task in 0..tasks {
            let limiter = limiter.clone();
            tokio::spawn(async move {
                let mut random = Random(task + 1);
                while let Ok(permit) = limiter.acquire().await {
                    tokio::time::sleep(Duration::from_millis(work / 2 + random.below(work))).await;
                    drop(permit);
                    // Waves of more and of less to do.
                    let rest = if random.below(4) == 0 { work * 8 } else { work / 2 };
                    tokio::time::sleep(Duration::from_millis(random.below(rest))).await;
                }
            });
        }
    }

    let monitor = Monitor::builder(registry)
        .sample_every(Duration::from_secs(1))
        .history(&file)
        .metrics()
        .dashboard(address)
        .pressure(Pressure::default())
        .start()?;
    if let Some(address) = monitor.dashboard_address() {
        println!("dashboard: http://{address}/   history: {file}   Ctrl-C ends it");
    }
    std::future::pending::<()>().await;
    Ok(())
}

/// xorshift64: enough to make waves.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n.max(1)
    }
}
