//! The proxy: which server a host name means, who may call it, which of its replicas takes a request,
//! and the exchange that follows. Everything a request needs is in memory before it arrives.

pub mod access_log;
pub mod admit;
pub mod auth;
pub mod balance;
mod clock;
pub mod forwarded;
pub mod host;
pub mod metrics;
pub mod mirror;
pub mod peers;
pub mod sample;
pub mod service;
pub mod sources;
pub mod split;
pub mod table;
#[cfg(test)]
mod testing;

pub use access_log::AccessLog;
pub use service::{Proxy, Settings};
pub use table::{Replica, Route, Table, Tables};
