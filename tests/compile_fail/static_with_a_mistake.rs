//! What the builder refuses is found by the compiler in the options of a `static`.

use grmgr::{Limiter, Step};

static MIN: Limiter = Limiter::const_new("min", 20).with_max(50).with_min(30);
static MAX: Limiter = Limiter::const_new("max", 20).with_max(10);
static UP: Limiter = Limiter::const_new("up", 20).with_up(Step::By(0));
static DOWN: Limiter = Limiter::const_new("down", 20).with_down(Step::Percent(101));

fn main() {
    for limiter in [&MIN, &MAX, &UP, &DOWN] {
        limiter.close();
    }
}
