//! Promise: without valid credentials nobody can tell a protected server from a host that nobody has:
//! not by status, fields or body, and not by how long the answer takes.

use std::time::{Duration, Instant};

use bytes::Bytes;
use fprs_testkit::client::{H2, RawHttp, get};
use fprs_testkit::plane::Settings;
use fprs_testkit::signer::Signer;
use http::HeaderValue;

use crate::FPRS;
use crate::stage::{HOST, Stage, claims};

const UNKNOWN: &str = "abc.region.localhost";
const CUSTOM: &str = "www.protected.example";
const UNKNOWN_CUSTOM: &str = "www.elsewhere.example";

/// Every request comes from an address of its own, so that none is slowed down.
async fn stage() -> (Stage, Signer) {
    let settings = Settings::new(FPRS)
        .arg("--trusted-edges")
        .arg("127.0.0.0/8");
    let more = format!("domains = [\"{CUSTOM}\"]\nauth_websocket = [\"subprotocol\", \"query\"]");
    let stage = Stage::set_with(settings, None, &more).await;
    let signer = Signer::ed25519("k");
    stage.issuer("idp", &[&signer]).await;
    stage.until_status(&signer.jwt(&claims("idp")), 200).await;
    (stage, signer)
}

/// Bearer credentials that are all wrong, each in its way.
fn wrong() -> Vec<String> {
    let stranger = Signer::ed25519("k");
    vec![
        "tk-0.wrong".to_owned(),
        "nonsense".to_owned(),
        stranger.jwt(&claims("idp")),
        stranger.jwt(&claims("nobody")),
        "a.b.c".to_owned(),
    ]
}

#[tokio::test]
async fn answers_without_credentials_are_the_same_byte_for_byte() {
    let (stage, _) = stage().await;
    let address = stage.plane.listen();
    let mut requests = vec![
        "GET / HTTP/1.1\r\nhost: HOST\r\n".to_owned(),
        "POST /x HTTP/1.1\r\nhost: HOST\r\ncontent-length: 0\r\n".to_owned(),
        "HEAD / HTTP/1.1\r\nhost: HOST\r\n".to_owned(),
        "POST /x HTTP/1.1\r\nhost: HOST\r\ncontent-type: application/grpc\r\ncontent-length: 0\r\n"
            .to_owned(),
        "OPTIONS / HTTP/1.1\r\nhost: HOST\r\norigin: https://a.example\r\n\
         access-control-request-method: PUT\r\n"
            .to_owned(),
        "GET /?fprs_token=a.b HTTP/1.1\r\nhost: HOST\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         sec-websocket-protocol: fprs.bearer.a.b\r\n"
            .to_owned(),
        "GET / HTTP/1.1\r\nhost: HOST\r\nfprs-key: tk-0\r\nfprs-secret: wrong\r\n".to_owned(),
    ];
    let bearer =
        |text: &String| format!("GET / HTTP/1.1\r\nhost: HOST\r\nauthorization: Bearer {text}\r\n");
    requests.extend(wrong().iter().map(bearer));
    let mut source = 0;
    for request in requests {
        let mut answers = Vec::new();
        for host in [HOST, UNKNOWN, CUSTOM, UNKNOWN_CUSTOM] {
            source += 1;
            let close = if request.contains("upgrade") {
                ""
            } else {
                "connection: close\r\n"
            };
            let request = request.replace("HOST", host);
            let request = format!("{request}x-forwarded-for: 10.1.0.{source}\r\n{close}\r\n");
            let deadline = Duration::from_millis(if close.is_empty() { 500 } else { 5_000 });
            let answer = RawHttp::exchange(address, &request, deadline)
                .await
                .unwrap();
            answers.push(String::from_utf8(answer.bytes).unwrap());
        }
        let first = answers[0].to_lowercase();
        let grpc = first.contains("grpc-status: 16\r\n");
        assert!(
            first.starts_with("http/1.1 401") || grpc,
            "{request}: {first}"
        );
        for (answer, host) in answers.iter().zip([HOST, UNKNOWN, CUSTOM, UNKNOWN_CUSTOM]) {
            assert_eq!(*answer, answers[0], "{request} to {host}");
        }
    }
}

/// How likely the second of two such times is the longer one, from 0 to 1: 0.5 tells nothing.
fn told(first: &[Duration], second: &[Duration]) -> f64 {
    let mut all: Vec<(Duration, bool)> = first.iter().map(|time| (*time, false)).collect();
    all.extend(second.iter().map(|time| (*time, true)));
    all.sort_unstable();
    let (mut before, mut pairs) = (0_u32, 0_f64);
    for (_, of_second) in all {
        if of_second {
            pairs += f64::from(before);
        } else {
            before += 1;
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let all = first.len() as f64 * second.len() as f64;
    pairs / all
}

struct Clock {
    client: H2,
    sources: u32,
}

impl Clock {
    /// How long the answer takes when nothing disturbs it: the fastest of a few.
    async fn time(&mut self, host: &str, credential: &str) -> Duration {
        let mut fastest = Duration::MAX;
        for _ in 0..TRIES {
            fastest = fastest.min(self.once(host, credential).await);
        }
        fastest
    }

    async fn once(&mut self, host: &str, credential: &str) -> Duration {
        self.sources += 1;
        let mut request = get(host, "/");
        let fields = request.headers_mut();
        let [_, a, b, c] = self.sources.to_be_bytes();
        let source = format!("10.{a}.{b}.{c}");
        fields.insert("x-forwarded-for", source.parse().unwrap());
        let bearer = HeaderValue::try_from(format!("Bearer {credential}")).unwrap();
        fields.insert("authorization", bearer);
        let begun = Instant::now();
        let stream = self.client.open(request, true).await.unwrap();
        let answer = stream.response().await.unwrap();
        let took = begun.elapsed();
        assert_eq!(answer.status, 401);
        assert_ne!(answer.body, Bytes::new());
        took
    }

    /// How well the two are told apart by [`TIMES`] of each, made in turns, either first.
    async fn compare(&mut self, first: (&str, &str), second: (&str, &str)) -> f64 {
        let (mut firsts, mut seconds) = (Vec::new(), Vec::new());
        for turn in 0..TIMES {
            if turn.count_ones() % 2 == 0 {
                firsts.push(self.time(first.0, first.1).await);
                seconds.push(self.time(second.0, second.1).await);
            } else {
                seconds.push(self.time(second.0, second.1).await);
                firsts.push(self.time(first.0, first.1).await);
            }
        }
        told(&firsts, &seconds)
    }
}

/// Requests that one time is the fastest of.
const TRIES: usize = 3;

/// Times of each that are compared. Of times that are alike, chance alone tells more than
/// [`ALIKE`] in one of 100,000 measurements.
const TIMES: usize = 500;

/// Below this, in either direction, two kinds of request can't be told apart.
const ALIKE: f64 = 0.08;

/// The machine has other work, which hides and invents differences: so often is measured anew.
const MEASUREMENTS: usize = 5;

#[tokio::test]
async fn the_time_to_an_answer_does_not_tell_a_protected_server_from_nobody() {
    let (stage, _) = stage().await;
    let mut clock = Clock {
        client: stage.plane.h2().await,
        sources: 0,
    };
    // What this can tell: a signature that is checked from one that isn't.
    let forged = Signer::ed25519("k").jwt(&claims("idp"));
    let nobodys = Signer::ed25519("k").jwt(&claims("nobody"));
    let mut differ = 0.0;
    for _ in 0..MEASUREMENTS {
        differ = clock.compare((HOST, &nobodys), (HOST, &forged)).await;
        if differ > 0.5 + 1.5 * ALIKE {
            break;
        }
    }
    assert!(
        differ > 0.5 + 1.5 * ALIKE,
        "a signature is not seen: {differ}"
    );
    for (first, second) in [(HOST, UNKNOWN), (CUSTOM, UNKNOWN_CUSTOM)] {
        for credential in [wrong()[0].as_str(), &forged] {
            let mut told = f64::NAN;
            for _ in 0..MEASUREMENTS {
                told = clock
                    .compare((first, credential), (second, credential))
                    .await;
                if (told - 0.5).abs() < ALIKE {
                    break;
                }
            }
            println!("{first} and {second}: told apart by {told:.3} (a signature by {differ:.3})");
            assert!((told - 0.5).abs() < ALIKE, "{first} and {second}: {told}");
        }
    }
}
