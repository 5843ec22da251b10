//! PURE. Whose JWTs are believed, for one tenant's servers. A rotation of its keys is an edit of the
//! record.

mod jwks;

use fprs_proto::record as wire;

pub use jwks::{Jwk, Jwks, PublicKey};

use super::check::{self, Invalid};
use crate::limits;

/// A signature algorithm (RFC 7518 §3.1). Only public-key ones: who can check can't sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Ed25519.
    EdDsa,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// RSA PKCS #1 v1.5 with SHA-256.
    Rs256,
}

/// Whose JWTs are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// A DNS label.
    pub name: String,
    /// Whose servers its tokens are for.
    pub tenant: String,
    /// What `iss` must be.
    pub iss: String,
    /// What `aud` must be or hold.
    pub aud: String,
    /// The algorithms it may sign with; at least one, each once.
    pub algorithms: Vec<Algorithm>,
    /// Its public keys; at least one of an algorithm above.
    pub jwks: Jwks,
    /// The claim that lists the servers a token is for; empty: all of the tenant's.
    pub servers_claim: String,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 3] = [Self::EdDsa, Self::Es256, Self::Rs256];

    /// Its name in JWTs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
        }
    }

    /// The algorithm of that name; the case counts.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
    }
}

impl Issuer {
    pub(super) fn check(&self) -> Result<(), Invalid> {
        check::label("name", &self.name)?;
        check::label("tenant", &self.tenant)?;
        for (field, text) in [("iss", &self.iss), ("aud", &self.aud)] {
            if text.is_empty() {
                return Err(Invalid::new(field, "is missing"));
            }
            check::text(field, text, limits::ISSUER_BYTES)?;
        }
        check::text("servers_claim", &self.servers_claim, limits::CLAIM_BYTES)?;
        let mut seen = Vec::new();
        for algorithm in &self.algorithms {
            if seen.contains(algorithm) {
                return Err(Invalid::new(
                    "algorithms",
                    format!("has `{}` twice", algorithm.name()),
                ));
            }
            seen.push(*algorithm);
        }
        let usable = |key: &Jwk| self.algorithms.contains(&key.key.algorithm());
        if !self.jwks.keys().iter().any(usable) {
            return Err(Invalid::new(
                "jwks",
                "has no key of an algorithm that `algorithms` names",
            ));
        }
        Ok(())
    }

    pub(super) fn try_from_wire(wire: wire::Issuer) -> Result<Self, String> {
        // The generated accessor leaves out what it doesn't know.
        let algorithms = wire.algorithms.iter();
        let algorithms = algorithms.map(|number| match wire::JwtAlgorithm::try_from(*number) {
            Ok(wire::JwtAlgorithm::Eddsa) => Ok(Algorithm::EdDsa),
            Ok(wire::JwtAlgorithm::Es256) => Ok(Algorithm::Es256),
            Ok(wire::JwtAlgorithm::Rs256) => Ok(Algorithm::Rs256),
            Ok(wire::JwtAlgorithm::Unspecified) | Err(_) => Err(format!(
                "`algorithms` has a value this build doesn't know: {number}"
            )),
        });
        let issuer = Self {
            algorithms: algorithms.collect::<Result<_, _>>()?,
            name: wire.name,
            tenant: wire.tenant,
            iss: wire.iss,
            aud: wire.aud,
            jwks: Jwks::parse(wire.jwks)?,
            servers_claim: wire.servers_claim,
        };
        issuer.check()?;
        Ok(issuer)
    }

    pub(super) fn to_wire(&self) -> wire::Issuer {
        let algorithm = |algorithm: &Algorithm| match algorithm {
            Algorithm::EdDsa => wire::JwtAlgorithm::Eddsa.into(),
            Algorithm::Es256 => wire::JwtAlgorithm::Es256.into(),
            Algorithm::Rs256 => wire::JwtAlgorithm::Rs256.into(),
        };
        wire::Issuer {
            name: self.name.clone(),
            tenant: self.tenant.clone(),
            iss: self.iss.clone(),
            aud: self.aud.clone(),
            algorithms: self.algorithms.iter().map(algorithm).collect(),
            jwks: self.jwks.text().to_owned(),
            servers_claim: self.servers_claim.clone(),
        }
    }
}
