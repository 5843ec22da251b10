//! PURE. A role that only one process may hold at a time.

use std::net::SocketAddr;
use std::time::Duration;

use fprs_proto::record as wire;

use super::Millis;
use super::check::{self, Invalid};
use crate::limits;

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
    pub(super) fn check(&self) -> Result<(), Invalid> {
        check::id("name", &self.name)?;
        check::id("holder", &self.holder)?;
        check::positive("ttl", Duration::from_millis(self.ttl_ms), limits::DURATION)
    }

    pub(super) fn try_from_wire(wire: wire::Lease) -> Result<Self, String> {
        let lease = Self {
            address: wire
                .address
                .parse()
                .map_err(|_| format!("`address` is not ip:port: `{}`", wire.address))?,
            name: wire.name,
            holder: wire.holder,
            epoch: wire.epoch,
            renewed_unix_ms: wire.renewed_unix_ms,
            ttl_ms: wire.ttl_ms,
        };
        lease.check()?;
        Ok(lease)
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
