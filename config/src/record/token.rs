//! PURE. Credentials `<id>.<secret>`: what they are for, and how long. A secret itself is nowhere in
//! a record, only its SHA-256; secrets are 256 random bits, so their hash gives nothing away.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::{constant_time, digest};
use fprs_proto::record as wire;

use super::check::{self, Invalid};
use super::{Millis, millis};
use crate::limits;

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenRole {
    /// Calls servers of its tenant.
    Caller,
    /// Opens WebSockets, in a query, for a few minutes.
    Ticket,
    /// Deploys a tenant's servers and makes tokens for those who call them.
    Deployer,
    /// Reads the control API: a tenant's part, or all.
    Viewer,
    /// Everything on the control API.
    Admin,
    /// Attaches a relay, nothing else.
    Worker,
}

/// The SHA-256 of a secret. Never printed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecretHash(pub [u8; 32]);

impl SecretHash {
    /// The hash of a secret as it is presented.
    pub fn of(secret: &[u8]) -> Self {
        let mut hash = [0; 32];
        let digest = digest::digest(&digest::SHA256, secret);
        for (to, from) in hash.iter_mut().zip(digest.as_ref()) {
            *to = *from;
        }
        Self(hash)
    }

    /// Compares in constant time.
    pub fn matches(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(…)")
    }
}

/// Credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// A DNS label; public.
    pub id: String,
    /// Whose servers it is for; empty: the whole plane, for roles that have no tenant.
    pub tenant: String,
    /// The only server it is for; empty: every server of the tenant.
    pub server: String,
    /// What it is good for.
    pub role: TokenRole,
    /// Of every secret that is live: one, or two while rotating. The newest is first.
    pub secrets: Vec<SecretHash>,
    /// When it was made.
    pub created_unix_ms: Millis,
    /// From when on it is refused; `None`: never.
    pub expires_unix_ms: Option<Millis>,
}

impl TokenRole {
    /// Every role.
    pub const ALL: [Self; 6] = [
        Self::Caller,
        Self::Ticket,
        Self::Deployer,
        Self::Viewer,
        Self::Admin,
        Self::Worker,
    ];

    /// The role as users write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Ticket => "ticket",
            Self::Deployer => "deployer",
            Self::Viewer => "viewer",
            Self::Admin => "admin",
            Self::Worker => "worker",
        }
    }

    /// The role of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// It is for one tenant's servers.
    pub const fn has_tenant(self) -> bool {
        matches!(self, Self::Caller | Self::Ticket | Self::Deployer)
    }

    /// It is for calling servers, at a proxy.
    pub const fn calls(self) -> bool {
        matches!(self, Self::Caller | Self::Ticket)
    }
}

impl Token {
    /// It is refused at that time.
    pub fn is_expired(&self, now: Millis) -> bool {
        self.expires_unix_ms.is_some_and(|expires| expires <= now)
    }

    pub(super) fn check(&self) -> Result<(), Invalid> {
        check::label("id", &self.id)?;
        check::optional_label("tenant", &self.tenant)?;
        check::optional_label("server", &self.server)?;
        let role = self.role;
        if role.has_tenant() && self.tenant.is_empty() {
            return Err(Invalid::new(
                "tenant",
                format!("is missing: a {} is one tenant's", role.name()),
            ));
        }
        if !role.has_tenant() && role != TokenRole::Viewer && !self.tenant.is_empty() {
            return Err(Invalid::new(
                "tenant",
                format!("is given: the role {} has none", role.name()),
            ));
        }
        if !role.calls() && !self.server.is_empty() {
            return Err(Invalid::new(
                "server",
                format!("is given: the role {} is not for one server", role.name()),
            ));
        }
        if self.secrets.is_empty() || self.secrets.len() > limits::TOKEN_SECRETS {
            return Err(Invalid::new(
                "secrets",
                format!(
                    "are {}: must be 1 to {}",
                    self.secrets.len(),
                    limits::TOKEN_SECRETS
                ),
            ));
        }
        self.check_expiry()
    }

    fn check_expiry(&self) -> Result<(), Invalid> {
        let Some(expires) = self.expires_unix_ms else {
            return if self.role == TokenRole::Ticket {
                Err(Invalid::new("expires", "is missing: a ticket has an end"))
            } else {
                Ok(())
            };
        };
        let life = expires.saturating_sub(self.created_unix_ms);
        if life == 0 {
            return Err(Invalid::new("expires", "is not after its making"));
        }
        if self.role == TokenRole::Ticket && life > millis(limits::TICKET_LIFE) {
            check::at_most("expires", Duration::from_millis(life), limits::TICKET_LIFE)?;
        }
        Ok(())
    }

    pub(super) fn try_from_wire(wire: wire::Token) -> Result<Self, String> {
        let role = match wire.role() {
            wire::TokenRole::Unspecified => {
                return Err(format!(
                    "`role` has no value this build knows: {}",
                    wire.role
                ));
            }
            wire::TokenRole::Caller => TokenRole::Caller,
            wire::TokenRole::Ticket => TokenRole::Ticket,
            wire::TokenRole::Deployer => TokenRole::Deployer,
            wire::TokenRole::Viewer => TokenRole::Viewer,
            wire::TokenRole::Admin => TokenRole::Admin,
            wire::TokenRole::Worker => TokenRole::Worker,
        };
        let hash = |bytes: Vec<u8>| <[u8; 32]>::try_from(bytes).map(SecretHash);
        let secrets = wire.secrets.into_iter().map(hash);
        let token = Self {
            id: wire.id,
            tenant: wire.tenant,
            server: wire.server,
            role,
            secrets: secrets
                .collect::<Result<_, _>>()
                .map_err(|_| "`secrets` has something else than a SHA-256")?,
            created_unix_ms: wire.created_unix_ms,
            expires_unix_ms: wire.expires_unix_ms,
        };
        token.check()?;
        Ok(token)
    }

    pub(super) fn to_wire(&self) -> wire::Token {
        let role = match self.role {
            TokenRole::Caller => wire::TokenRole::Caller,
            TokenRole::Ticket => wire::TokenRole::Ticket,
            TokenRole::Deployer => wire::TokenRole::Deployer,
            TokenRole::Viewer => wire::TokenRole::Viewer,
            TokenRole::Admin => wire::TokenRole::Admin,
            TokenRole::Worker => wire::TokenRole::Worker,
        };
        wire::Token {
            id: self.id.clone(),
            tenant: self.tenant.clone(),
            server: self.server.clone(),
            role: role.into(),
            secrets: self.secrets.iter().map(|hash| hash.0.to_vec()).collect(),
            created_unix_ms: self.created_unix_ms,
            expires_unix_ms: self.expires_unix_ms,
        }
    }
}
