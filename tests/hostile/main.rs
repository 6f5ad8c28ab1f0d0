//! Misuse and hostile input: wakers that use the limiter that wakes them, clocks that do not keep
//! time, names and numbers that nobody would choose. Whatever is done, nothing deadlocks and no
//! permit is lost; where the docs promise nothing, what they warn of is shown, in a process of its
//! own.

#![cfg(feature = "std")]

mod bench;
mod clocks;
mod excluded;
mod extremes;
mod idle_race;
mod inline;
mod panics;
mod wakers;
