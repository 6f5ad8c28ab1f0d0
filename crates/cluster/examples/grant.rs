//! What a lease costs each grant: a look at the clock.
//!
//! ```sh
//! cargo run --release -p grmgr-cluster --example grant
//! ```

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use grmgr::{Clock, Handle, Limiter, OwnedCap, SystemClock};
use grmgr_cluster::LeaseClock;

const ROUNDS: u32 = 2_000_000;

fn limiter(clock: impl Clock + 'static) -> Result<Handle, grmgr::ConfigError> {
    Ok(Limiter::builder("db").ceiling(100).run_alone(false).clock(clock).build()?.into())
}

/// Nanoseconds for one permit, taken and given back.
fn nanos(limiter: &Limiter) -> f64 {
    let begin = Instant::now();
    for _ in 0..ROUNDS {
        let _ = black_box(limiter.try_acquire());
    }
    begin.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS)
}

fn leased(limiter: &Handle) -> Result<OwnedCap, Box<dyn Error>> {
    let cap = limiter.cap_owned("cluster")?;
    let now = limiter.now().ok_or("no clock")?;
    cap.set_until(100, 0, now + Duration::from_secs(3_600));
    Ok(cap)
}

fn main() -> Result<(), Box<dyn Error>> {
    let plain = limiter(LeaseClock)?;
    let [by_lease_clock, by_system_clock] = [limiter(LeaseClock)?, limiter(SystemClock)?];
    let _caps = [leased(&by_lease_clock)?, leased(&by_system_clock)?];
    let clock = || {
        let begin = Instant::now();
        for _ in 0..ROUNDS {
            black_box(LeaseClock.now());
        }
        begin.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS)
    };
    // In turn, and the least of each: what else the machine does only adds.
    let mut least = [f64::MAX; 4];
    for _ in 0..9 {
        let found = [nanos(&plain), nanos(&by_lease_clock), nanos(&by_system_clock), clock()];
        least = std::array::from_fn(|i| least[i].min(found[i]));
    }
    let [plain, leased, system, clock] = least;
    println!("try_acquire and drop, no lease          {plain:6.1} ns");
    println!("with a lease                            {leased:6.1} ns");
    println!("with a lease, by the system's clock     {system:6.1} ns");
    println!("one look at LeaseClock                  {clock:6.1} ns");
    Ok(())
}
