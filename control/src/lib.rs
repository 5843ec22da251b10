//! What users and workers talk to: the control API (deploys, tokens, status, logs), the channel every
//! relay opens, and the driver that places replicas and moves their records on. `access`, `deploy`,
//! `lifecycle`, `place`, `report` and `fleet` are PURE; `admin`, `api`, `audit`, `commit`, `counts`,
//! `driver`, `tail` and `workers` do the I/O around them. Everything control knows is derived from the
//! store's snapshot and what attached workers say, so a restart forgets nothing.
//!
//! ```text
//! let control = Control::new(settings, store, view, &registry)?;
//! let router = control.router(Admin { token, registry, ready, config, api, grpc });
//! tokio::spawn(control.run());            // or any supervised task group
//! axum::serve(listener, router).await?;   // HTTP/1.1 and h2c, JSON and gRPC, one port
//! ```

mod access;
pub mod admin;
mod api;
mod audit;
mod commit;
mod control;
mod counts;
mod deploy;
mod driver;
mod fleet;
mod lifecycle;
mod metrics;
mod mirrors;
mod page;
mod place;
pub mod problem;
mod report;
mod secret;
mod settings;
mod stage;
mod tail;
#[cfg(test)]
mod testing;
mod token;
mod usage;
mod workers;

pub use admin::{Admin, ReadyCheck};
pub use audit::AuditLog;
pub use control::{Control, ControlError};
pub use mirrors::{MirrorReports, mirror_reports};
pub use settings::{ControlSettings, PublicUrl};
pub use token::AdminToken;
pub use usage::{Asked, MonthReport, UsageReports, usage_report};
