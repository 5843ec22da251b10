//! Credentials that attackers present. Every one is denied, quickly, and none is told from another.

use std::time::{Duration, Instant};

use fprs_testkit::signer::encode;

use super::*;

/// What attackers know and have: public keys, keys of their own, and valid JWTs to bend.
struct Attack {
    ed: Signer,
    ec: Signer,
    rsa: Signer,
    own: Signer,
    world: World,
}

impl Attack {
    fn new() -> Self {
        let (ed, ec, rsa) = (
            Signer::ed25519("ed"),
            Signer::p256("ec"),
            Signer::rsa("rsa"),
        );
        let mut world = World::new();
        world.put(Record::Token(token("t1")));
        world.put(Record::Token(Token {
            created_unix_ms: 1,
            expires_unix_ms: Some(now().unix_ms),
            ..token("expired")
        }));
        world.put(Record::Issuer(issuer(&[&ed, &ec, &rsa])));
        let of_one = Issuer {
            iss: "https://only-ed".to_owned(),
            algorithms: vec![Algorithm::EdDsa],
            name: "only-ed".to_owned(),
            ..issuer(&[&ed, &ec])
        };
        world.put(Record::Issuer(of_one));
        let own = Signer::ed25519("ed");
        Self {
            ed,
            ec,
            rsa,
            own,
            world,
        }
    }

    /// A JWT that would be let in, with other claims.
    fn claiming(&self, more: Value) -> String {
        self.ed.jwt(&claims(&more))
    }

    /// A JWT that would be let in, under another header.
    fn headed(&self, header: Value) -> String {
        self.ed
            .sign(&header.to_string(), &claims(&json!({})).to_string())
    }

    /// A JWT with that header and a signature of the attacker's choosing.
    fn unsigned(&self, header: Value, signature: &str) -> String {
        let claims = claims(&json!({})).to_string();
        let header = encode(header.to_string().as_bytes());
        format!("{header}.{}.{signature}", encode(claims.as_bytes()))
    }

    /// HMAC with a public key as the secret: what verifiers fall for that let a JWT choose.
    fn confused(&self, algorithm: &str, key: &[u8]) -> String {
        let unsigned = self.unsigned(json!({ "alg": algorithm, "kid": "rsa" }), "");
        let message = unsigned.trim_end_matches('.');
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key);
        let signature = aws_lc_rs::hmac::sign(&key, message.as_bytes());
        format!("{message}.{}", encode(signature.as_ref()))
    }

    #[expect(clippy::too_many_lines, reason = "a table")]
    fn tokens(&self) -> Vec<(&'static str, HeaderMap)> {
        let authorization = |text: &str| fields(&[("authorization", text)]);
        let good = format!("t1.{SECRET}");
        let pair = |more: &[(&str, &str)]| fields(more);
        vec![
            ("no credentials", HeaderMap::new()),
            ("an empty field", authorization("")),
            ("a scheme alone", authorization("Bearer")),
            ("a scheme and a space", authorization("Bearer ")),
            ("no scheme", authorization(&good)),
            (
                "Basic with the token",
                authorization(&format!("Basic {good}")),
            ),
            ("another scheme", authorization(&format!("Token {good}"))),
            (
                "a scheme that begins like it",
                authorization(&format!("Bearerx {good}")),
            ),
            (
                "a scheme with a colon",
                authorization(&format!("Bearer: {good}")),
            ),
            (
                "a tab behind the scheme",
                authorization(&format!("Bearer\t{good}")),
            ),
            (
                "two schemes",
                authorization(&format!("Bearer Bearer {good}")),
            ),
            (
                "a list",
                authorization(&format!("Bearer {good}, Bearer {good}")),
            ),
            (
                "something behind",
                authorization(&format!("Bearer {good} x")),
            ),
            ("a space behind", authorization(&format!("Bearer {good} "))),
            ("quotes", authorization(&format!("Bearer \"{good}\""))),
            (
                "percent-encoding",
                authorization(&format!("Bearer t1%2e{SECRET}")),
            ),
            ("no UTF-8", authorization(&format!("Bearer {good}\u{e9}"))),
            (
                "two fields of it",
                pair(&[
                    ("authorization", &format!("Bearer {good}")),
                    ("authorization", &format!("Bearer {good}")),
                ]),
            ),
            ("a wrong secret", bearer("t1.wrong")),
            ("an empty secret", bearer("t1.")),
            ("an empty id", bearer(&format!(".{SECRET}"))),
            ("a dot", bearer(".")),
            ("an unknown id", bearer(&format!("t2.{SECRET}"))),
            ("an id in capitals", bearer(&format!("T1.{SECRET}"))),
            ("a secret in capitals", bearer(&good.to_uppercase())),
            (
                "the beginning of the secret",
                bearer(&good[..good.len() - 1]),
            ),
            ("the secret and more", bearer(&format!("{good}x"))),
            ("the secret twice", bearer(&format!("{good}{SECRET}"))),
            ("the secret's hash", {
                let hash = SecretHash::of(SECRET.as_bytes()).0;
                bearer(&format!("t1.{}", encode(&hash)))
            }),
            (
                "32 zeros as a hash",
                bearer(&format!("nobody.{}", encode(&[0; 32]))),
            ),
            (
                "a token that has expired",
                bearer(&format!("expired.{SECRET}")),
            ),
            ("four parts", bearer(&format!("t1.{SECRET}.x.y"))),
            ("a megabyte", bearer(&format!("t1.{}", "x".repeat(1 << 20)))),
            (
                "8 KiB of secret",
                bearer(&format!("t1.{}", "x".repeat(8_000))),
            ),
            ("8 KiB of dots", bearer(&".".repeat(8_000))),
            ("a key without a secret", pair(&[("fprs-key", "t1")])),
            ("a secret without a key", pair(&[("fprs-secret", SECRET)])),
            (
                "half a pair beside a good token",
                pair(&[
                    ("fprs-key", "t1"),
                    ("authorization", &format!("Bearer {good}")),
                ]),
            ),
            (
                "two keys",
                pair(&[
                    ("fprs-key", "t1"),
                    ("fprs-key", "t1"),
                    ("fprs-secret", SECRET),
                ]),
            ),
            (
                "two secrets",
                pair(&[
                    ("fprs-key", "t1"),
                    ("fprs-secret", SECRET),
                    ("fprs-secret", "x"),
                ]),
            ),
            (
                "a wrong pair beside a good token",
                pair(&[
                    ("fprs-key", "t1"),
                    ("fprs-secret", "x"),
                    ("authorization", &format!("Bearer {good}")),
                ]),
            ),
            (
                "a whole token as the key",
                pair(&[("fprs-key", &good), ("fprs-secret", "")]),
            ),
            (
                "a proxy's credentials",
                pair(&[("proxy-authorization", &format!("Bearer {good}"))]),
            ),
            (
                "a cookie",
                pair(&[("cookie", &format!("authorization=Bearer {good}"))]),
            ),
        ]
    }

    #[expect(clippy::too_many_lines, reason = "a table")]
    fn jwts(&self) -> Vec<(&'static str, String)> {
        let good = self.claiming(json!({}));
        let [header, body, signature] = good.split('.').collect::<Vec<_>>()[..] else {
            panic!("three parts");
        };
        let n = self.rsa.jwk()["n"].as_str().unwrap().to_owned();
        let kid = |kid: Value| self.headed(json!({ "alg": "EdDSA", "kid": kid }));
        let mut flipped = signature.to_owned();
        flipped.replace_range(..1, if signature.starts_with('A') { "B" } else { "A" });
        let own_jwk = self.own.jwk();
        let twice = r#"{"alg":"EdDSA","kid":"ed","kid":"ed"}"#;
        let all = claims(&json!({})).to_string();
        vec![
            (
                "alg none",
                self.unsigned(json!({ "alg": "none", "kid": "ed" }), ""),
            ),
            (
                "alg None",
                self.unsigned(json!({ "alg": "None", "kid": "ed" }), ""),
            ),
            (
                "alg nOnE, signed",
                self.headed(json!({ "alg": "nOnE", "kid": "ed" })),
            ),
            ("alg empty", self.headed(json!({ "alg": "", "kid": "ed" }))),
            ("no alg", self.headed(json!({ "kid": "ed" }))),
            (
                "alg of a list",
                self.headed(json!({ "alg": ["EdDSA"], "kid": "ed" })),
            ),
            (
                "alg in small letters",
                self.headed(json!({ "alg": "eddsa", "kid": "ed" })),
            ),
            ("HS256 by the RSA key", self.confused("HS256", n.as_bytes())),
            ("HS512 by the RSA key", self.confused("HS512", n.as_bytes())),
            ("HMAC that says RS256", self.confused("RS256", n.as_bytes())),
            ("HMAC by nothing", self.confused("HS256", b"")),
            (
                "RS256 by the Ed25519 key",
                self.headed(json!({ "alg": "RS256", "kid": "ed" })),
            ),
            ("EdDSA by the P-256 key", {
                let header = json!({ "alg": "EdDSA", "kid": "ec" });
                self.ec.sign(&header.to_string(), &all)
            }),
            (
                "ES256 by the Ed25519 key",
                self.headed(json!({ "alg": "ES256", "kid": "ec" })),
            ),
            ("PS256 by the RSA key", {
                let header = json!({ "alg": "PS256", "kid": "rsa" });
                self.rsa.sign(&header.to_string(), &all)
            }),
            ("RS1 by the RSA key", {
                let header = json!({ "alg": "RS1", "kid": "rsa" });
                self.rsa.sign(&header.to_string(), &all)
            }),
            ("an algorithm that the issuer doesn't allow", {
                let claims = claims(&json!({ "iss": "https://only-ed" }));
                self.ec.jwt(&claims)
            }),
            ("no kid", self.headed(json!({ "alg": "EdDSA" }))),
            ("an unknown kid", kid(json!("other"))),
            ("an empty kid", kid(json!(""))),
            ("a kid of a path", kid(json!("../../../../dev/null"))),
            ("a kid of SQL", kid(json!("ed' UNION SELECT 'x"))),
            ("a kid of a shell", kid(json!("ed|id"))),
            ("a kid of a number", kid(json!(0))),
            ("a kid of a list", kid(json!(["ed"]))),
            ("a kid of null", kid(Value::Null)),
            ("a kid with a NUL", kid(json!("ed\u{0}"))),
            ("a kid of 4 KB", kid(json!("k".repeat(4_000)))),
            ("two kids", self.ed.sign(twice, &all)),
            ("a key of its own in the header", {
                let header = json!({ "alg": "EdDSA", "kid": "ed", "jwk": own_jwk });
                self.own.sign(&header.to_string(), &all)
            }),
            ("keys elsewhere", {
                let header =
                    json!({ "alg": "EdDSA", "kid": "ed", "jku": "http://127.0.0.1:9/jwks.json" });
                self.own.sign(&header.to_string(), &all)
            }),
            ("a certificate of its own", {
                let header = json!({ "alg": "EdDSA", "kid": "ed", "x5c": ["MIIB"], "x5u": "http://127.0.0.1:9" });
                self.own.sign(&header.to_string(), &all)
            }),
            ("an extension that must be understood", {
                self.headed(json!({ "alg": "EdDSA", "kid": "ed", "crit": ["exp"], "exp": 1 }))
            }),
            ("a payload that isn't encoded", {
                self.headed(json!({ "alg": "EdDSA", "kid": "ed", "crit": ["b64"], "b64": false }))
            }),
            ("another's signature", self.own.jwt(&claims(&json!({})))),
            (
                "a signature with a bit flipped",
                format!("{header}.{body}.{flipped}"),
            ),
            ("no signature", format!("{header}.{body}.")),
            (
                "half a signature",
                format!("{header}.{body}.{}", &signature[..40]),
            ),
            (
                "a signature and more",
                format!("{header}.{body}.{signature}AAAA"),
            ),
            (
                "a padded signature",
                format!("{header}.{body}.{signature}=="),
            ),
            (
                "a signature of zeros",
                format!("{header}.{body}.{}", encode(&[0; 64])),
            ),
            ("an ECDSA signature of zeros", {
                self.unsigned(json!({ "alg": "ES256", "kid": "ec" }), &encode(&[0; 64]))
            }),
            ("other claims under the signature", {
                let claims = claims(&json!({ "sub": "root" })).to_string();
                format!("{header}.{}.{signature}", encode(claims.as_bytes()))
            }),
            ("expired", self.claiming(json!({ "exp": *BEGAN }))),
            (
                "expired a year ago",
                self.claiming(json!({ "exp": *BEGAN - 31_536_000 })),
            ),
            ("no end", self.claiming(json!({ "exp": null }))),
            (
                "an end in words",
                self.claiming(json!({ "exp": "9999999999" })),
            ),
            ("a negative end", self.claiming(json!({ "exp": -1 }))),
            (
                "not yet valid",
                self.claiming(json!({ "nbf": *BEGAN + 30 })),
            ),
            (
                "valid next year",
                self.claiming(json!({ "nbf": *BEGAN + 31_536_000 })),
            ),
            (
                "a beginning in words",
                self.claiming(json!({ "nbf": "now" })),
            ),
            ("a wrong audience", self.claiming(json!({ "aud": "other" }))),
            ("no audience", self.claiming(json!({ "aud": null }))),
            ("an empty audience", self.claiming(json!({ "aud": [] }))),
            (
                "an audience that begins like it",
                self.claiming(json!({ "aud": "fprs.evil" })),
            ),
            (
                "an audience of an object",
                self.claiming(json!({ "aud": { "fprs": true } })),
            ),
            (
                "a wrong issuer",
                self.claiming(json!({ "iss": "https://idp.evil" })),
            ),
            (
                "an issuer with a slash",
                self.claiming(json!({ "iss": "https://idp/" })),
            ),
            ("no issuer", self.claiming(json!({ "iss": null }))),
            (
                "an issuer of a list",
                self.claiming(json!({ "iss": ["https://idp"] })),
            ),
            ("claims of a list", {
                let header = json!({ "alg": "EdDSA", "kid": "ed" });
                self.ed.sign(&header.to_string(), "[]")
            }),
            ("claims that end early", {
                let header = json!({ "alg": "EdDSA", "kid": "ed" });
                self.ed.sign(&header.to_string(), &all[..all.len() - 1])
            }),
            ("two ends", {
                let header = json!({ "alg": "EdDSA", "kid": "ed" });
                let two = all.replacen('{', "{\"exp\":9999999999,", 1);
                self.ed.sign(&header.to_string(), &two)
            }),
            ("claims ten thousand deep", {
                let deep = format!("{{\"x\":{}", "[".repeat(5_000));
                self.ed
                    .sign(&json!({ "alg": "EdDSA", "kid": "ed" }).to_string(), &deep)
            }),
            ("an encrypted JWT's five parts", format!("{good}.x.y")),
            ("three empty parts", "..".to_owned()),
            ("three parts of nonsense", "a.b.c".to_owned()),
            (
                "plain base64",
                good.replace('_', "/").replace('-', "+") + "+/",
            ),
            (
                "a JWT of 16 KB",
                self.claiming(json!({ "x": "y".repeat(12_000) })),
            ),
        ]
    }
}

/// Every hostile credential by name, as fields of a request; and records it is held against.
pub(crate) fn table() -> (Vec<Change>, Vec<(&'static str, HeaderMap)>) {
    let attack = Attack::new();
    let (tokens, issuers) = (
        attack.world.snapshot.tokens(),
        attack.world.snapshot.issuers(),
    );
    let tokens = tokens.map(|token| Record::Token(Token::clone(token)));
    let issuers = issuers.map(|issuer| Record::Issuer(Issuer::clone(issuer)));
    let records = tokens
        .chain(issuers)
        .map(|record| record.change())
        .collect();
    let jwts = attack.jwts();
    let jwts = jwts.into_iter().map(|(name, jwt)| (name, bearer(&jwt)));
    (records, attack.tokens().into_iter().chain(jwts).collect())
}

/// A credential that those records let in.
pub(crate) fn good() -> HeaderMap {
    bearer(&format!("t1.{SECRET}"))
}

/// None of them takes longer than this, in debug builds and on a busy machine: a signature takes a
/// hundredth of it.
const QUICKLY: Duration = Duration::from_millis(50);

#[test]
fn every_hostile_credential_is_denied_like_every_other() {
    let attack = Attack::new();
    let jwts = attack.jwts();
    let jwts = jwts.into_iter().map(|(name, jwt)| (name, bearer(&jwt)));
    let table: Vec<_> = attack.tokens().into_iter().chain(jwts).collect();
    assert!(table.len() >= 60, "{}", table.len());
    let mut wrong = Vec::new();
    for (name, fields) in table {
        // A core of its own each, so that none is only throttled.
        let core = Authenticator::default();
        let mut fastest = Duration::MAX;
        for _ in 0..3 {
            let begun = Instant::now();
            let answer = match Credential::of(&fields) {
                Some((credential, _)) => {
                    let presented = (credential, Source::Field);
                    core.authenticate(&attack.world.view, presented, now(), || SOURCE)
                }
                None => Err(Denied::Unauthenticated),
            };
            fastest = fastest.min(begun.elapsed());
            if !matches!(answer, Err(Denied::Unauthenticated)) {
                wrong.push(format!("{name}: {answer:?}"));
            }
        }
        if fastest > QUICKLY {
            wrong.push(format!("{name}: took {fastest:?}"));
        }
        assert_eq!(core.remembered(), 0, "{name} is remembered");
    }
    assert_eq!(wrong, Vec::<String>::new());
    let good = attack.claiming(json!({}));
    assert!(
        attack.world.bearer(&good).is_ok(),
        "what they were bent from is good"
    );
    assert!(attack.world.bearer(&format!("t1.{SECRET}")).is_ok());
}
