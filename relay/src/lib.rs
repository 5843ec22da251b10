//! Runs, probes, forwards to and drains replicas on a worker. It connects out to control, is told
//! what to run, and restarts nothing by itself. `replicas` is what supervision and the data path
//! share.

pub mod data;
pub mod replicas;
