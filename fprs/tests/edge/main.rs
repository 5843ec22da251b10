//! A real Envoy in front of real fprs, through TLS, as clients meet it. Without Envoy the tests skip
//! loudly, and fail where `FPRS_REQUIRE_ENVOY=1` says that it must be there. `FPRS_SOAK=1` runs them at
//! full size.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken expectation is a failed test with its place"
)]

mod aborts;
mod bootstrap;
mod cleaning;
mod clients;
mod custom;
mod envoy;
mod fleet;
mod front;
mod handshakes;
mod hosts;
mod http3;
mod listeners;
mod neighbours;
mod plane;
mod raw_program;
mod refusals;
mod renewal;
mod sink;
mod start;
mod steering;
mod tls;
mod traces;
mod websockets;

#[path = "../clients/client.rs"]
mod client;
#[path = "../clients/install.rs"]
#[allow(dead_code, reason = "every suite installs what it needs")]
mod install;
#[path = "../clients/seen.rs"]
#[allow(dead_code, reason = "times are another suite's")]
mod seen;
#[path = "../clients/stage.rs"]
#[allow(dead_code, reason = "not every way of running a client is needed here")]
mod stage;

#[path = "../rolling/calls.rs"]
mod calls;
#[path = "../rolling/edge.rs"]
#[allow(dead_code, reason = "readiness is polled by the real one")]
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

#[test]
#[ignore = "the program that answers with what no other would"]
fn raw_program() {
    raw_program::main();
}

/// The binary under test.
const FPRS: &str = env!("CARGO_BIN_EXE_fprs");

/// For what takes milliseconds on an idle machine; tests share theirs with others.
const SOON: Duration = Duration::from_secs(20);
