//! What does nothing, or gives its permit back at once, is not to be dropped by accident.

#![deny(unused_must_use)]

use grmgr::Limiter;

fn main() {
    let limiter = Limiter::new("unused", 1);
    limiter.acquire();
    limiter.wait();
    limiter.acquire_blocking().unwrap();
    limiter.up();
    limiter.cap("unused").unwrap();
    Limiter::builder("unused").ceiling(1);
}
