//! PURE. A machine that runs replicas.

use std::net::SocketAddr;
use std::sync::Arc;

use fprs_proto::record as wire;

use super::check::{self, Invalid};
use crate::limits;

/// A machine that runs replicas, as its relay offers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    /// Unique in the plane.
    pub id: String,
    /// The relay's data address.
    pub address: SocketAddr,
    /// Where its replicas run; a server's `compute_region` must equal it.
    pub compute_region: String,
    /// Replicas it can run; at least 1.
    pub capacity: u32,
    /// Changes with every start of the relay process.
    pub epoch: u64,
    /// It takes no more replicas; those it has are replaced elsewhere. Its relay never says so.
    pub draining: bool,
    /// The egress pool by which proxies reach it; empty: by their own address.
    pub egress: String,
    /// It is a pod: it runs one replica of that version in its life, and nothing else. `None`: it
    /// runs commands, of any server.
    pub made_for: Option<MadeFor>,
}

/// What a pod was made to run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MadeFor {
    /// The server.
    pub server: Arc<str>,
    /// Which version of its program.
    pub generation: u64,
}

impl Worker {
    pub(super) fn check(&self) -> Result<(), Invalid> {
        check::id("id", &self.id)?;
        check::label("compute_region", &self.compute_region)?;
        check::optional_label("egress", &self.egress)?;
        if self.capacity == 0 || self.capacity > limits::WORKER_CAPACITY {
            return Err(Invalid::new(
                "capacity",
                format!(
                    "is {}: must be 1 to {}",
                    self.capacity,
                    limits::WORKER_CAPACITY
                ),
            ));
        }
        if let Some(made_for) = &self.made_for {
            check::label("made_for_server", &made_for.server)?;
            if made_for.generation == 0 {
                let problem = "is 0: deploys count from 1";
                return Err(Invalid::new("made_for_generation", problem));
            }
        }
        Ok(())
    }

    /// Whether that is what its relay offers now; a relay knows nothing of draining.
    pub fn is_offered(&self, offer: &Self) -> bool {
        let Self {
            id,
            address,
            compute_region,
            capacity,
            epoch,
            draining: _,
            egress,
            made_for,
        } = self;
        (
            id,
            address,
            compute_region,
            capacity,
            epoch,
            egress,
            made_for,
        ) == (
            &offer.id,
            &offer.address,
            &offer.compute_region,
            &offer.capacity,
            &offer.epoch,
            &offer.egress,
            &offer.made_for,
        )
    }

    /// Checks a worker as a relay offers it.
    ///
    /// # Errors
    /// Names the field that is wrong.
    pub fn try_from_wire(wire: wire::Worker) -> Result<Self, String> {
        let worker = Self {
            address: wire
                .address
                .parse()
                .map_err(|_| format!("`address` is not ip:port: `{}`", wire.address))?,
            id: wire.id,
            compute_region: wire.compute_region,
            capacity: wire.capacity,
            epoch: wire.epoch,
            draining: wire.draining,
            egress: wire.egress,
            made_for: (!wire.made_for_server.is_empty()).then(|| MadeFor {
                server: wire.made_for_server.into(),
                generation: wire.made_for_generation,
            }),
        };
        worker.check()?;
        Ok(worker)
    }

    /// The worker as it goes over the wire.
    pub fn to_wire(&self) -> wire::Worker {
        wire::Worker {
            id: self.id.clone(),
            address: self.address.to_string(),
            compute_region: self.compute_region.clone(),
            capacity: self.capacity,
            epoch: self.epoch,
            draining: self.draining,
            egress: self.egress.clone(),
            made_for_server: self
                .made_for
                .as_ref()
                .map(|made_for| made_for.server.to_string())
                .unwrap_or_default(),
            made_for_generation: self
                .made_for
                .as_ref()
                .map_or(0, |made_for| made_for.generation),
        }
    }
}
