//! The steps that a sequence is made of.

/// One step. Numbers that choose a future or a guard are taken modulo how many there are; if
/// there are none, the step does nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    /// Tries to acquire so many.
    Try(usize),
    /// Makes a request for so many and does not poll it.
    Make(usize),
    /// Makes a request for so many and polls it once.
    Enter(usize),
    /// Polls any request, whether it has been woken or not.
    Poll(usize),
    /// Polls a request that has been woken.
    Run(usize),
    DropRequest(usize),
    DropPermit(usize),
    Forget(usize),
    Done,
    Split(usize, usize),
    Merge(usize, usize),
    Up,
    Down,
    SetCeiling(usize),
    /// Takes a cap, if there may be another.
    NewCap,
    /// Sets a cap.
    SetCap(usize, usize),
    LiftCap(usize),
    DropCap(usize),
    Pause,
    Resume,
    /// Moves the clock by so many nanoseconds.
    Advance(u64),
    Close,
    /// Makes a future that waits for the limiter to be idle.
    Wait,
    PollWait(usize),
    DropWait(usize),
}
