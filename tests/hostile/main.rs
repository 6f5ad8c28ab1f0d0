//! Misuse and hostile input: wakers that use the limiter that wakes them, clocks that do not keep
//! time, names and numbers that no sane program has. Whatever is done, nothing deadlocks and no
//! permit is lost; where the docs promise nothing, what they warn of is shown, in a process of its
//! own.

#![cfg(feature = "std")]

mod clocks;
#[path = "../common/mod.rs"]
mod common;
mod excluded;
mod extremes;
mod hooks;
mod idle_race;
mod inline;
mod panics;
mod wakers;
