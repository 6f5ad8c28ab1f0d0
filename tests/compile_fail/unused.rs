//! What does nothing, or gives its permit back at once, is not to be dropped by accident.

#![deny(unused_must_use)]

use std::time::Duration;

use grmgr::{Limiter, acquire_all};

fn main() {
    let limiter = Limiter::new("unused", 1);
    limiter.acquire();
    limiter.wait();
    limiter.acquire_blocking().unwrap();
    limiter.acquire_many(2).blocking_timeout(Duration::ZERO);
    limiter.wait().blocking_timeout(Duration::ZERO);
    limiter.run(async {});
    acquire_all([(&limiter, 1)]);
    let mut permit = limiter.try_acquire_many(2).unwrap();
    permit.release(1);
    limiter.up();
    limiter.cap("unused").unwrap();
    Limiter::builder("unused").ceiling(1);
}
