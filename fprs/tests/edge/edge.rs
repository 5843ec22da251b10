//! Where the clients of the rolling suite's load connect: one edge, always ready, whichever proxies are
//! behind it.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::tls::Tunnel;

#[derive(Debug)]
pub(crate) struct Edge {
    tunnel: Tunnel,
}

impl Edge {
    pub(crate) fn new(tunnel: Tunnel) -> Arc<Self> {
        Arc::new(Self { tunnel })
    }

    pub(crate) async fn pick(&self) -> SocketAddr {
        self.tunnel.address()
    }

    /// Clients have no say in which proxy they use.
    pub(crate) const fn is_ready(&self, _: SocketAddr) -> bool {
        true
    }
}
