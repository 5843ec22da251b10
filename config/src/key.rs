//! PURE. What a record is called and when it was written: kind + name, and the revision of its
//! commit. Keys order by kind, then name.

use std::fmt;
use std::sync::Arc;

/// A point in the store's history; 0 is the empty store. Grows with every commit, never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The kinds of record this build knows. A key of another kind is refused by `apply`, alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A custom host name bound to a server.
    Domain,
    /// Static addresses and the gateways that hold them.
    EgressPool,
    /// Whose JWTs are believed.
    Issuer,
    /// A role that one process holds at a time.
    Lease,
    /// Copies of a server's requests for another server.
    Mirror,
    /// One copy of a program.
    Replica,
    /// Another version of a record, in some cells.
    Rollout,
    /// A deployed program.
    Server,
    /// A scope of tokens and limits.
    Tenant,
    /// Credentials.
    Token,
    /// A machine that runs replicas.
    Worker,
}

impl Kind {
    /// Every kind, in key order.
    pub const ALL: [Self; 11] = [
        Self::Domain,
        Self::EgressPool,
        Self::Issuer,
        Self::Lease,
        Self::Mirror,
        Self::Replica,
        Self::Rollout,
        Self::Server,
        Self::Tenant,
        Self::Token,
        Self::Worker,
    ];

    /// The kind's name in keys, messages and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Domain => "domain",
            Self::EgressPool => "egress_pool",
            Self::Issuer => "issuer",
            Self::Lease => "lease",
            Self::Mirror => "mirror",
            Self::Replica => "replica",
            Self::Rollout => "rollout",
            Self::Server => "server",
            Self::Tenant => "tenant",
            Self::Token => "token",
            Self::Worker => "worker",
        }
    }

    /// The kind of that name, if this build knows it.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Names one record. The kind is text here: stores carry kinds that this build may not know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The kind's name, e.g. `server`.
    pub kind: Arc<str>,
    /// Unique within the kind.
    pub name: Arc<str>,
}

impl Key {
    /// The key of a record of a known kind.
    pub fn new(kind: Kind, name: &str) -> Self {
        Self {
            kind: kind.name().into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}
