//! PURE. The checked types behind the records: what decodes into one of these holds its invariants.
//! Decoding is the only way in from a store, [`Record::change`] the only way out to one.

mod check;
mod cors;
mod domain;
mod egress_pool;
mod issuer;
mod lease;
mod mirror;
mod replica;
mod rollout;
mod scaling;
mod server;
mod tenant;
mod token;
mod version;
mod worker;

pub use check::Invalid;
pub(crate) use check::host as check_host;
pub use cors::Cors;
pub use domain::Domain;
pub use egress_pool::{EgressGateway, EgressPolicy, EgressPool, EgressProvider};
pub use issuer::{Algorithm, Issuer, Jwk, Jwks, PublicKey};
pub use lease::Lease;
pub use mirror::{Capture, Compare, Mirror, MirrorKey, NO_WEBSOCKETS, is_secret};
pub use replica::{Replica, ReplicaState};
pub use rollout::Rollout;
pub use scaling::Scaling;
pub use server::{Auth, DEFAULT_TENANT, Server, WebSocketAuth};
pub use tenant::{Limits, Tenant};
pub use token::{SecretHash, Token, TokenRole};
pub use version::Version;
pub use worker::{MadeFor, Worker};

use std::time::Duration;

use bytes::Bytes;
use prost::Message;

use crate::key::{Key, Kind, Revision};
use crate::limits;
use crate::store::Change;

/// Milliseconds since the Unix epoch, or a span of them.
pub type Millis = u64;

/// One checked record.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A custom host name.
    Domain(Domain),
    /// Static addresses and the gateways that hold them.
    EgressPool(EgressPool),
    /// Whose JWTs are believed.
    Issuer(Issuer),
    /// A role one process holds.
    Lease(Lease),
    /// Copies of a server's requests for another server.
    Mirror(Mirror),
    /// One copy of a program.
    Replica(Replica),
    /// Another version of a record, in some cells.
    Rollout(Rollout),
    /// A deployed program.
    Server(Server),
    /// A scope of tokens and limits.
    Tenant(Tenant),
    /// Credentials.
    Token(Token),
    /// A machine that runs replicas.
    Worker(Worker),
}

/// Why one record can't be used. Its last good version stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} at revision {revision}: {reason}")]
pub struct Refusal {
    /// Which record.
    pub key: Key,
    /// The commit that wrote it.
    pub revision: Revision,
    /// What is wrong with it, naming the field.
    pub reason: String,
}

impl Record {
    /// Decodes and checks a stored value.
    ///
    /// # Errors
    /// Says which field is wrong, for a kind or a value this build can't use.
    pub fn decode(key: &Key, value: &Bytes) -> Result<Self, String> {
        if value.len() > limits::RECORD_BYTES {
            return Err(format!(
                "has {} bytes; the limit is {}",
                value.len(),
                limits::RECORD_BYTES
            ));
        }
        let kind = Kind::from_name(&key.kind)
            .ok_or_else(|| format!("this build knows no kind `{}`", key.kind))?;
        let record = match kind {
            Kind::Domain => Self::Domain(wire(value).and_then(Domain::try_from_wire)?),
            Kind::EgressPool => Self::EgressPool(wire(value).and_then(EgressPool::try_from_wire)?),
            Kind::Issuer => Self::Issuer(wire(value).and_then(Issuer::try_from_wire)?),
            Kind::Lease => Self::Lease(wire(value).and_then(Lease::try_from_wire)?),
            Kind::Mirror => Self::Mirror(wire(value).and_then(Mirror::try_from_wire)?),
            Kind::Replica => Self::Replica(wire(value).and_then(Replica::try_from_wire)?),
            Kind::Rollout => Self::Rollout(wire(value).and_then(Rollout::try_from_wire)?),
            Kind::Server => Self::Server(wire(value).and_then(Server::try_from_wire)?),
            Kind::Tenant => Self::Tenant(wire(value).and_then(Tenant::try_from_wire)?),
            Kind::Token => Self::Token(wire(value).and_then(Token::try_from_wire)?),
            Kind::Worker => Self::Worker(wire(value).and_then(Worker::try_from_wire)?),
        };
        if record.name() == &*key.name {
            Ok(record)
        } else {
            Err(format!(
                "the value is of `{}`, the key says `{}`",
                record.name(),
                key.name
            ))
        }
    }

    /// Checks a record built by hand, as [`Record::decode`] would once it is stored: what passes is
    /// not refused by any follower.
    ///
    /// # Errors
    /// Says which field is wrong.
    pub fn check(&self) -> Result<(), Invalid> {
        match self {
            Self::Domain(domain) => domain.check(),
            Self::EgressPool(pool) => pool.check(),
            Self::Issuer(issuer) => issuer.check(),
            Self::Lease(lease) => lease.check(),
            Self::Mirror(mirror) => mirror.check(),
            Self::Replica(replica) => replica.check(),
            Self::Rollout(rollout) => rollout.check(),
            Self::Server(server) => server.check(),
            Self::Tenant(tenant) => tenant.check(),
            Self::Token(token) => token.check(),
            Self::Worker(worker) => worker.check(),
        }
    }

    /// The record's kind.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Domain(_) => Kind::Domain,
            Self::EgressPool(_) => Kind::EgressPool,
            Self::Issuer(_) => Kind::Issuer,
            Self::Lease(_) => Kind::Lease,
            Self::Mirror(_) => Kind::Mirror,
            Self::Replica(_) => Kind::Replica,
            Self::Rollout(_) => Kind::Rollout,
            Self::Server(_) => Kind::Server,
            Self::Tenant(_) => Kind::Tenant,
            Self::Token(_) => Kind::Token,
            Self::Worker(_) => Kind::Worker,
        }
    }

    /// The record's name within its kind.
    pub fn name(&self) -> &str {
        match self {
            Self::Domain(domain) => &domain.host,
            Self::EgressPool(pool) => &pool.name,
            Self::Issuer(issuer) => &issuer.name,
            Self::Lease(lease) => &lease.name,
            Self::Mirror(mirror) => &mirror.name,
            Self::Replica(replica) => &replica.id,
            Self::Rollout(rollout) => &rollout.name,
            Self::Server(server) => &server.name,
            Self::Tenant(tenant) => &tenant.name,
            Self::Token(token) => &token.id,
            Self::Worker(worker) => &worker.id,
        }
    }

    /// The record's key.
    pub fn key(&self) -> Key {
        Key::new(self.kind(), self.name())
    }

    /// The write that stores this record.
    pub fn change(&self) -> Change {
        let value = match self {
            Self::Domain(domain) => domain.to_wire().encode_to_vec(),
            Self::EgressPool(pool) => pool.to_wire().encode_to_vec(),
            Self::Issuer(issuer) => issuer.to_wire().encode_to_vec(),
            Self::Lease(lease) => lease.to_wire().encode_to_vec(),
            Self::Mirror(mirror) => mirror.to_wire().encode_to_vec(),
            Self::Replica(replica) => replica.to_wire().encode_to_vec(),
            Self::Rollout(rollout) => rollout.to_wire().encode_to_vec(),
            Self::Server(server) => server.to_wire().encode_to_vec(),
            Self::Tenant(tenant) => tenant.to_wire().encode_to_vec(),
            Self::Token(token) => token.to_wire().encode_to_vec(),
            Self::Worker(worker) => worker.to_wire().encode_to_vec(),
        };
        Change {
            key: self.key(),
            value: Some(value.into()),
        }
    }
}

impl Change {
    /// The write that deletes the record of that key.
    pub const fn delete(key: Key) -> Self {
        Self { key, value: None }
    }
}

fn wire<M: Message + Default>(value: &Bytes) -> Result<M, String> {
    M::decode(value.clone()).map_err(|error| format!("not a record of its kind: {error}"))
}

/// Durations travel as milliseconds.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
