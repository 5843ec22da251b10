//! PURE. An issuer's public keys (RFC 7517). Every key is told by its `kid`; those of other kinds or
//! uses are left aside, and a document with anything secret in it is refused whole.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::Algorithm;
use crate::limits;
use crate::record::Invalid;

/// The keys of a JWKS document that can check a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwks {
    text: String,
    keys: Vec<Jwk>,
}

/// One public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwk {
    /// What a JWT's header names it by; unique in the document.
    pub kid: String,
    /// The key.
    pub key: PublicKey,
}

/// A public key of one algorithm, and of no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// For EdDSA.
    Ed25519([u8; 32]),
    /// For ES256: the point's coordinates.
    P256 {
        /// Big-endian.
        x: [u8; 32],
        /// Big-endian.
        y: [u8; 32],
    },
    /// For RS256, of 2048 to 4096 bits.
    Rsa {
        /// The modulus, big-endian.
        n: Vec<u8>,
        /// The exponent, big-endian.
        e: Vec<u8>,
    },
}

impl PublicKey {
    /// The one algorithm it checks.
    pub const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Ed25519(_) => Algorithm::EdDsa,
            Self::P256 { .. } => Algorithm::Es256,
            Self::Rsa { .. } => Algorithm::Rs256,
        }
    }
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Raw>,
}

/// Members beside these are ignored, as RFC 7517 §4 wants.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Raw {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    alg: Option<String>,
    crv: String,
    x: String,
    y: String,
    n: String,
    e: String,
    /// Of a private key, whatever its kind.
    d: Option<serde::de::IgnoredAny>,
    /// Of a symmetric one.
    k: Option<serde::de::IgnoredAny>,
}

impl Jwks {
    /// Reads a document.
    ///
    /// # Errors
    /// It isn't one, holds a secret, or has no key or more than one of a name.
    pub fn parse(text: String) -> Result<Self, Invalid> {
        let invalid = |reason: String| Invalid::new("jwks", reason);
        if text.len() > limits::JWKS_BYTES {
            return Err(invalid(format!(
                "has {} bytes; the limit is {}",
                text.len(),
                limits::JWKS_BYTES
            )));
        }
        // What serde_json quotes of a document could be a secret.
        let document: Document = serde_json::from_str(&text).map_err(|error| {
            invalid(format!(
                "is no JWKS document (line {}, column {})",
                error.line(),
                error.column()
            ))
        })?;
        if document.keys.len() > limits::JWKS_KEYS {
            return Err(invalid(format!("has more than {} keys", limits::JWKS_KEYS)));
        }
        let mut keys: Vec<Jwk> = Vec::new();
        for (place, raw) in document.keys.into_iter().enumerate() {
            let read = raw
                .read()
                .map_err(|reason| invalid(format!("has key {}, which {reason}", place + 1)))?;
            let Some(jwk) = read else { continue };
            if keys.iter().any(|other| other.kid == jwk.kid) {
                return Err(invalid(format!(
                    "has two keys of the `kid` of key {}",
                    place + 1
                )));
            }
            keys.push(jwk);
        }
        Ok(Self { text, keys })
    }

    /// The document as it was given.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The keys that can check a signature.
    pub fn keys(&self) -> &[Jwk] {
        &self.keys
    }
}

impl Raw {
    /// The key, if it is of a kind and for a use we know.
    fn read(self) -> Result<Option<Jwk>, &'static str> {
        if self.d.is_some() || self.k.is_some() || self.kty == "oct" {
            return Err("is secret: only public keys belong here; give it up and make a new one");
        }
        if self.usage.as_deref().is_some_and(|usage| usage != "sig") {
            return Ok(None);
        }
        let key = match (self.kty.as_str(), self.crv.as_str()) {
            ("OKP", "Ed25519") => PublicKey::Ed25519(coordinate(&self.x)?),
            ("EC", "P-256") => PublicKey::P256 {
                x: coordinate(&self.x)?,
                y: coordinate(&self.y)?,
            },
            ("RSA", _) => rsa(&self.n, &self.e)?,
            _ => return Ok(None),
        };
        if self.alg.is_some_and(|alg| alg != key.algorithm().name()) {
            return Ok(None);
        }
        let kid = self.kid.ok_or("has no `kid`")?;
        if kid.is_empty() || kid.len() > limits::KID_BYTES {
            return Err("has a `kid` that is empty or too long");
        }
        Ok(Some(Jwk { kid, key }))
    }
}

fn coordinate(text: &str) -> Result<[u8; 32], &'static str> {
    let bytes = decode(text)?;
    bytes
        .try_into()
        .map_err(|_| "has a coordinate that is not of 32 bytes")
}

fn rsa(n: &str, e: &str) -> Result<PublicKey, &'static str> {
    let (n, e) = (decode(n)?, decode(e)?);
    if !(limits::RSA_BYTES_MIN..=limits::RSA_BYTES).contains(&n.len()) || n.first() == Some(&0) {
        return Err("has a modulus that is not of 2048 to 4096 bits");
    }
    // 3 to 4 bytes hold 65537 and its like; larger ones only cost time.
    if e.is_empty() || e.len() > 4 || e.last().is_none_or(|last| last % 2 == 0) || e == [1] {
        return Err("has an exponent that is none of an RSA key, or a huge one");
    }
    Ok(PublicKey::Rsa { n, e })
}

fn decode(text: &str) -> Result<Vec<u8>, &'static str> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| "has a member that is not base64url")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED: &str = r#"{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

    fn parse(keys: &str) -> Result<Jwks, Invalid> {
        Jwks::parse(format!(r#"{{"keys":[{keys}]}}"#))
    }

    #[test]
    fn keys_of_other_kinds_and_uses_are_left_aside() {
        let keys = format!(
            r#"{ED},
               {{"kty":"EC","crv":"P-384","kid":"b","x":"","y":""}},
               {{"kty":"RSA","kid":"c","use":"enc","n":"","e":"AQAB"}},
               {},
               {{"kty":"future"}}"#,
            ED.replace(r#""a""#, r#""d","alg":"ES256""#)
        );
        let jwks = parse(&keys).unwrap();
        assert_eq!(jwks.keys().len(), 1);
        assert_eq!(jwks.keys()[0].key.algorithm(), Algorithm::EdDsa);
    }

    #[test]
    fn what_is_secret_broken_or_ambiguous_is_refused_without_being_quoted() {
        let secret = "c2VjcmV0";
        for bad in [
            format!(r#"{{"kty":"oct","kid":"s","k":"{secret}"}}"#),
            ED.replace("\"kid\"", &format!("\"d\":\"{secret}\",\"kid\"")),
            ED.replace("11qY", &format!("{secret}!")),
            ED.replace(r#""kid":"a","#, ""),
            ED.replace(r#""a""#, "\"\""),
            format!("{ED},{ED}"),
            vec![ED; 33].join(","),
            format!(r#"{{"kty":"RSA","kid":"r","n":"{secret}","e":"AQAB"}}"#),
            format!(
                r#"{{"kty":"RSA","kid":"r","n":"{}","e":"AA"}}"#,
                "_".repeat(342)
            ),
            secret.to_owned(),
        ] {
            let error = parse(&bad).unwrap_err().to_string();
            assert!(error.starts_with("`jwks` "), "{error}");
            assert!(!error.contains(secret), "{error}");
        }
        assert!(Jwks::parse(" ".repeat(limits::JWKS_BYTES + 1)).is_err());
    }
}
