//! PURE. A JWT (RFC 7519) held against issuers: its algorithm is one the issuer allows, its key the
//! one that its `kid` names and of that algorithm, and what it says of issuer, audience and time is
//! so. Nothing else in its header is looked at: no key is taken from it, none is fetched.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fprs_config::{Algorithm, Millis};
use http::HeaderValue;
use serde::Deserialize;
use serde_json::Value;

use super::view::{Keys, View};

/// What a JWT says once it is believed.
#[derive(Debug)]
pub struct Verified {
    /// Who signed it.
    pub keys: Arc<Keys>,
    /// `x-fprs-token-id`: `<issuer>/<sub>`, or the issuer alone.
    pub id_field: HeaderValue,
    /// The servers it is for; `None`: every one of the tenant.
    pub servers: Option<Box<[Box<str>]>>,
    /// From when on it is refused.
    pub expires_unix_ms: Millis,
}

/// A JWT taken apart, not yet believed.
#[derive(Debug)]
pub struct Jwt<'a> {
    algorithm: Algorithm,
    kid: String,
    claims: Claims,
    /// What was signed.
    message: &'a [u8],
    signature: Vec<u8>,
}

/// Clocks of a fleet differ by less; a token may be used by so much before its `nbf`.
const SKEW_MS: f64 = 5_000.0;

/// Longest `sub` that is told on; longer ones are left out.
const SUBJECT_BYTES: usize = 128;

/// Servers that one token may name.
const SERVERS: usize = 64;

/// Issuers of one `iss` and `aud` that are tried; control lets no two tenants have the same.
const TRIED: usize = 8;

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
    /// Extensions that must be understood: we know none (RFC 7515 §4.1.11).
    crit: Option<serde::de::IgnoredAny>,
}

#[derive(Debug, Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    exp: f64,
    nbf: Option<f64>,
    sub: Option<Value>,
    #[serde(flatten)]
    others: serde_json::Map<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl<'a> Jwt<'a> {
    /// Takes a JWT apart; `None`: it isn't one, or of an algorithm that nobody is allowed.
    pub fn read(text: &'a str) -> Option<Self> {
        let (message, signature) = text.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        let header: Header = part(header)?;
        if header.crit.is_some() {
            return None;
        }
        Some(Self {
            algorithm: Algorithm::from_name(&header.alg)?,
            kid: header.kid,
            claims: part(claims)?,
            message: message.as_bytes(),
            signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
        })
    }

    /// It can be believed at that time if its signature is good. Asked first: signatures are dear.
    pub fn is_timely(&self, now: Millis) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "exact until the year 285,000")]
        let now = now as f64;
        let begins = self.claims.nbf.unwrap_or(f64::MIN) * 1_000.0;
        // A NaN is neither.
        now < self.claims.exp * 1_000.0 && begins <= now + SKEW_MS
    }

    /// Whose signature it is, if any issuer's that it names.
    pub fn verify(&self, view: &View) -> Option<Verified> {
        let named = view.issuers(&self.claims.iss).iter();
        let keys = named
            .filter(|keys| self.claims.aud.names(&keys.issuer.aud))
            .take(TRIED)
            .find(|keys| self.is_of(keys))?;
        Some(Verified {
            id_field: self.id_field(&keys.issuer.name)?,
            servers: self.servers(&keys.issuer.servers_claim),
            expires_unix_ms: self.expires(),
            keys: Arc::clone(keys),
        })
    }

    fn is_of(&self, keys: &Keys) -> bool {
        let key = keys.key(&self.kid, self.algorithm);
        key.is_some_and(|key| key.verify_sig(self.message, &self.signature).is_ok())
    }

    fn expires(&self) -> Millis {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a cast of a float ends at the type's bounds"
        )]
        let expires = (self.claims.exp * 1_000.0) as Millis;
        expires
    }

    fn id_field(&self, issuer: &str) -> Option<HeaderValue> {
        let visible = |sub: &&str| {
            sub.len() <= SUBJECT_BYTES && sub.bytes().all(|byte| byte.is_ascii_graphic())
        };
        let subject = self.claims.sub.as_ref().and_then(Value::as_str);
        match subject.filter(visible) {
            Some(subject) => HeaderValue::try_from(format!("{issuer}/{subject}")).ok(),
            None => HeaderValue::from_str(issuer).ok(),
        }
    }

    /// The servers that a claim lists: an array, or words with spaces between. A token without the
    /// claim that its issuer puts them in is for none.
    fn servers(&self, claim: &str) -> Option<Box<[Box<str>]>> {
        if claim.is_empty() {
            return None;
        }
        let servers: Vec<Box<str>> = match self.claims.others.get(claim) {
            Some(Value::String(words)) => words.split_ascii_whitespace().map(Into::into).collect(),
            Some(Value::Array(names)) => {
                let names = names.iter().filter_map(Value::as_str);
                names.map(Into::into).collect()
            }
            _ => Vec::new(),
        };
        Some(servers.into_iter().take(SERVERS).collect())
    }
}

impl Audience {
    fn names(&self, audience: &str) -> bool {
        match self {
            Self::One(one) => one == audience,
            Self::Many(many) => many.iter().any(|one| one == audience),
        }
    }
}

impl Verified {
    /// It may call that server of its tenant.
    pub fn may_call(&self, server: &str) -> bool {
        let named = |servers: &[Box<str>]| servers.iter().any(|one| &**one == server);
        self.servers.as_deref().is_none_or(named)
    }
}

/// One part of a JWT: JSON in base64url.
fn part<T: for<'de> Deserialize<'de>>(text: &str) -> Option<T> {
    let json = URL_SAFE_NO_PAD.decode(text).ok()?;
    serde_json::from_slice(&json).ok()
}
