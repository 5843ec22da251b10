//! What moves a static IP where a link's ARP does not: a cloud's address API. A provider is told what is
//! wanted, again and again, and makes it so; it remembers nothing that the cloud does not say itself.

mod ec2;
pub(crate) mod http;
mod imds;
mod sign;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use futures_util::future::BoxFuture;

pub use self::ec2::{Ec2, Ec2Settings};
pub use self::imds::{Credentials, Imds, Interface};

/// Where a static IP is to be answered for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The cloud's name of the network interface.
    pub interface: String,
    /// The interface's own address that stands for it there.
    pub local: Ipv4Addr,
}

/// What came of asking a cloud.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloudError {
    /// It does not answer, or too late.
    #[error("{asked} does not answer: {why}")]
    Unreachable {
        /// What was asked.
        asked: String,
        /// Why.
        why: String,
    },
    /// It asks for patience.
    #[error("{asked} asks for patience: {code}")]
    Throttled {
        /// What was asked.
        asked: String,
        /// Its word for it.
        code: String,
    },
    /// It refuses.
    #[error("{asked} refuses: {code}: {message}")]
    Refused {
        /// What was asked.
        asked: String,
        /// Its word for it.
        code: String,
        /// Its reason.
        message: String,
    },
    /// Its answer is not what it should be.
    #[error("{asked} answers what nobody understands: {why}")]
    Strange {
        /// What was asked.
        asked: String,
        /// What of it.
        why: String,
    },
}

impl CloudError {
    /// The same may do better in a moment.
    pub const fn passes(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Throttled { .. })
    }
}

/// What moves static IPs.
pub trait Provider: Send + Sync {
    /// Makes it so that each of these is answered for at its place. Those that are already are left alone.
    fn put<'a>(
        &'a self,
        wanted: &'a BTreeMap<Ipv4Addr, Place>,
    ) -> BoxFuture<'a, Result<(), CloudError>>;
}
