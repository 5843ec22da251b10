//! What the routing table knows of callers: tokens by id and issuers by what their JWTs say, ready to
//! be checked against. Part of the table, so that a request sees routes and callers of one revision,
//! and a revocation is in force with it.

use std::sync::Arc;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RsaPublicKeyComponents,
};
use fprs_config::{
    Algorithm, Applied, Issuer, Jwk, Millis, PublicKey, SecretHash, Snapshot, Token, TokenRole,
};
use http::HeaderValue;
use imbl::GenericHashMap;
use imbl::shared_ptr::DefaultSharedPtr;

type Map<V> = GenericHashMap<Arc<str>, V, foldhash::fast::RandomState, DefaultSharedPtr>;

/// What the table knows of callers.
#[derive(Clone, Debug, Default)]
pub struct View {
    tokens: Map<Arc<Caller>>,
    /// By name.
    issuers: Map<Arc<Keys>>,
    /// By `iss`. Few share one, told apart by `aud`.
    by_iss: Map<Arc<[Arc<Keys>]>>,
}

/// A token, as it is checked and told on.
#[derive(Debug)]
pub struct Caller {
    /// Whose servers it is for.
    pub tenant: Arc<str>,
    /// The only server it is for; empty: every one of the tenant.
    pub server: Arc<str>,
    /// `x-fprs-tenant`.
    pub tenant_field: HeaderValue,
    /// `x-fprs-token-id`.
    pub id_field: HeaderValue,
    /// Where it may be: a ticket in a query, another anywhere else.
    pub is_ticket: bool,
    /// From when on it is refused.
    pub expires_unix_ms: Option<Millis>,
    secrets: Box<[SecretHash]>,
}

/// An issuer, ready to check signatures.
#[derive(Debug)]
pub struct Keys {
    /// The record.
    pub issuer: Arc<Issuer>,
    /// `x-fprs-tenant` of its tokens.
    pub tenant_field: HeaderValue,
    keys: Box<[(Jwk, ParsedPublicKey)]>,
}

impl View {
    /// The token of that id.
    pub fn token(&self, id: &str) -> Option<&Arc<Caller>> {
        self.tokens.get(id)
    }

    /// The issuers of that `iss`.
    pub fn issuers(&self, iss: &str) -> &[Arc<Keys>] {
        self.by_iss.get(iss).map(|keys| &**keys).unwrap_or_default()
    }

    /// These keys are those in force.
    pub fn is_current(&self, keys: &Arc<Keys>) -> bool {
        let current = self.issuers.get(keys.issuer.name.as_str());
        current.is_some_and(|current| Arc::ptr_eq(current, keys))
    }

    /// Takes over what was applied to the snapshot; costs what changed.
    pub fn apply(&mut self, applied: &Applied) {
        let snapshot = &applied.snapshot;
        if applied.whole {
            self.replace(snapshot);
            return;
        }
        for id in &applied.callers.tokens {
            match snapshot.token(id).and_then(|token| Caller::new(token)) {
                Some(caller) => self.tokens.insert(Arc::clone(id), Arc::new(caller)),
                None => self.tokens.remove(id),
            };
        }
        for name in &applied.callers.issuers {
            self.put_issuer(name, snapshot.issuer(name));
        }
    }

    fn replace(&mut self, snapshot: &Snapshot) {
        let callers = snapshot.tokens().filter_map(|token| {
            let caller = Caller::new(token)?;
            Some((token.id.as_str().into(), Arc::new(caller)))
        });
        self.tokens = callers.collect();
        let names: Vec<Arc<str>> = self.issuers.keys().cloned().collect();
        for name in names {
            if snapshot.issuer(&name).is_none() {
                self.put_issuer(&name, None);
            }
        }
        for issuer in snapshot.issuers() {
            self.put_issuer(&issuer.name.as_str().into(), Some(issuer));
        }
    }

    fn put_issuer(&mut self, name: &Arc<str>, issuer: Option<&Arc<Issuer>>) {
        if let Some(known) = self.issuers.get(name) {
            if issuer.is_some_and(|issuer| **issuer == *known.issuer) {
                return;
            }
            let iss = known.issuer.iss.clone();
            let rest = self.issuers(&iss).iter();
            let rest: Arc<[_]> = rest
                .filter(|keys| keys.issuer.name != **name)
                .cloned()
                .collect();
            self.put_iss(&iss, rest);
            self.issuers.remove(name);
        }
        let Some(keys) = issuer.and_then(Keys::new).map(Arc::new) else {
            return;
        };
        let iss = keys.issuer.iss.as_str();
        let all = self.issuers(iss).iter().chain([&keys]).cloned().collect();
        self.put_iss(iss, all);
        self.issuers.insert(Arc::clone(name), keys);
    }

    fn put_iss(&mut self, iss: &str, keys: Arc<[Arc<Keys>]>) {
        if keys.is_empty() {
            self.by_iss.remove(iss);
        } else {
            self.by_iss.insert(iss.into(), keys);
        }
    }
}

impl Caller {
    /// The token, if it is one for calling servers.
    fn new(token: &Token) -> Option<Self> {
        if !token.role.calls() {
            return None;
        }
        Some(Self {
            tenant: token.tenant.as_str().into(),
            server: token.server.as_str().into(),
            // Both are DNS labels.
            tenant_field: HeaderValue::from_str(&token.tenant).ok()?,
            id_field: HeaderValue::from_str(&token.id).ok()?,
            is_ticket: token.role == TokenRole::Ticket,
            expires_unix_ms: token.expires_unix_ms,
            secrets: token.secrets.as_slice().into(),
        })
    }

    /// The hash is that of a secret which is live. Looks at every one, wherever it matches.
    pub fn has(&self, presented: &SecretHash) -> bool {
        let matches = self.secrets.iter().map(|secret| secret.matches(presented));
        matches.fold(false, |any, matches| any | matches)
    }
}

impl Keys {
    fn new(issuer: &Arc<Issuer>) -> Option<Self> {
        let keys = issuer.jwks.keys().iter();
        let usable = keys.filter(|jwk| issuer.algorithms.contains(&jwk.key.algorithm()));
        let parsed = usable.filter_map(|jwk| match parse(&jwk.key) {
            Some(key) => Some((jwk.clone(), key)),
            None => {
                let issuer = &issuer.name;
                tracing::warn!(issuer, kid = jwk.kid, "a key is no point of its curve");
                None
            }
        });
        Some(Self {
            keys: parsed.collect(),
            tenant_field: HeaderValue::from_str(&issuer.tenant).ok()?,
            issuer: Arc::clone(issuer),
        })
    }

    /// The key of that id, if it checks that algorithm.
    pub fn key(&self, kid: &str, algorithm: Algorithm) -> Option<&ParsedPublicKey> {
        let named = |jwk: &Jwk| jwk.kid == kid && jwk.key.algorithm() == algorithm;
        let found = self.keys.iter().find(|(jwk, _)| named(jwk));
        found.map(|(_, key)| key)
    }
}

/// A key for its one algorithm, so that no JWT can choose another for it.
fn parse(key: &PublicKey) -> Option<ParsedPublicKey> {
    match key {
        PublicKey::Ed25519(x) => ParsedPublicKey::new(&ED25519, x).ok(),
        PublicKey::P256 { x, y } => {
            let uncompressed = [&[4], &x[..], &y[..]].concat();
            ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, uncompressed).ok()
        }
        PublicKey::Rsa { n, e } => RsaPublicKeyComponents { n, e }
            .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
            .ok(),
    }
}
