//! Runs, probes, forwards to and drains replicas on a worker. It connects out to control, is told
//! what to run, and restarts nothing by itself. `replicas` is what supervision and the data path
//! share; `told`, `program::{ending, capture::*}` and `channel::backoff` are PURE.

mod channel;
pub mod data;
mod flag;
mod metrics;
mod program;
mod relay;
pub mod replicas;
mod settings;
mod state;
mod supervisor;
mod told;
mod watch;

pub use relay::{Relay, RelayError};
pub use settings::{Pod, RelaySettings};
