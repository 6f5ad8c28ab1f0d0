//! What is spawned must own its limiter: a handle is made of one that is kept long enough, and what
//! is called owned is asked of a handle.

use grmgr::{AcquireError, Handle, Limiter};

fn spawn(_: impl Future<Output = Result<(), AcquireError>> + Send + 'static) {}

fn borrowed_run() {
    let limiter = Handle::from(Limiter::new("short-lived", 1));
    spawn(limiter.run(async {}));
}

fn handle_of_a_local() -> Handle {
    let limiter = Limiter::new("short-lived", 1);
    limiter.handle()
}

fn owned_of_a_borrowed(limiter: &Limiter) {
    let _permit = limiter.try_acquire_owned();
}

fn main() {
    borrowed_run();
    handle_of_a_local();
    owned_of_a_borrowed(&Limiter::new("short-lived", 1));
}
