//! A crawler with a limit for each host, made on demand and evicted when idle: `cargo run --example crawler`

use std::collections::HashSet;
use std::time::Duration;

use grmgr::{Limiter, Registry};
use tokio::task::JoinSet;
use tokio::time::sleep;

static HOSTS: Registry = Registry::new();

#[tokio::main]
async fn main() {
    let mut seen = HashSet::from([(0, 0)]);
    let mut fetches = JoinSet::from_iter([visit(0, 0)]);
    let mut most_hosts = 0;
    while let Some(links) = fetches.join_next().await {
        for (host, page) in links.expect("no panic") {
            if seen.insert((host, page)) {
                fetches.spawn(visit(host, page));
            }
        }
        most_hosts = most_hosts.max(HOSTS.len());
        // Evicts idle hosts, except those that have been turned down.
        HOSTS.retain(|host| host.setting() < host.throttle().max);
    }
    println!("{} pages, {most_hosts} hosts at once, of which are left {HOSTS:?}", seen.len());
    assert_eq!(seen.len(), 20 * 10);
    assert_eq!(HOSTS.names(), ["host-13"]);
    assert_eq!(HOSTS.get("host-13").map(|host| host.setting()), Some(1));
}

/// Fetches a page, at most 3 of a host at once, and returns where its links go.
async fn visit(host: u32, page: u32) -> Vec<(u32, u32)> {
    let name = format!("host-{host}");
    let limiter = HOSTS.get_or_register_with(&name, || Limiter::new(name.clone(), 3));
    let _permit = limiter.acquire().await.expect("eviction closes nothing");
    assert!(limiter.in_flight() <= 3);
    sleep(Duration::from_millis(2)).await;
    if host == 13 {
        let _ = limiter.down(); // it says 429: one at a time from now on, for the hold of 30 s
    }
    vec![(host, (page + 1) % 10), ((host + 1) % 20, page), ((host + 7) % 20, page)]
}
