//! Programs that must not compile, with what the compiler says. What it says is that of the
//! current stable release: after an update of it, look at the differences, and take them over
//! with `TRYBUILD=overwrite`.

#![cfg(all(feature = "std", not(any(feature = "stats", feature = "portable-atomic"))))]

#[test]
fn misuse_does_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
