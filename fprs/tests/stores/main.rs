//! The plane on a store that is not its own process's, whatever happens to that store. Small by default;
//! `FPRS_SOAK=1` runs the same tests at full size.
#![cfg(feature = "etcd")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken expectation is a failed test with its place"
)]

mod outages;
mod poison;

#[path = "../rolling/calls.rs"]
mod calls;
#[path = "../rolling/edge.rs"]
#[allow(dead_code, reason = "proxies come and go in another suite")]
mod edge;
#[path = "../rolling/events.rs"]
mod events;
#[path = "../rolling/load.rs"]
#[allow(dead_code, reason = "who counts what was begun is another suite's")]
mod load;
#[path = "../rolling/requests.rs"]
mod requests;
#[path = "../rolling/sockets.rs"]
mod sockets;
#[path = "../rolling/world.rs"]
#[allow(dead_code, reason = "hand-overs are another suite's")]
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
