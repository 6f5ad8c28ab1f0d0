//! I2: a permit can only be given back to a limiter that is there.

use grmgr::{Limiter, Permit};

fn escape() -> Permit<'static> {
    let limiter = Limiter::new("short-lived", 1);
    limiter.try_acquire().unwrap()
}

fn outlive() {
    let limiter = Limiter::new("short-lived", 1);
    let permit = limiter.try_acquire();
    drop(limiter);
    drop(permit);
}

fn main() {
    escape();
    outlive();
}
