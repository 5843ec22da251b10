//! Promise: what one client or program does to the connection that the edge shares among all, no other
//! exchange on it feels.

use std::time::Duration;

use bytes::Bytes;
use fprs_testkit::client::{H2, H2Stream, get};
use h2::Reason;
use h2::client::Builder;
use http::Method;

use crate::client::soak;
use crate::plane::{Edged, WEB};
use crate::raw_program::BAD;

/// A client whose stream of events goes on, or the test fails.
struct Neighbour {
    _client: H2,
    events: H2Stream,
}

impl Neighbour {
    async fn at(edged: &Edged, path: &str) -> Self {
        let client = edged.h2().await;
        let mut events = client.open(get(WEB, path), true).await.unwrap();
        assert_eq!(events.receiver.head().await.unwrap().status, 200);
        Self {
            _client: client,
            events,
        }
    }

    /// Still gets its events, and others get their answers.
    async fn lives(&mut self, edged: &Edged) {
        assert!(self.events.receiver.piece().await.unwrap().is_some());
        let answer = edged.h2().await.get(WEB, "/").await.unwrap();
        assert_eq!(answer.status, 200);
    }
}

const EVENTS: &str = "/sse?n=1000000&ms=5";

#[tokio::test]
async fn a_malformed_answer_ends_its_own_exchange_and_no_other() {
    let Some(edged) = Edged::raw().await else {
        return;
    };
    let mut neighbour = Neighbour::at(&edged, "/events").await;
    let client = edged.h2().await;
    for (number, (name, _)) in BAD.iter().enumerate() {
        let stream = client.open(get(WEB, &format!("/bad/{number}")), true).await;
        match stream.unwrap().response().await {
            Ok(answer) => assert!([200, 502].contains(&answer.status), "{name}: {answer:?}"),
            Err(error) => println!("{name}: {error:?}"),
        }
        neighbour.lives(&edged).await;
    }
    // More fields than Envoy lets through by default.
    let many = client.get(WEB, "/many").await.unwrap();
    assert_eq!((many.status, many.header("x-109")), (200, Some("1")));
    assert!(client.is_open());
}

#[tokio::test]
async fn readers_that_stall_leave_their_neighbours_alone() {
    let Some(edged) = Edged::start().await else {
        return;
    };
    let mut neighbour = Neighbour::at(&edged, EVENTS).await;
    let mut builder = Builder::new();
    builder.initial_window_size(64 * 1024);
    builder.initial_connection_window_size(64 << 20);
    let client = H2::connect_with(edged.tunnel(), &builder).await.unwrap();
    let mut stalled = Vec::new();
    // With the neighbour as many as one connection to fprs carries.
    for _ in 0..99 {
        let stream = client.open(get(WEB, "/bytes/60000000"), true).await;
        let mut stream = stream.unwrap();
        assert_eq!(stream.receiver.head().await.unwrap().status, 200);
        stalled.push(stream);
    }
    for _ in 0..20 {
        neighbour.lives(&edged).await;
    }
}

#[tokio::test]
async fn uploads_that_nobody_reads_leave_their_neighbours_alone() {
    let Some(edged) = Edged::start().await else {
        return;
    };
    let mut neighbour = Neighbour::at(&edged, EVENTS).await;
    let client = edged.h2().await;
    let mut stuck = Vec::new();
    for _ in 0..20 {
        let mut request = get(WEB, "/never");
        *request.method_mut() = Method::POST;
        let mut stream = client.open(request, false).await.unwrap();
        stuck.push(tokio::spawn(async move {
            stream.sender.send_pattern(1 << 30).await.ok();
            stream
        }));
    }
    for _ in 0..20 {
        let body = Bytes::from_static(b"abc");
        let other = edged.h2().await;
        let answer = other.post(WEB, "/count", body).await.unwrap();
        assert_eq!(answer.status, 200);
        neighbour.lives(&edged).await;
    }
    stuck.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn streams_that_are_reset_by_the_thousand_leave_their_neighbours_alone() {
    let Some(edged) = Edged::start().await else {
        return;
    };
    let mut neighbour = Neighbour::at(&edged, EVENTS).await;
    let (mut sent, mut connections) = (0, 0);
    let attack = if soak() { 20_000 } else { 4_000 };
    while sent < attack {
        let attacker = edged.h2().await;
        connections += 1;
        while let Ok(stream) = attacker.open(get(WEB, "/hang"), true).await {
            stream.reset(Reason::CANCEL);
            sent += 1;
            if sent % 100 == 0 {
                neighbour.lives(&edged).await;
            }
            if sent >= attack {
                break;
            }
        }
    }
    println!("{sent} streams over {connections} connections");
    for _ in 0..20 {
        neighbour.lives(&edged).await;
    }
    fprs_testkit::until("nothing hangs on", Duration::from_secs(20), async || {
        let replicas = edged.plane.replicas("web").await;
        // The neighbour's own.
        (replicas[0]["in_flight"].as_u64()? == 1).then_some(())
    })
    .await;
}
