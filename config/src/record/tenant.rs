//! PURE. A scope of tokens, limits and fair share.

use fprs_proto::record as wire;

use super::check::{self, Invalid};
use crate::limits;

/// A scope of tokens, limits and fair share. One without a record has no limits and weight 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// A DNS label.
    pub name: String,
    /// What it may use.
    pub limits: Limits,
    /// Its share beside other tenants; at least 1.
    pub weight: u32,
}

/// What a tenant may use at one proxy; `None`: as much as there is. None of them is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests per second.
    pub requests_per_second: Option<u32>,
    /// Requests at once above that rate; only with it.
    pub burst: Option<u32>,
    /// Exchanges in flight.
    pub concurrent_exchanges: Option<u32>,
    /// Exchanges in flight on one connection of an edge.
    pub streams_per_connection: Option<u32>,
    /// Bytes held of its exchanges.
    pub buffered_bytes: Option<u64>,
    /// Connections to its replicas that are being made.
    pub dials: Option<u32>,
}

impl Tenant {
    /// A tenant of that name without limits.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            limits: Limits::default(),
            weight: 1,
        }
    }

    pub(super) fn check(&self) -> Result<(), Invalid> {
        check::label("name", &self.name)?;
        self.limits.check()?;
        if self.weight == 0 || self.weight > limits::TENANT_WEIGHT {
            return Err(Invalid::new(
                "weight",
                format!("is {}: must be 1 to {}", self.weight, limits::TENANT_WEIGHT),
            ));
        }
        Ok(())
    }

    pub(super) fn try_from_wire(wire: wire::Tenant) -> Result<Self, String> {
        let tenant = Self {
            name: wire.name,
            limits: Limits {
                requests_per_second: wire.requests_per_second,
                burst: wire.burst,
                concurrent_exchanges: wire.concurrent_exchanges,
                streams_per_connection: wire.streams_per_connection,
                buffered_bytes: wire.buffered_bytes,
                dials: wire.dials,
            },
            weight: wire.weight.max(1),
        };
        tenant.check()?;
        Ok(tenant)
    }

    pub(super) fn to_wire(&self) -> wire::Tenant {
        let limits = self.limits;
        wire::Tenant {
            name: self.name.clone(),
            requests_per_second: limits.requests_per_second,
            burst: limits.burst,
            concurrent_exchanges: limits.concurrent_exchanges,
            streams_per_connection: limits.streams_per_connection,
            buffered_bytes: limits.buffered_bytes,
            dials: limits.dials,
            weight: self.weight,
        }
    }
}

impl Limits {
    fn check(&self) -> Result<(), Invalid> {
        let bytes = self.buffered_bytes.map(|bytes| bytes == 0);
        let zero = |limit: Option<u32>| limit.map(|limit| limit == 0);
        for (field, is_zero) in [
            ("requests_per_second", zero(self.requests_per_second)),
            ("burst", zero(self.burst)),
            ("concurrent_exchanges", zero(self.concurrent_exchanges)),
            ("streams_per_connection", zero(self.streams_per_connection)),
            ("buffered_bytes", bytes),
            ("dials", zero(self.dials)),
        ] {
            if is_zero == Some(true) {
                return Err(Invalid::new(
                    field,
                    "is 0: must be at least 1, or left out for no limit",
                ));
            }
        }
        if self.burst.is_some() && self.requests_per_second.is_none() {
            return Err(Invalid::new(
                "burst",
                "means nothing without `requests_per_second`",
            ));
        }
        Ok(())
    }
}
