//! Credentials held against a table: who is let in, and everything that is not.

pub(crate) mod hostile;
mod lifetimes;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use fprs_config::apply::apply;
use fprs_config::{
    Algorithm, Batch, Change, Issuer, Jwks, Record, Revision, SecretHash, Snapshot, Token, samples,
};
use fprs_testkit::signer::{Signer, jwks};
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::verify::{Now, Source};
use super::{Authenticator, Credential, Denied, Identity, View};

const SECRET: &str = "the-secret-of-the-token-t1-in-43-characters";
/// Seconds since the Unix epoch when these tests began: what a proxy's own clock says too.
static BEGAN: LazyLock<u64> = LazyLock::new(|| {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_secs()
});
const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn now() -> Now {
    Now {
        unix_ms: *BEGAN * 1_000,
        steady_ms: 1_000,
    }
}

/// What one core of a proxy sees of a store.
struct World {
    core: Authenticator,
    view: View,
    snapshot: std::sync::Arc<Snapshot>,
}

impl World {
    fn new() -> Self {
        Self {
            core: Authenticator::default(),
            view: View::default(),
            snapshot: std::sync::Arc::default(),
        }
    }

    fn commit(&mut self, changes: Vec<Change>) {
        let revision = Revision(self.snapshot.revision().0 + 1);
        let applied = apply(&self.snapshot, &Batch::new(revision, changes));
        assert_eq!(applied.refused, []);
        self.view.apply(&applied);
        self.snapshot = applied.snapshot;
    }

    fn put(&mut self, record: Record) {
        self.commit(vec![record.change()]);
    }

    fn ask(&self, fields: &HeaderMap) -> Result<Identity, Denied> {
        self.ask_at(fields, now())
    }

    fn ask_at(&self, fields: &HeaderMap, now: Now) -> Result<Identity, Denied> {
        let (credential, _) = Credential::of(fields).ok_or(Denied::Unauthenticated)?;
        let presented = (credential, Source::Field);
        self.core
            .authenticate(&self.view, presented, now, || SOURCE)
    }

    fn bearer(&self, credential: &str) -> Result<Identity, Denied> {
        self.ask(&bearer(credential))
    }
}

fn bearer(credential: &str) -> HeaderMap {
    fields(&[("authorization", &format!("Bearer {credential}"))])
}

fn fields(pairs: &[(&str, &str)]) -> HeaderMap {
    let pairs = pairs.iter().map(|(name, value)| {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        (name, HeaderValue::from_bytes(value.as_bytes()).unwrap())
    });
    let mut fields = HeaderMap::new();
    for (name, value) in pairs {
        fields.append(name, value);
    }
    fields
}

fn token(id: &str) -> Token {
    Token {
        secrets: vec![SecretHash::of(SECRET.as_bytes())],
        ..samples::token(id, "acme")
    }
}

fn issuer(signers: &[&Signer]) -> Issuer {
    Issuer {
        iss: "https://idp".to_owned(),
        algorithms: Algorithm::ALL.to_vec(),
        jwks: Jwks::parse(jwks(signers)).unwrap(),
        ..samples::issuer("idp", "acme")
    }
}

/// What a JWT that is let in says, changed by `more`; `null` takes a claim away.
fn claims(more: &Value) -> Value {
    let mut claims = json!({
        "iss": "https://idp", "aud": "fprs", "exp": *BEGAN + 60, "nbf": *BEGAN - 1_000, "sub": "alice",
    });
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
        .as_object_mut()
        .unwrap()
        .retain(|_, value| !value.is_null());
    claims
}

#[test]
fn who_was_let_in_before_is_let_in_without_an_allocation() {
    let mut world = World::new();
    let signer = Signer::ed25519("k");
    world.put(Record::Token(token("t1")));
    world.put(Record::Issuer(issuer(&[&signer])));
    let allocations = |fields: &HeaderMap| {
        let counted = allocation_counter::measure(|| assert!(world.ask(fields).is_ok()));
        counted.count_total
    };
    let token = bearer(&format!("t1.{SECRET}"));
    let jwt = bearer(&signer.jwt(&claims(&json!({}))));
    assert_ne!(allocations(&jwt), 0, "the first time it is kept");
    assert_eq!(allocations(&jwt), 0);
    assert_eq!(allocations(&token), 0);
}

#[test]
fn a_token_is_its_tenants_and_its_own() {
    let mut world = World::new();
    world.put(Record::Token(token("t1")));
    world.put(Record::Token(Token {
        server: "web".into(),
        ..token("t2")
    }));
    let identity = world.bearer(&format!("t1.{SECRET}")).unwrap();
    assert_eq!(identity.tenant_field(), "acme");
    assert_eq!(identity.id_field(), "t1");
    assert!(identity.may_call("acme", "web") && identity.may_call("acme", "other"));
    assert!(!identity.may_call("default", "web"));
    let pair = fields(&[("fprs-key", "t2"), ("fprs-secret", SECRET)]);
    let identity = world.ask(&pair).unwrap();
    assert!(identity.may_call("acme", "web") && !identity.may_call("acme", "other"));
}

#[test]
fn jwts_of_every_algorithm_are_believed() {
    let signers = [Signer::ed25519("a"), Signer::p256("b"), Signer::rsa("c")];
    let mut world = World::new();
    world.put(Record::Issuer(issuer(&signers.each_ref())));
    for signer in &signers {
        let identity = world.bearer(&signer.jwt(&claims(&json!({})))).unwrap();
        assert_eq!(identity.id_field(), "idp/alice");
        assert_eq!(identity.tenant_field(), "acme");
        assert!(identity.may_call("acme", "web") && !identity.may_call("other", "web"));
    }
    let began = f64::from(u32::try_from(*BEGAN).unwrap());
    for (more, id) in [
        (
            json!({ "aud": ["other", "fprs"], "nbf": null }),
            "idp/alice",
        ),
        (
            json!({ "nbf": began + 4.5, "exp": began + 0.5 }),
            "idp/alice",
        ),
        (json!({ "sub": null }), "idp"),
        (json!({ "sub": "a\r\nx-fprs-tenant: b" }), "idp"),
        (json!({ "sub": "é" }), "idp"),
        (json!({ "sub": 7 }), "idp"),
    ] {
        let identity = world.bearer(&signers[0].jwt(&claims(&more))).unwrap();
        assert_eq!(identity.id_field(), id, "{more}");
    }
}

#[test]
fn jwts_that_another_library_makes_are_believed() {
    use jsonwebtoken::{EncodingKey, Header, encode};
    let signers = [Signer::ed25519("a"), Signer::p256("b")];
    let mut world = World::new();
    world.put(Record::Issuer(issuer(&signers.each_ref())));
    for (signer, kid, algorithm) in [
        (&signers[0], "a", jsonwebtoken::Algorithm::EdDSA),
        (&signers[1], "b", jsonwebtoken::Algorithm::ES256),
    ] {
        let key = match algorithm {
            jsonwebtoken::Algorithm::EdDSA => EncodingKey::from_ed_der(&signer.pkcs8()),
            _ => EncodingKey::from_ec_der(&signer.pkcs8()),
        };
        let header = Header {
            kid: Some(kid.to_owned()),
            ..Header::new(algorithm)
        };
        let jwt = encode(&header, &claims(&json!({})), &key).unwrap();
        assert!(world.bearer(&jwt).is_ok(), "{algorithm:?}");
    }
}

#[test]
fn a_claim_says_which_servers_a_jwt_is_for() {
    let signer = Signer::ed25519("a");
    let mut world = World::new();
    world.put(Record::Issuer(Issuer {
        servers_claim: "servers".to_owned(),
        ..issuer(&[&signer])
    }));
    for (listed, web, api) in [
        (json!(["web"]), true, false),
        (json!("api web"), true, true),
        (json!([]), false, false),
        (json!({ "web": true }), false, false),
        (Value::Null, false, false),
    ] {
        let jwt = signer.jwt(&claims(&json!({ "servers": listed })));
        let identity = world.bearer(&jwt).unwrap();
        let may = |server| identity.may_call("acme", server);
        assert_eq!((may("web"), may("api")), (web, api), "{listed}");
    }
}

#[test]
fn a_ticket_is_good_in_a_query_only_and_nothing_else_is() {
    let mut world = World::new();
    world.put(Record::Token(token("t1")));
    world.put(Record::Token(Token {
        role: fprs_config::TokenRole::Ticket,
        created_unix_ms: now().unix_ms,
        expires_unix_ms: Some(now().unix_ms + 60_000),
        ..token("ticket")
    }));
    let signer = Signer::ed25519("a");
    world.put(Record::Issuer(issuer(&[&signer])));
    for (credential, in_query) in [
        (format!("t1.{SECRET}"), false),
        (format!("ticket.{SECRET}"), true),
        (signer.jwt(&claims(&json!({}))), false),
    ] {
        for (place, good) in [(Source::Field, !in_query), (Source::Query, in_query)] {
            let credential = Credential::read(&credential).unwrap();
            let asked = world
                .core
                .authenticate(&world.view, (credential, place), now(), || SOURCE);
            assert_eq!(asked.is_ok(), good, "{place:?} {in_query}");
        }
    }
}

#[test]
fn tokens_of_the_control_api_call_no_server() {
    let mut world = World::new();
    for (id, role, tenant) in [
        ("a", fprs_config::TokenRole::Admin, ""),
        ("d", fprs_config::TokenRole::Deployer, "acme"),
        ("v", fprs_config::TokenRole::Viewer, "acme"),
        ("w", fprs_config::TokenRole::Worker, ""),
    ] {
        world.put(Record::Token(Token {
            role,
            tenant: tenant.to_owned(),
            ..token(id)
        }));
        assert!(world.bearer(&format!("{id}.{SECRET}")).is_err(), "{id}");
    }
}

#[test]
fn a_source_of_wrong_credentials_is_slowed_down_and_its_right_ones_are_not() {
    let mut world = World::new();
    let signer = Signer::ed25519("a");
    world.commit(vec![
        Record::Token(token("t1")).change(),
        Record::Issuer(issuer(&[&signer])).change(),
    ]);
    let seen = signer.jwt(&claims(&json!({})));
    assert!(world.bearer(&seen).is_ok());
    let wrong = (0..1_000).map(|n| world.bearer(&format!("t{n}.wrong")).unwrap_err());
    let throttled = wrong.filter(|denied| *denied == Denied::Throttled).count();
    assert_eq!(throttled, 1_000 - super::throttle::BURST as usize);
    assert!(
        world.bearer(&format!("t1.{SECRET}")).is_ok(),
        "a token is cheap to check"
    );
    assert!(
        world.bearer(&seen).is_ok(),
        "a JWT that is remembered is, too"
    );
    let first = signer.jwt(&claims(&json!({ "sub": "bob" })));
    assert_eq!(world.bearer(&first).unwrap_err(), Denied::Throttled);
    let later = Now {
        steady_ms: now().steady_ms + 1_000,
        ..now()
    };
    assert!(world.ask_at(&bearer(&first), later).is_ok());
}

#[test]
fn nothing_of_a_credential_is_in_what_the_core_or_the_table_print() {
    let mut world = World::new();
    let signer = Signer::ed25519("a");
    world.commit(vec![
        Record::Token(token("t1")).change(),
        Record::Issuer(issuer(&[&signer])).change(),
    ]);
    let jwt = signer.jwt(&claims(&json!({})));
    let one = world.bearer(&jwt).unwrap();
    let other = world.bearer(&format!("t1.{SECRET}")).unwrap();
    let printed = format!("{:?} {:?} {one:?} {other:?}", world.core, world.view);
    let hash = format!("{:?}", SecretHash::of(SECRET.as_bytes()).0);
    let signature = jwt.rsplit('.').next().unwrap();
    for secret in [SECRET, &hash, &jwt, signature] {
        assert!(!printed.contains(secret));
    }
    assert_eq!(bearer("x.y")[AUTHORIZATION], "Bearer x.y");
}
