//! Static-IP egress in network namespaces, with the real binary in each: what the internet sees, what
//! never gets there, and what a live connection notices when a gateway dies.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::format_push_string,
    reason = "tests: a broken expectation is a failed test with its place"
)]

mod available;
mod binding;
mod clouding;
mod cni;
mod control;
mod crowd;
mod engine;
mod failover;
mod fencing;
mod following;
mod leading;
mod many;
mod proxying;
mod refused;
mod shaping;
mod speed;
mod storm;
mod world;
