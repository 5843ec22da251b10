//! What proxies tell the autoscaler: exactly how many exchanges are in flight where, and which
//! requests found no replica. `gauge`, `demand` and `touched` count on the request path, without a
//! lock; `report` is PURE; `reporter` streams reports over gRPC.

pub mod clock;
pub mod demand;
pub mod gauge;
mod report;
pub mod reporter;

pub use demand::{Demand, Lister, ServerDemand};
pub use gauge::{Gauge, Guard, Reading};
pub use reporter::{Reporter, ReporterError};
