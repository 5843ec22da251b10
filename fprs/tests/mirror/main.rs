//! Mirrors: whatever a shadow does, clients get what they would get without one, and copies hold no
//! more than they may. Small by default; `FPRS_SOAK=1` runs full size.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken expectation is a failed test with its place"
)]

mod capturing;
mod comparing;
mod copies;
#[expect(dead_code, reason = "shared with the tests of the plane")]
#[path = "../plane/fleet.rs"]
mod fleet;
mod merging;
mod noise;
mod plane;
#[cfg(feature = "s3")]
mod s3_double;
mod scene;
mod shadows;
mod splits;
#[cfg(feature = "s3")]
mod uploading;
mod uploads;

#[test]
#[ignore = "the program that the plane's tests deploy"]
fn program() {
    fprs_testkit::program::main();
}

/// The binary under test.
const FPRS: &str = env!("CARGO_BIN_EXE_fprs");

/// For what takes milliseconds on an idle machine; tests share theirs with others.
const SOON: std::time::Duration = std::time::Duration::from_secs(20);

/// The size of a test: the first one, or the second with `FPRS_SOAK=1`.
fn size(small: u64, soak: u64) -> u64 {
    if std::env::var_os("FPRS_SOAK").is_some_and(|value| value == "1") {
        soak
    } else {
        small
    }
}
