//! One limiter for each tenant, so that a flood from one does not delay the others: `cargo run --example tenants`

use std::time::Duration;

use grmgr::{AcquireError, Config, Handle, Limiter, Registry};
use tokio::task::JoinSet;
use tokio::time::sleep;

static TENANTS: Registry = Registry::new();

#[tokio::main]
async fn main() {
    // One tenant sends 200 requests at once: 2 run, 100 wait, the others are refused.
    let mut flood: JoinSet<_> = (0..200).map(|_| request("flood")).collect();
    while tenant("flood").waiting() < 100 {
        sleep(Duration::from_millis(1)).await;
    }

    // Another tenant has its own line, and one that has paid for more has a higher ceiling.
    request("calm").await.expect("there is no line here");
    assert_eq!((tenant("calm").ceiling(), tenant("initech").ceiling()), (2, 6));
    println!("\"calm\" is served while \"flood\" waits: {:?}", tenant("flood"));
    assert!(tenant("flood").waiting() > 0);

    // Idle tenants are evicted; their next request makes the limiter again.
    assert_eq!(TENANTS.remove_idle(), 2);
    assert_eq!(TENANTS.names(), ["flood"]);

    // The operator locks one out: all its waiters get `Closed`.
    TENANTS.delete("flood").expect("it is there").wait().await;
    let (mut served, mut refused, mut closed) = (0, 0, 0);
    while let Some(answer) = flood.join_next().await {
        match answer.expect("no panic") {
            Ok(()) => served += 1,
            Err(AcquireError::QueueFull { .. }) => refused += 1,
            Err(_closed) => closed += 1,
        }
    }
    println!("of \"flood\" {served} were served, {refused} refused, {closed} told it is closed");
    assert!(served >= 2 && served + refused + closed == 200);
    assert!(refused > 0 && closed > 0);
}

async fn request(name: &str) -> Result<(), AcquireError> {
    let tenant = tenant(name);
    tenant.run(work()).await
}

async fn work() {
    sleep(Duration::from_millis(50)).await;
}

/// The tenant's limiter, made when first asked for.
fn tenant(name: &str) -> Handle {
    TENANTS.get_or_register_with(name, || {
        let mut config = Config::new(name, 2).max(10).max_waiting(100); // what all tenants get
        if name == "initech" {
            config.ceiling = 6;
        }
        Limiter::try_from(config).expect("the defaults make sense")
    })
}
