//! Mirrors: whatever a shadow does, clients get what they would get without one, and copies hold no
//! more than they may. Small by default; `FPRS_SOAK=1` runs full size.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken expectation is a failed test with its place"
)]

mod comparing;
mod copies;
mod plane;
mod scene;
mod shadows;
mod uploads;

#[test]
#[ignore = "the program that the plane's tests deploy"]
fn program() {
    fprs_testkit::program::main();
}

/// The size of a test: the first one, or the second with `FPRS_SOAK=1`.
fn size(small: u64, soak: u64) -> u64 {
    if std::env::var_os("FPRS_SOAK").is_some_and(|value| value == "1") {
        soak
    } else {
        small
    }
}
