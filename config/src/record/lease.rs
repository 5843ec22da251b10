//! PURE. A role that only one process may hold at a time.

use std::net::SocketAddr;

use fprs_proto::record as wire;

use super::Millis;

/// A role that only one process may hold at a time, e.g. `autoscaler`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The role.
    pub name: String,
    /// The process that holds it.
    pub holder: String,
    /// Where the holder answers.
    pub address: SocketAddr,
    /// Counts changes of holder.
    pub epoch: u64,
    /// When the holder last renewed it.
    pub renewed_unix_ms: Millis,
    /// Silence for longer than this loses it.
    pub ttl_ms: Millis,
}

impl Lease {
    pub(super) fn try_from_wire(wire: wire::Lease) -> Result<Self, String> {
        Ok(Self {
            address: wire
                .address
                .parse()
                .map_err(|_| format!("`address` is not ip:port: `{}`", wire.address))?,
            name: wire.name,
            holder: wire.holder,
            epoch: wire.epoch,
            renewed_unix_ms: wire.renewed_unix_ms,
            ttl_ms: wire.ttl_ms,
        })
    }

    pub(super) fn to_wire(&self) -> wire::Lease {
        wire::Lease {
            name: self.name.clone(),
            holder: self.holder.clone(),
            address: self.address.to_string(),
            epoch: self.epoch,
            renewed_unix_ms: self.renewed_unix_ms,
            ttl_ms: self.ttl_ms,
        }
    }
}
