use bytes::Bytes;
use fprs_config::ReplicaState;
use fprs_proto::worker::{Phase, TailLogs, to_worker};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::json;

use crate::plane::{DEADLINE, Plane, TOKEN};
use crate::relay::Relay;

async fn running(plane: &Plane, ids: &[&str]) -> Relay {
    plane.deploy("hello", json!({})).await;
    let mut relay = Relay::attach(plane.address, "w1").await;
    for id in ids {
        plane.request(id, "hello").await;
        relay.start().await;
        relay.update(id, Phase::Ready).await;
        plane.until_state(id, ReplicaState::Ready).await;
    }
    relay
}

async fn tail(relay: &mut Relay) -> TailLogs {
    match relay.order().await {
        to_worker::Message::TailLogs(tail) => tail,
        other => panic!("not a TailLogs: {other:?}"),
    }
}

async fn open(plane: &Plane, query: &str) -> Incoming {
    let request = Request::builder()
        .uri(format!(
            "http://{}/v1/servers/hello/logs?{query}",
            plane.address
        ))
        .header("authorization", format!("Bearer {TOKEN}"))
        .body(Full::new(Bytes::new()))
        .unwrap();
    let client = Client::builder(TokioExecutor::new()).build_http();
    let answer = client.request(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    answer.into_body()
}

async fn next(body: &mut Incoming) -> String {
    let frame = tokio::time::timeout(DEADLINE, body.frame()).await.unwrap();
    let bytes = frame.unwrap().unwrap().into_data().unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn the_last_lines_of_every_replica_come_behind_its_id_and_end() {
    let plane = Plane::start().await;
    let mut relay = running(&plane, &["r1", "r2"]).await;
    let answer = async {
        open(&plane, "lines=2")
            .await
            .collect()
            .await
            .unwrap()
            .to_bytes()
    };
    let play = async {
        for _ in 0..2 {
            let asked = tail(&mut relay).await;
            assert_eq!((asked.lines, asked.follow), (2, false));
            let line = format!("from {}", asked.replica);
            relay.log(asked.request, &[&line, "second"], false).await;
            relay.log(asked.request, &[], true).await;
        }
    };
    let (bytes, ()) = tokio::join!(answer, play);
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    assert_eq!(
        text,
        "r1 | from r1\nr1 | second\nr2 | from r2\nr2 | second\n"
    );
}

#[tokio::test]
async fn a_follower_gets_lines_as_they_come_from_replicas_that_come_too() {
    let plane = Plane::start().await;
    let mut relay = running(&plane, &["r1"]).await;
    let mut body = open(&plane, "follow=true").await;
    let first = tail(&mut relay).await;
    assert!(first.follow);
    relay.log(first.request, &["one"], false).await;
    assert_eq!(next(&mut body).await, "r1 | one\n");
    relay.log(first.request, &["two"], false).await;
    assert_eq!(next(&mut body).await, "r1 | two\n");

    plane.request("r2", "hello").await;
    relay.start().await;
    let second = tail(&mut relay).await;
    assert_eq!(second.replica, "r2");
    relay.log(second.request, &["hello"], false).await;
    assert_eq!(next(&mut body).await, "r2 | hello\n");

    drop(body);
    let mut cancelled = Vec::new();
    for _ in 0..2 {
        match relay.order().await {
            to_worker::Message::CancelLogs(cancel) => cancelled.push(cancel.request),
            other => panic!("not a CancelLogs: {other:?}"),
        }
    }
    cancelled.sort_unstable();
    assert_eq!(cancelled, [first.request, second.request]);
}

#[tokio::test]
async fn one_replica_can_be_asked_for() {
    let plane = Plane::start().await;
    let mut relay = running(&plane, &["r1", "r2"]).await;
    let answer = async {
        open(&plane, "replica=r2")
            .await
            .collect()
            .await
            .unwrap()
            .to_bytes()
    };
    let play = async {
        let asked = tail(&mut relay).await;
        assert_eq!(asked.replica, "r2");
        relay.log(asked.request, &["x"], true).await;
    };
    let (bytes, ()) = tokio::join!(answer, play);
    assert_eq!(bytes, "r2 | x\n");
    let path = "/v1/servers/hello/logs?replica=r9";
    let (status, text) = plane.ask(Method::GET, path, "").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(text.contains("no replica `r9`"), "{text}");
}

#[tokio::test]
async fn a_reader_is_told_when_the_worker_goes_away() {
    let plane = Plane::start().await;
    let mut relay = running(&plane, &["r1"]).await;
    let mut body = open(&plane, "follow=true").await;
    tail(&mut relay).await;
    drop(relay);
    assert!(next(&mut body).await.contains("its worker is away"));
}
