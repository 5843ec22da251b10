//! The measuring side: an origin, a load generator, the peers, and the harness that runs them
//! beside each other. Nothing here is part of the product.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    reason = "sizes and times here are far below every limit, slices are cut at lengths just \
              checked, and a failure ends a measurement instead of a service"
)]

pub mod arguments;
pub mod backend;
pub mod cases;
pub mod churn;
pub mod clock;
pub mod count;
pub mod gate;
pub mod harness;
pub mod load;
pub mod million;
pub mod peer;
pub mod poll;
pub mod process;
pub mod proxy;
pub mod records;
pub mod report;
pub mod wire;
