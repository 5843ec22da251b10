//! Real clients against the real binary. Each talks to a program twice, with and without fprs
//! between, and must see the same, byte for byte; and at the end fprs must have counted what the
//! program saw, with nothing in flight.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken expectation is a failed test with its place"
)]

mod browser;
mod client;
mod echo;
mod grpc;
mod http;
mod install;
mod prompt;
mod seen;
mod stage;
mod websocket;
