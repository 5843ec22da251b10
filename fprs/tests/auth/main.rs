//! Who may call, end to end: the real binary, credentials made as users make them, and what programs,
//! attackers and operators get to see of them. Small by default; `FPRS_SOAK=1` runs full size.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken expectation is a failed test with its place"
)]

mod browsers;
mod calling;
#[expect(dead_code, reason = "shared with the tests of the plane")]
#[path = "../plane/fleet.rs"]
mod fleet;
mod guessing;
mod logging;
mod operating;
mod refused;
mod revoking;
mod secrets;
mod stage;

use std::time::Duration;

use fprs_testkit::program;

#[test]
#[ignore = "the program that the other tests deploy"]
fn program() {
    program::main();
}

/// The binary under test.
const FPRS: &str = env!("CARGO_BIN_EXE_fprs");

/// For what takes milliseconds on an idle machine; tests share theirs with others.
const SOON: Duration = Duration::from_secs(10);

/// The size of a test: the first one, or the second with `FPRS_SOAK=1`.
fn sized<T>(small: T, full: T) -> T {
    if std::env::var_os("FPRS_SOAK").is_some_and(|value| value == "1") {
        full
    } else {
        small
    }
}
