//! Whatever one stream does, its neighbours on the connection don't notice and the connection lives:
//! through the real binary, one hazard a test. `docs/hazards.md` is the table of them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken expectation is a failed test with its place"
)]

mod churn;
mod crowd;
mod dials;
mod frames;
mod memory;
mod readers;
mod requests;
mod resets;
mod uploads;
mod world;

#[test]
#[ignore = "the program that the other tests deploy"]
fn program() {
    fprs_testkit::program::main();
}
