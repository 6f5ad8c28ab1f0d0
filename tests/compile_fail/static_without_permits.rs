//! I14: in a constant, a ceiling out of range is found by the compiler.

use grmgr::Limiter;

static NOTHING: Limiter = Limiter::const_new("nothing", 0);
static TOO_MANY: Limiter = Limiter::const_new("too many", Limiter::MAX_CEILING + 1);

fn main() {
    NOTHING.close();
    TOO_MANY.close();
}
