//! PURE. A custom host name bound to a server.

use std::sync::Arc;

use fprs_proto::record as wire;

use super::check::{self, Invalid};

/// A custom host name bound to a server. `<server>.<zone>` needs none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// Lower case, no port, no trailing dot.
    pub host: Arc<str>,
    /// The server's name; it need not exist (yet).
    pub server: Arc<str>,
}

impl Domain {
    pub(super) fn check(&self) -> Result<(), Invalid> {
        check::host("host", &self.host)?;
        check::label("server", &self.server)
    }

    pub(super) fn try_from_wire(wire: wire::Domain) -> Result<Self, String> {
        let domain = Self {
            host: wire.host.into(),
            server: wire.server.into(),
        };
        domain.check()?;
        Ok(domain)
    }

    pub(super) fn to_wire(&self) -> wire::Domain {
        wire::Domain {
            host: self.host.to_string(),
            server: self.server.to_string(),
        }
    }
}
