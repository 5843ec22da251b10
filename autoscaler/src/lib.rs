//! Scales servers: reports become load, load a decision, a decision writes to the store. `demand`,
//! `decide`, `plan`, `lease`, `relays`, `crosscheck`, `scaler`, `trace`, `simulate` and `write` are
//! PURE and what a simulation runs; `service` takes reports, `controller` ticks and commits.

mod autoscaler;
mod changed;
mod controller;
mod crosscheck;
pub mod decide;
pub mod demand;
pub mod explain;
pub mod plan;
mod recorders;
mod relays;
mod scaler;
pub mod service;
mod shared;
pub mod simulate;
pub mod trace;
mod write;

pub use autoscaler::{Autoscaler, Observer, Settings};
pub use decide::{Decision, Inputs, Rule};
pub use explain::Explained;
