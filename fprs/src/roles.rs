//! The roles, each started from values: what `fprs up` runs together in one process and `fprs
//! proxy`, `control`, `autoscaler` and `relay` one at a time.

mod admin;
mod autoscaler;
mod budget;
mod build_info;
mod config_metrics;
mod control;
mod counted_store;
mod egress;
mod follow;
mod holder;
mod mirrors;
mod otlp;
mod pods;
mod proxy;
mod readings;
mod relay;
mod usage;

pub use admin::{Admin, serve};
pub use autoscaler::Autoscaling;
pub(crate) use budget::budget;
pub use build_info::registry;
pub use control::{Controlling, open_audit_log, open_store};
pub use counted_store::counted;
pub use egress::egress_api;
pub use follow::Following;
pub use holder::Holder;
pub use mirrors::Seen;
pub use otlp::Tracing;
pub use pods::run_pods;
pub use proxy::Proxying;
pub use relay::Relaying;
pub use usage::{meter, save_usage, usage, usage_api};
