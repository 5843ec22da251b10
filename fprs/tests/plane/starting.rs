//! From zero: what the first request is told, and what those that wait for a replica get.

use std::time::{Duration, Instant};

use fprs_testkit::{Plane, program, until};

use crate::{FPRS, SOON};

#[tokio::test]
async fn a_request_that_finds_no_replica_is_told_when_to_come_back_and_starts_one() {
    let plane = Plane::start(FPRS).await;
    plane.deploy(&program::manifest("web", "", &[])).await;
    let host = plane.host("web");
    let mut client = plane.h1().await;
    let first = client.get(&host, "/").await.unwrap();
    assert_eq!(first.status, 503);
    let reason = first.header("x-fprs-reason").unwrap();
    assert!(["no_replica", "starting"].contains(&reason), "{reason}");
    let retry_after: u64 = first.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=2).contains(&retry_after), "{retry_after}");
    until("a replica serves", SOON, async || {
        let answer = client.get(&host, "/").await.unwrap();
        (answer.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_held_request_gets_the_answer_of_the_replica_it_started() {
    let plane = Plane::start(FPRS).await;
    let env = [("START_AFTER_MS", "300")];
    let manifest = program::manifest("web", "hold = \"10s\"", &env);
    plane.deploy(&manifest).await;
    let host = plane.host("web");
    let (mut one, other) = (plane.h1().await, plane.h2().await);
    let (one, other) = tokio::join!(one.get(&host, "/"), other.get(&host, "/"));
    assert_eq!(one.unwrap().text(), "hello");
    assert_eq!(other.unwrap().text(), "hello");
    assert_eq!(plane.replicas("web").await.len(), 1);
}

#[tokio::test]
async fn a_request_is_held_no_longer_than_its_server_says() {
    let plane = Plane::start(FPRS).await;
    let manifest = "name = \"deaf\"\ncommand = [\"sleep\", \"1000\"]\nauth = \"public\"\n\
                    hold = \"300ms\"\n";
    plane.deploy(manifest).await;
    let began = Instant::now();
    let mut client = plane.h1().await;
    let answer = client.get(&plane.host("deaf"), "/").await.unwrap();
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("x-fprs-reason"), Some("starting"));
    assert!(began.elapsed() >= Duration::from_millis(300));
}
