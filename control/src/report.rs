//! PURE. What the API answers about servers, replicas and workers. The field names are a promise to
//! scripts.

mod replica;
mod server;
mod spec;

pub(crate) use replica::{PublicState, ReplicaReport};
pub(crate) use server::{Counts, ServerReport, problem};
