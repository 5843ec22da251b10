//! What it costs to know who calls: a token of ours, and JWTs of every algorithm, the first time and
//! when they were seen before; and a request that shows nothing valid.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure ends the benchmark"
)]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use criterion::{Criterion, criterion_group, criterion_main};
use fprs::proxy::auth::credential::Credential;
use fprs::proxy::auth::verify::{Now, Source};
use fprs::proxy::auth::{Authenticator, View};
use fprs_config::apply::apply;
use fprs_config::samples;
use fprs_config::{Algorithm, Batch, Issuer, Jwks, Record, Revision, SecretHash, Snapshot, Token};
use fprs_testkit::signer::{Signer, jwks};
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde_json::json;

/// The binary's own allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Tokens beside the one that is shown.
const TOKENS: usize = 10_000;
const SECRET: &str = "Zm9ydHktdGhyZWUtY2hhcmFjdGVycy1vZi1zZWNyZXQ";
const NOW: Now = Now {
    unix_ms: 1_000_000,
    steady_ms: 0,
};
const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn view(signers: &[&Signer]) -> View {
    let token = |n: usize| {
        Record::Token(Token {
            secrets: vec![SecretHash::of(SECRET.as_bytes())],
            ..samples::token(&format!("tk-{n}"), "acme")
        })
    };
    let issuer = Record::Issuer(Issuer {
        iss: "https://idp".to_owned(),
        algorithms: Algorithm::ALL.to_vec(),
        jwks: Jwks::parse(jwks(signers)).unwrap(),
        ..samples::issuer("idp", "acme")
    });
    let mut changes: Vec<_> = (0..TOKENS).map(|n| token(n).change()).collect();
    changes.truncate(TOKENS - 1);
    changes.push(issuer.change());
    let batch = Batch::new(Revision(1), changes);
    let applied = apply(&Snapshot::default(), &batch);
    assert!(applied.refused.is_empty());
    let mut view = View::default();
    view.apply(&applied);
    view
}

fn fields(credential: &str) -> HeaderMap {
    let mut fields = HeaderMap::new();
    let value = HeaderValue::try_from(format!("Bearer {credential}")).unwrap();
    fields.insert(AUTHORIZATION, value);
    fields.insert("user-agent", HeaderValue::from_static("bench"));
    fields
}

fn authenticated(core: &Authenticator, view: &View, fields: &HeaderMap) -> bool {
    let Some((credential, _)) = Credential::of(fields) else {
        return false;
    };
    let presented = (credential, Source::Field);
    core.authenticate(view, presented, NOW, || SOURCE).is_ok()
}

fn tokens(criterion: &mut Criterion) {
    let view = view(&[&Signer::ed25519("k")]);
    let core = Authenticator::default();
    let mut group = criterion.benchmark_group("authenticate");
    let valid = fields(&format!("tk-77.{SECRET}"));
    assert!(authenticated(&core, &view, &valid));
    group.bench_function("token", |bench| {
        bench.iter(|| authenticated(&core, &view, black_box(&valid)));
    });
    for (case, credential) in [
        ("unknown-token", format!("nobody.{SECRET}")),
        ("wrong-secret", format!("tk-77.x{}", &SECRET[1..])),
    ] {
        let wrong = fields(&credential);
        assert!(!authenticated(&core, &view, &wrong));
        group.bench_function(case, |bench| {
            bench.iter(|| authenticated(&core, &view, black_box(&wrong)));
        });
    }
    group.finish();
}

fn jwts(criterion: &mut Criterion) {
    let signers = [
        Signer::ed25519("ed"),
        Signer::p256("p256"),
        Signer::rsa("rsa"),
    ];
    let view = view(&signers.each_ref());
    let mut group = criterion.benchmark_group("authenticate");
    for signer in &signers {
        let jwt = signer.jwt(&json!({
            "iss": "https://idp", "aud": "fprs", "exp": 2_000, "nbf": 0, "iat": 0,
            "sub": "user@example.com", "scope": "openid profile", "jti": "0123456789abcdef",
        }));
        let valid = fields(&jwt);
        let algorithm = signer.algorithm().to_lowercase();
        group.bench_function(format!("jwt-{algorithm}-first"), |bench| {
            bench.iter_batched(
                Authenticator::default,
                |core| assert!(authenticated(&core, &view, black_box(&valid))),
                criterion::BatchSize::LargeInput,
            );
        });
        let core = Authenticator::default();
        group.bench_function(format!("jwt-{algorithm}-again"), |bench| {
            bench.iter(|| assert!(authenticated(&core, &view, black_box(&valid))));
        });
    }
    group.finish();
}

criterion_group!(benches, tokens, jwts);
criterion_main!(benches);
