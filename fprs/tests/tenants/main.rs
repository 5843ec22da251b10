//! Tenants beside each other on one core of a proxy: one that floods is told so, and the others go on;
//! while all ask for more than there is, each gets its share.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken expectation is a failed test with its place"
)]

mod floods;
mod load;
mod neighbour;
mod origin;
mod scene;
mod shares;
mod wire;
