//! Compiles the recipes of `docs/guide.md`, and runs those that can be run. They need more libraries
//! than the tests of the limiter itself are to depend on.

#![forbid(unsafe_code)]

#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide.md")]
struct Guide;
