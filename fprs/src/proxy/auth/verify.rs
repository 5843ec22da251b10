//! The decision itself, one value a core: a credential held against what the table knows is an
//! identity or a denial. What is denied takes the same steps whether the token, the issuer or the
//! server exists or not, so that nothing can be learned from how long it took.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use fprs_config::{Millis, SecretHash};
use http::HeaderValue;

use super::cache::Cache;
use super::credential::Credential;
use super::jwt::{Jwt, Verified};
use super::throttle::Throttle;
use super::view::{Caller, View};

/// One core's part of the decision.
#[derive(Debug, Default)]
pub struct Authenticator {
    cache: Cache,
    throttle: Throttle,
}

/// Where a credential was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// In a field.
    Field,
    /// In a query, which others log: only tickets may be there.
    Query,
}

/// The time of a request, by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Milliseconds since the Unix epoch, for what records and JWTs say.
    pub unix_ms: Millis,
    /// Milliseconds of a clock that doesn't go back, for rates.
    pub steady_ms: u64,
}

/// Who calls.
#[derive(Clone, Debug)]
pub enum Identity {
    /// Whoever has a token of ours.
    Token(Arc<Caller>),
    /// Whom an issuer vouches for.
    Jwt(Rc<Verified>),
}

/// Why a credential is no identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// There is none, or it is wrong. Nobody is told in which way.
    Unauthenticated,
    /// It is wrong, and so were too many others of this source.
    Throttled,
}

/// Longest secret that is hashed; ours have 43 bytes.
const SECRET_BYTES: usize = 128;

/// What an unknown token's secret is compared with.
const NOBODYS: SecretHash = SecretHash([0; 32]);

impl Authenticator {
    /// Whose credential it is. `source` tells where the request comes from, and is asked only where
    /// the credential is wrong.
    ///
    /// # Errors
    /// It is nobody's.
    pub fn authenticate(
        &self,
        view: &View,
        (credential, place): (Credential<'_>, Source),
        now: Now,
        source: impl Fn() -> IpAddr,
    ) -> Result<Identity, Denied> {
        let identity = match credential {
            Credential::Token { id, secret } => {
                token(view, (id, secret), place, now.unix_ms).map(Identity::Token)
            }
            Credential::Jwt(_) if place == Source::Query => None,
            Credential::Jwt(text) => self.jwt(view, text, now, &source)?.map(Identity::Jwt),
        };
        identity.ok_or_else(|| self.denied(source(), now.steady_ms))
    }

    fn denied(&self, source: IpAddr, now_ms: u64) -> Denied {
        let over = self.throttle.is_over(source, now_ms);
        self.throttle.failed(source, now_ms);
        if over {
            Denied::Throttled
        } else {
            Denied::Unauthenticated
        }
    }

    fn jwt(
        &self,
        view: &View,
        text: &str,
        now: Now,
        source: impl Fn() -> IpAddr,
    ) -> Result<Option<Rc<Verified>>, Denied> {
        let hash = SecretHash::of(text.as_bytes());
        if let Some(verified) = self.cache.get(&hash, view, now.unix_ms) {
            return Ok(Some(verified));
        }
        // Whoever has made up many gets no more signatures checked for a while.
        if self.throttle.is_over(source(), now.steady_ms) {
            return Err(Denied::Throttled);
        }
        let timely = Jwt::read(text).filter(|jwt| jwt.is_timely(now.unix_ms));
        let verified = timely.and_then(|jwt| jwt.verify(view)).map(Rc::new);
        if let Some(verified) = &verified {
            self.cache.put(hash, Rc::clone(verified));
        }
        Ok(verified)
    }

    /// JWTs remembered.
    pub fn remembered(&self) -> usize {
        self.cache.len()
    }
}

/// The token's record, if the secret is one of its and it is of use here and now. Hashed and compared
/// anew each time: that costs less than finding it in a cache would.
fn token(
    view: &View,
    (id, secret): (&str, &[u8]),
    place: Source,
    now: Millis,
) -> Option<Arc<Caller>> {
    if secret.len() > SECRET_BYTES {
        return None;
    }
    let presented = SecretHash::of(secret);
    let Some(caller) = view.token(id) else {
        std::hint::black_box(NOBODYS.matches(&presented));
        return None;
    };
    let right = caller.has(&presented);
    let fits = caller.is_ticket == (place == Source::Query);
    let lives = caller.expires_unix_ms.is_none_or(|expires| now < expires);
    (right && fits && lives).then(|| Arc::clone(caller))
}

impl Identity {
    /// It may call that server.
    pub fn may_call(&self, tenant: &str, server: &str) -> bool {
        match self {
            Self::Token(caller) => {
                *caller.tenant == *tenant && (caller.server.is_empty() || *caller.server == *server)
            }
            Self::Jwt(verified) => {
                verified.keys.issuer.tenant == tenant && verified.may_call(server)
            }
        }
    }

    /// `x-fprs-tenant`.
    pub fn tenant_field(&self) -> &HeaderValue {
        match self {
            Self::Token(caller) => &caller.tenant_field,
            Self::Jwt(verified) => &verified.keys.tenant_field,
        }
    }

    /// `x-fprs-token-id`.
    pub fn id_field(&self) -> &HeaderValue {
        match self {
            Self::Token(caller) => &caller.id_field,
            Self::Jwt(verified) => &verified.id_field,
        }
    }
}
