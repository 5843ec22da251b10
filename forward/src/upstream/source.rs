//! From which address connections to a peer are made, where that is not the system's choice: the tunnel
//! address of an egress pool. While there is none, nothing is dialled: what is to leave by a pool leaves
//! by it or not at all.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// One pool's address on this machine, which may come, change and go.
#[derive(Debug)]
pub struct Source {
    pool: Arc<str>,
    /// 0: there is none.
    address: AtomicU32,
}

impl Source {
    /// A pool without an address yet.
    pub fn new(pool: &str) -> Self {
        Self {
            pool: pool.into(),
            address: AtomicU32::new(0),
        }
    }

    /// The pool.
    pub fn pool(&self) -> &str {
        &self.pool
    }

    /// Its address; connections that are there are not touched.
    pub fn set(&self, address: Option<Ipv4Addr>) {
        let bits = address.map_or(0, Ipv4Addr::to_bits);
        self.address.store(bits, Ordering::Relaxed);
    }

    /// Its address, if it has one.
    pub fn address(&self) -> Option<Ipv4Addr> {
        let bits = self.address.load(Ordering::Relaxed);
        (bits != 0).then(|| Ipv4Addr::from_bits(bits))
    }
}
