//! The exchange engine: one request and its response carried between a client session and an
//! upstream session, both directions at once, each with back-pressure of its own. Sessions speak
//! HTTP/1.1 or HTTP/2; the engine doesn't know which. Knows nothing of routing, scaling or auth.

pub mod answer;
pub mod budget;
pub mod canonical;
pub mod deadlines;
pub mod downstream;
pub mod exchange;
pub mod fields;
pub mod grpc;
pub mod h1;
mod h2;
pub mod limits;
pub mod message;
pub mod shard;
mod socket;
pub mod stall;
pub mod trace;
pub mod turn;
pub mod upstream;
pub mod websocket;

pub use answer::{Answer, Reason};
pub use budget::{Account, Budget, Holder, Ledger, Owner};
pub use deadlines::Deadlines;
pub use downstream::Downstream;
pub use exchange::{End, Observer, Outcome, Rules, Sending, Verdict};
pub use message::{Body, Frame, Gone, Interim};
pub use shard::{Service, Shards};
pub use upstream::{Failure, Upstream};
