//! PURE. A replica as users see it: four states instead of six.

use std::net::SocketAddr;

use fprs_config::{Replica, ReplicaState};
use serde::Serialize;

/// Where a replica stands, as users see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PublicState {
    /// Waits for its end or is ending: requests in flight go on, new ones go elsewhere.
    Draining,
    /// Never got ready or died.
    Failed,
    /// Serves.
    Ready,
    /// Waits for a place or for its port.
    Starting,
}

/// One replica.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ReplicaReport {
    id: String,
    server: String,
    state: PublicState,
    /// As its relay counted last; 0 for one that has no relay yet.
    in_flight: u64,
    address: Option<SocketAddr>,
    worker: Option<String>,
    generation: u64,
    since_unix_ms: u64,
    startup_ms: u64,
    reason: Option<String>,
}

impl From<ReplicaState> for PublicState {
    fn from(state: ReplicaState) -> Self {
        match state {
            ReplicaState::Requested | ReplicaState::Starting => Self::Starting,
            ReplicaState::Ready => Self::Ready,
            ReplicaState::Draining | ReplicaState::Stopping => Self::Draining,
            ReplicaState::Failed => Self::Failed,
        }
    }
}

impl ReplicaReport {
    /// What is told of that replica.
    pub(crate) fn new(replica: &Replica, in_flight: u64) -> Self {
        Self {
            id: replica.id.to_string(),
            server: replica.server.to_string(),
            state: replica.state.into(),
            in_flight,
            address: replica.address,
            worker: replica.worker.as_ref().map(ToString::to_string),
            generation: replica.generation,
            since_unix_ms: replica.since_unix_ms,
            startup_ms: replica.startup_ms,
            reason: (!replica.reason.is_empty()).then(|| replica.reason.clone()),
        }
    }
}
