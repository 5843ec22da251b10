//! Credentials as requests carry them: whatever the bytes, only the right secret is let in, and no JWT
//! that isn't signed; and what is taken out of a query or of subprotocols leaves the rest as it was.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fprs::proxy::auth::verify::{Now, Source};
use fprs::proxy::auth::websocket::{take_subprotocol, take_ticket};
use fprs::proxy::auth::{Authenticator, Credential, View};
use fprs_config::apply::apply;
use fprs_config::{
    Algorithm, Batch, Issuer, Jwks, Record, Revision, SecretHash, Snapshot, Token, TokenRole,
};
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue, SEC_WEBSOCKET_PROTOCOL};

const SECRET: &str = "a-secret";

/// The key of RFC 8037 A.2, whose private half no input has a signature of.
const JWKS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

/// The first byte says what the rest is: a field's value, the raw parts of a JWT with zeros between, a
/// path with a query, or offered subprotocols.
pub fn check(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else {
        return;
    };
    match kind % 4 {
        0 => field(rest),
        1 => {
            let parts = rest.split(|byte| *byte == 0);
            let parts: Vec<String> = parts.map(|part| URL_SAFE_NO_PAD.encode(part)).collect();
            field(format!("Bearer {}", parts.join(".")).as_bytes());
        }
        2 => query(rest),
        _ => subprotocols(rest),
    }
}

fn field(value: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(value) else {
        return;
    };
    let mut fields = HeaderMap::new();
    fields.insert(AUTHORIZATION, value.clone());
    let Some((credential, _)) = Credential::of(&fields) else {
        return;
    };
    for place in [Source::Field, Source::Query] {
        let core = Authenticator::default();
        let now = Now {
            unix_ms: 1_000_000,
            steady_ms: 0,
        };
        let source = || IpAddr::V4(Ipv4Addr::LOCALHOST);
        let asked = core.authenticate(view(), (credential, place), now, source);
        if asked.is_ok() {
            let text = value.to_str().expect("what is let in is text");
            let shown = text.split_once(' ').map(|(_, shown)| shown.trim_start());
            assert_eq!(
                shown,
                Some("t1.a-secret"),
                "only the right secret is let in"
            );
        }
        assert_eq!(core.remembered(), 0, "no JWT is believed");
    }
}

fn query(path: &[u8]) {
    let uri = [b"http://a.b/", path].concat();
    let Ok(uri) = http::Uri::try_from(uri) else {
        return;
    };
    let mut request = http::Request::new(());
    *request.uri_mut() = uri.clone();
    take_ticket(&mut request);
    let left = request.uri();
    assert_eq!(
        (left.path(), left.authority()),
        (uri.path(), uri.authority())
    );
    let is_ticket = |part: &&str| part.starts_with("fprs_token=");
    let parts = |uri: &http::Uri| -> Vec<String> {
        let query = uri.query().unwrap_or_default().to_owned();
        let parts = query.split('&').filter(|part| !is_ticket(part));
        parts
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(parts(left), parts(&uri), "the rest stays");
    assert!(
        !left
            .query()
            .unwrap_or_default()
            .split('&')
            .any(|part| is_ticket(&part))
    );
}

fn subprotocols(offered: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(offered) else {
        return;
    };
    let mut fields = HeaderMap::new();
    fields.insert(SEC_WEBSOCKET_PROTOCOL, value);
    take_subprotocol(&mut fields);
    let left = fields.get(SEC_WEBSOCKET_PROTOCOL);
    let left = left
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let carries = left
        .split(',')
        .any(|name| name.trim().starts_with("fprs.bearer."));
    assert!(!carries, "a credential stays: {left}");
}

/// A table with one token and one issuer.
fn view() -> &'static View {
    static VIEW: OnceLock<View> = OnceLock::new();
    VIEW.get_or_init(|| {
        let token = Record::Token(Token {
            id: "t1".to_owned(),
            tenant: "acme".to_owned(),
            server: String::new(),
            role: TokenRole::Caller,
            secrets: vec![SecretHash::of(SECRET.as_bytes())],
            created_unix_ms: 1,
            expires_unix_ms: None,
        });
        let issuer = Record::Issuer(Issuer {
            name: "idp".to_owned(),
            tenant: "acme".to_owned(),
            iss: "idp".to_owned(),
            aud: "fprs".to_owned(),
            algorithms: vec![Algorithm::EdDsa],
            jwks: Jwks::parse(JWKS.to_owned()).expect("a document of keys"),
            servers_claim: String::new(),
        });
        let batch = Batch::new(Revision(1), vec![token.change(), issuer.change()]);
        let mut view = View::default();
        view.apply(&apply(&Snapshot::default(), &batch));
        view
    })
}
