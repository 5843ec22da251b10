//! The store's contract over gRPC: whoever may open the store serves it, everybody else follows.
//! Both ends keep the same contract as the store behind them, and the same conformance suite.

pub mod client;
pub mod server;

pub use client::FeedClient;

#[cfg(test)]
mod tests;
