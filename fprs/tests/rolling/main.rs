//! Proxies that end and proxies that relieve each other, and a whole plane that is rolled to another
//! build, under load of every kind: nobody who talks to them notices. Small by default; `FPRS_SOAK=1` runs the same tests at full size.

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
mod upgrade;
mod world;

#[path = "../edge/envoy.rs"]
mod envoy;
#[path = "../edge/front.rs"]
#[allow(dead_code, reason = "proxies that move are another suite's")]
mod front;
#[path = "../edge/tls.rs"]
mod tls;

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

/// Proxies that end in a test.
fn rounds() -> usize {
    if soak() { 20 } else { 2 }
}

/// At full size.
fn soak() -> bool {
    std::env::var_os("FPRS_SOAK").is_some_and(|value| value == "1")
}
