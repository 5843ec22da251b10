//! Proxies that end and proxies that relieve each other, under load of every kind: nobody who talks to
//! them notices. Small by default; `FPRS_SOAK=1` runs the same tests at full size.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken expectation is a failed test with its place"
)]

mod calls;
mod drains;
mod edge;
mod events;
mod hand_overs;
mod load;
mod requests;
mod sockets;
mod take_over;
mod world;

use std::time::Duration;

#[test]
#[ignore = "the program that the other tests deploy"]
fn program() {
    fprs_testkit::program::main();
}

/// The binary under test.
const FPRS: &str = env!("CARGO_BIN_EXE_fprs");

/// For what takes milliseconds on an idle machine; tests share theirs with others.
const SOON: Duration = Duration::from_secs(20);

/// Proxies that end in a test: the first, or the second with `FPRS_SOAK=1`.
fn rounds() -> usize {
    if std::env::var_os("FPRS_SOAK").is_some_and(|value| value == "1") {
        20
    } else {
        2
    }
}
