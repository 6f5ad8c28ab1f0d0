//! The guards of the rules, each of which the model leaves out once to see that it is needed.

/// What keeps too much from being in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    /// O1: no more is granted than there is room for.
    Room,
    /// O1: what a member has in force stays its own until it says that it is not any more.
    Keep,
    /// O1: a request that comes after its successor changes nothing.
    Seq,
    /// O2: a lease runs from when it was asked for, and ends early by the margin.
    Sent,
    /// O3: nobody grows for a while after a change of the server.
    Quiet,
    /// O3: a share from elsewhere is taken over only if it outlasts the old primary.
    Outlasts,
    /// O5: a clock that jumps is seen.
    Jump,
    /// O5: nobody is taken for lapsed by a member that cannot tell whether the clock has jumped.
    Vouch,
}

#[cfg(not(test))]
pub(crate) const fn holds(_: Guard) -> bool {
    true
}

#[cfg(test)]
std::thread_local! {
    pub(crate) static BROKEN: std::cell::Cell<Option<Guard>> = const { std::cell::Cell::new(None) };
}

#[cfg(test)]
pub(crate) fn holds(guard: Guard) -> bool {
    BROKEN.get() != Some(guard)
}
