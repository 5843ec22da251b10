//! What happens to one request and its answer, through the real binary: clients that speak HTTP/1.1
//! and h2c, programs that speak HTTP/1.1 and h2c, and all four pairs of them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken expectation is a failed test with its place"
)]

mod abort;
mod bulk;
mod call;
mod curl;
mod death;
mod duplex;
mod early;
mod fields;
mod interim;
mod keep_alive;
mod own_answers;
mod raw;
mod streaming;
mod world;

#[test]
#[ignore = "the program that the other tests deploy"]
fn program() {
    fprs_testkit::program::main();
}

#[test]
#[ignore = "the program that answers with bytes as they are"]
fn raw_program() {
    raw::main();
}
