//! Runs what has an image: a Deployment for each version of a server, as large as the store has replicas
//! of it, and of its pods the right ones gone. A pod's relay attaches to control like any worker;
//! everything else about a replica is as on a machine. `wanted`, `manifest`, `drift`, `cluster`, `plan`
//! and `pace` are PURE; `executor` watches the cluster and writes to it. Level-triggered: what was missed,
//! failed or was changed by others is mended by planning again.

mod cluster;
mod drift;
mod executor;
mod manifest;
mod pace;
mod plan;
mod settings;
mod wanted;

pub use executor::{Executor, KubernetesError};
pub use settings::{Collector, Pods, Relay, SecretKey, Settings};
