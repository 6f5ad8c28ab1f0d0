//! I2: a permit that has been given back is not there any more.

use grmgr::{Handle, Limiter};

fn main() {
    let limiter = Handle::from(Limiter::new("twice", 1));
    let mut permit = limiter.try_acquire_owned().unwrap();
    drop(permit);
    permit.release(1);
}
