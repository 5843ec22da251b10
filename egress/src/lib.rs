//! Static-IP egress: what leaves a bound container leaves by a static IP, through WireGuard to one of
//! two gateways, and keeps its connections when a gateway dies. Decisions are PURE and tested without
//! a network; `gateway`, `agent`, `reconciler` and `cni` put them in force.
//!
//! The invariant of the whole crate: a bound address leaves by its static IP or not at all.

pub mod agent;
pub mod allocate;
pub mod announce;
pub mod certificate;
pub mod client;
pub mod cloud;
pub mod cni;
pub mod command;
pub mod credential;
pub mod failover;
pub mod fencing;
pub mod files;
pub mod gateway;
pub mod idle;
pub mod kernel;
pub mod key;
pub mod limits;
pub mod network;
pub mod overview;
pub mod ownership;
pub mod plan;
pub mod reconciler;
pub mod ruleset;
pub mod shaping;
pub mod store;
pub mod tls;
pub mod tunnel;
pub mod usage;
pub mod wire;
pub mod word;
