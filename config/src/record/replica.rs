//! PURE. One copy of a program, from the wish for it to its end.

use std::net::SocketAddr;
use std::sync::Arc;

use fprs_proto::record as wire;

use super::Millis;
use super::check::{self, Invalid};
use crate::limits;

/// Where a replica stands. Who moves it on is in the comment of each state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReplicaState {
    /// The autoscaler wants it; control is to place it.
    Requested,
    /// Placed by control; the relay starts the program.
    Starting,
    /// Its port accepts; set by control on the relay's word.
    Ready,
    /// Proxies send it nothing new; set by the autoscaler.
    Draining,
    /// Every live proxy knows that it drains (the autoscaler saw their acknowledgements); the relay
    /// waits for the last exchange and stops it, then control deletes the record.
    Stopping,
    /// It never got ready or died unasked; kept a while so that users see why.
    Failed,
}

/// One copy of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Unique in the plane, never reused.
    pub id: Arc<str>,
    /// The server it is a copy of.
    pub server: Arc<str>,
    /// Which version of the server's program.
    pub generation: u64,
    /// Where it stands.
    pub state: ReplicaState,
    /// The worker it was placed on; `None` until placed.
    pub worker: Option<Arc<str>>,
    /// That worker's relay; `None` until placed.
    pub address: Option<SocketAddr>,
    /// When it entered `state`.
    pub since_unix_ms: Millis,
    /// Why it failed; empty otherwise.
    pub reason: String,
    /// From start to ready; 0 until ready.
    pub startup_ms: Millis,
    /// Its share beside its siblings; at least 1.
    pub weight: u32,
    /// The egress pool by which proxies reach it; empty: by their own address.
    pub egress: Arc<str>,
}

impl Replica {
    pub(super) fn check(&self) -> Result<(), Invalid> {
        check::id("id", &self.id)?;
        check::label("server", &self.server)?;
        if let Some(worker) = &self.worker {
            check::id("worker", worker)?;
        }
        check::text("reason", &self.reason, limits::REASON_BYTES)?;
        check::optional_label("egress", &self.egress)?;
        if self.generation == 0 {
            return Err(Invalid::new("generation", "is 0: deploys count from 1"));
        }
        if self.state == ReplicaState::Ready && self.address.is_none() {
            return Err(Invalid::new("address", "is missing from a ready replica"));
        }
        if self.weight == 0 || self.weight > limits::REPLICA_WEIGHT {
            return Err(Invalid::new(
                "weight",
                format!(
                    "is {}: must be 1 to {}",
                    self.weight,
                    limits::REPLICA_WEIGHT
                ),
            ));
        }
        Ok(())
    }

    pub(super) fn try_from_wire(wire: wire::Replica) -> Result<Self, String> {
        let state = match wire.state() {
            wire::ReplicaState::Unspecified => {
                return Err(format!(
                    "`state` has no value this build knows: {}",
                    wire.state
                ));
            }
            wire::ReplicaState::Requested => ReplicaState::Requested,
            wire::ReplicaState::Starting => ReplicaState::Starting,
            wire::ReplicaState::Ready => ReplicaState::Ready,
            wire::ReplicaState::Draining => ReplicaState::Draining,
            wire::ReplicaState::Stopping => ReplicaState::Stopping,
            wire::ReplicaState::Failed => ReplicaState::Failed,
        };
        let address = match wire.address.as_str() {
            "" => None,
            text => Some(
                text.parse()
                    .map_err(|_| format!("`address` is not ip:port: `{text}`"))?,
            ),
        };
        let replica = Self {
            id: wire.id.into(),
            server: wire.server.into(),
            generation: wire.generation,
            state,
            worker: (!wire.worker.is_empty()).then(|| wire.worker.into()),
            address,
            since_unix_ms: wire.since_unix_ms,
            reason: wire.reason,
            startup_ms: wire.startup_ms,
            weight: wire.weight.max(1),
            egress: wire.egress.into(),
        };
        replica.check()?;
        Ok(replica)
    }

    pub(super) fn to_wire(&self) -> wire::Replica {
        let state = match self.state {
            ReplicaState::Requested => wire::ReplicaState::Requested,
            ReplicaState::Starting => wire::ReplicaState::Starting,
            ReplicaState::Ready => wire::ReplicaState::Ready,
            ReplicaState::Draining => wire::ReplicaState::Draining,
            ReplicaState::Stopping => wire::ReplicaState::Stopping,
            ReplicaState::Failed => wire::ReplicaState::Failed,
        };
        wire::Replica {
            id: self.id.to_string(),
            server: self.server.to_string(),
            generation: self.generation,
            state: state.into(),
            worker: self.worker.as_deref().unwrap_or_default().to_owned(),
            address: self
                .address
                .map(|address| address.to_string())
                .unwrap_or_default(),
            since_unix_ms: self.since_unix_ms,
            reason: self.reason.clone(),
            startup_ms: self.startup_ms,
            weight: self.weight,
            egress: self.egress.to_string(),
        }
    }
}
