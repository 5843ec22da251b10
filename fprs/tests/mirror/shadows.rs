//! Shadows that do what no server should: what the client gets stays the same to the byte, and copies
//! stay within their limits.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fprs_config::Mirror;
use fprs_testkit::Pattern;
use fprs_testkit::client::{H2, Response};
use fprs_testkit::origin::{Answer, Body, End, Fate, Intake, Origin, Script};
use futures_util::future::join_all;
use http::Method;
use tokio::net::{TcpListener, TcpStream};

use crate::scene::{LIMIT, Scene, mirror, nowhere, request};
use crate::size;

/// Requests of each kind of shadow.
fn requests() -> u64 {
    size(256, 100_000)
}

/// At a time.
const CLIENTS: u64 = 8;

/// What one copy may hold: less than the larger of the bodies here.
const EXCHANGE_BYTES: usize = 96 * 1024;

fn patient() -> Mirror {
    Mirror {
        exchange_bytes: EXCHANGE_BYTES,
        copies: 200,
        deadline: Duration::from_secs(1),
        ..mirror()
    }
}

/// Runs all requests against `prod` mirrored there, and says how copies ended.
async fn primary_is_the_same_with(shadow: Option<SocketAddr>) -> Vec<(&'static str, u64)> {
    let prod = Origin::by_path();
    let scene = Scene::start(prod.address()).await;
    let client = scene.client().await;
    let without = answers(&client, 1).await;
    scene.mirror(patient(), shadow).await;
    let most = std::cell::Cell::new(0);
    let began = Instant::now();
    let clients = (0..CLIENTS).map(|_| async {
        for _ in 0..requests() / CLIENTS / KINDS {
            let with = answers(&client, 1).await;
            assert_eq!(with, without);
            most.set(most.get().max(scene.held()));
        }
    });
    join_all(clients).await;
    let took = began.elapsed();
    assert!(most.get() <= LIMIT, "{} bytes held", most.get());
    scene.settled().await;
    let ends = ENDS.into_iter().map(|end| (end, scene.ended(end)));
    let ends: Vec<_> = ends.filter(|(_, count)| *count > 0).collect();
    let all: u64 = ends.iter().map(|(_, count)| count).sum();
    assert_eq!(
        all,
        requests() / CLIENTS / KINDS * CLIENTS * KINDS,
        "{ends:?}"
    );
    println!("{took:?}, at most {} bytes held, {ends:?}", most.get());
    let waited = count(&ends, "deadline") > 0;
    assert!(!waited || most.get() > 0, "what waited was held");
    ends
}

/// Kinds of requests.
const KINDS: u64 = 4;

/// One answer to each kind of request, `times`, as clients see them.
async fn answers(client: &H2, times: usize) -> Vec<(u16, Vec<(String, String)>, Bytes)> {
    let large = Pattern::bytes(300_000);
    let small = Pattern::bytes(2_000);
    let mut answers = Vec::new();
    for _ in 0..times {
        for (method, path, body) in [
            (Method::GET, "/bytes/50000", None),
            (Method::POST, "/count", Some(&large)),
            (Method::POST, "/echo", Some(&small)),
            (Method::GET, "/trailers", None),
        ] {
            let request = request(method, path, &[]);
            let mut stream = client.open(request, body.is_none()).await.unwrap();
            if let Some(body) = body {
                stream.sender.send(body.clone()).await.unwrap();
                stream.sender.finish().unwrap();
            }
            answers.push(seen(stream.response().await.unwrap()));
        }
    }
    answers
}

fn seen(response: Response) -> (u16, Vec<(String, String)>, Bytes) {
    let fields = response.headers.iter().chain(&response.trailers);
    let fields = fields.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    (response.status, fields.collect(), response.body)
}

const ENDS: [&str; 11] = [
    "complete",
    "failed",
    "refused",
    "no_replica",
    "deadline",
    "over_exchange_limit",
    "over_tenant_limit",
    "over_process_limit",
    "client_left",
    "answered_early",
    "busy",
];

/// How a script makes copies end.
async fn ends_with(script: Script) -> Vec<(&'static str, u64)> {
    let shadow = Origin::start(script);
    primary_is_the_same_with(Some(shadow.address())).await
}

fn count(ends: &[(&str, u64)], how: &str) -> u64 {
    ends.iter()
        .filter(|(end, _)| *end == how)
        .map(|(_, count)| count)
        .sum()
}

#[tokio::test]
async fn clients_notice_nothing_of_a_shadow_without_replicas() {
    let ends = primary_is_the_same_with(None).await;
    assert_eq!(count(&ends, "no_replica"), requests(), "{ends:?}");
}

#[tokio::test]
async fn clients_notice_nothing_of_a_shadow_that_is_not_there() {
    let ends = primary_is_the_same_with(Some(nowhere())).await;
    assert!(
        count(&ends, "refused") > 0 && count(&ends, "complete") == 0,
        "{ends:?}"
    );
}

/// Those who copy at full rate would dial as often.
#[tokio::test]
async fn a_shadow_that_cannot_be_reached_is_left_alone_for_a_second() {
    const REQUESTS: u64 = 200;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let dialled = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&dialled);
    let closes = tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    let prod = Origin::by_path();
    let scene = Scene::start(prod.address()).await;
    let client = scene.client().await;
    scene.mirror(patient(), Some(address)).await;
    let began = Instant::now();
    for _ in 0..REQUESTS {
        let request = request(Method::GET, "/bytes/10", &[]);
        let stream = client.open(request, true).await.unwrap();
        assert_eq!(stream.response().await.unwrap().status, 200);
    }
    scene.settled().await;
    assert_eq!(scene.ended("refused"), REQUESTS);
    // A copy that finds nobody there may have a second dial under way.
    let most = 2 * (began.elapsed().as_secs() + 2);
    let dialled = dialled.load(Ordering::Relaxed);
    assert!((1..=most).contains(&dialled), "{dialled} of {most}");
    closes.abort();
}

#[tokio::test]
async fn clients_notice_nothing_of_a_shadow_that_refuses() {
    let refusal = Script {
        status: 503,
        headers: vec![("x-fprs-reason".into(), "overloaded".into())],
        ..Script::body(Body::Bytes("no".into()))
    };
    let ends = ends_with(refusal).await;
    assert!(
        count(&ends, "refused") > 0 && count(&ends, "complete") == 0,
        "{ends:?}"
    );
}

#[tokio::test]
async fn clients_notice_nothing_of_a_shadow_that_resets() {
    let reset = Script {
        answer: Answer::AtOnce,
        fate: Fate::BeforeHead(End::Reset),
        ..Script::text("")
    };
    let ends = ends_with(reset).await;
    assert!(
        count(&ends, "failed") > 0 && count(&ends, "complete") == 0,
        "{ends:?}"
    );
}

#[tokio::test]
async fn clients_notice_nothing_of_a_shadow_that_dies_in_its_answer() {
    let dies = Script {
        fate: Fate::AfterBytes(10_000, End::Close),
        ..Script::body(Body::Pattern(1 << 20))
    };
    let ends = ends_with(dies).await;
    assert!(
        count(&ends, "failed") > 0 && count(&ends, "complete") == 0,
        "{ends:?}"
    );
}

#[tokio::test]
async fn clients_notice_nothing_of_a_shadow_that_is_slow() {
    let slow = Script {
        delay: Duration::from_millis(300),
        ..Script::text("slow")
    };
    let ends = ends_with(slow).await;
    assert!(count(&ends, "complete") > 0, "{ends:?}");
}

#[tokio::test]
async fn clients_notice_nothing_of_a_shadow_that_reads_1_kib_a_second() {
    let slow = Script {
        intake: Intake::Slow(1024),
        ..Script::text("slow")
    };
    let ends = ends_with(slow).await;
    assert!(count(&ends, "deadline") > 0, "{ends:?}");
}

#[tokio::test]
async fn clients_notice_nothing_of_a_shadow_that_reads_no_body() {
    let never = Script {
        intake: Intake::Never,
        delay: Duration::from_secs(3600),
        ..Script::body(Body::Hang)
    };
    let ends = ends_with(never).await;
    assert!(
        count(&ends, "deadline") > 0 && count(&ends, "complete") == 0,
        "{ends:?}"
    );
}

#[tokio::test]
async fn clients_notice_nothing_of_a_shadow_that_accepts_and_reads_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepts = tokio::spawn(async move {
        let mut kept: Vec<TcpStream> = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            kept.push(stream);
        }
    });
    let ends = primary_is_the_same_with(Some(address)).await;
    assert_eq!(count(&ends, "complete"), 0, "{ends:?}");
    accepts.abort();
}
