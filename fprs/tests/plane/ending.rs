//! SIGTERM, and deleting a server: what has begun is ended, nothing is left behind.

use std::time::Duration;

use fprs_testkit::client::{ClientError, H1, get};
use fprs_testkit::{Plane, eventually, program, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::traffic::Traffic;
use crate::{FPRS, SOON, running_programs};

#[tokio::test]
async fn sigterm_ends_what_is_in_flight_and_leaves_nothing() {
    let mut plane = Plane::start(FPRS).await;
    let record = plane.dir().join("record");
    let env = [("RECORD", record.to_str().unwrap())];
    plane
        .deploy(&program::manifest("web", "min_replicas = 2", &env))
        .await;
    let ready = async || (plane.replicas_in("web", "ready").await == 2).then_some(());
    until("two replicas are ready", SOON, ready).await;
    let host = plane.host("web");
    let traffic = Traffic::start(&[plane.listen()], &host, "/", 4);
    eventually("there is load", SOON, || traffic.answered() > 50).await;
    let h2 = plane.h2().await;
    let mut streams = Vec::new();
    for path in ["/sleep?ms=1500", "/sse?n=15&ms=100", "/sse?n=5&ms=300"] {
        streams.push(h2.open(get(&host, path), true).await.unwrap());
    }
    let mut h1 = plane.h1().await;
    let request = format!("GET /sse?n=10&ms=100 HTTP/1.1\r\nhost: {host}\r\n\r\n");
    h1.writer.send(request).await.unwrap();
    assert_eq!(h1.reader.head().await.unwrap().status, 200);
    let began = || {
        program::events(&record)
            .iter()
            .filter(|event| {
                event["event"] == "begin"
                    && event["target"]
                        .as_str()
                        .is_some_and(|target| target.len() > 1)
            })
            .count()
            == 4
    };
    eventually("all four are in flight", SOON, began).await;

    plane.process().terminate();

    let mut whole = Vec::new();
    for stream in streams {
        whole.push(stream.response().await.unwrap());
    }
    assert!(whole.iter().all(|response| response.status == 200));
    assert_eq!(whole[1].text().matches("data:").count(), 15);
    assert_eq!(whole[2].text().matches("data:").count(), 5);
    let mut events = 0;
    while let Some(piece) = h1.reader.piece().await.unwrap() {
        events += String::from_utf8_lossy(&piece).matches("data:").count();
    }
    assert_eq!(events, 10);
    let status = plane.process().exited(SOON).await;
    assert_eq!(status.code(), Some(0));
    assert!(running_programs(&record).is_empty());
    assert_eq!(
        H1::connect(plane.listen()).await.err(),
        Some(ClientError::Refused)
    );
    // Refused connections are what a plane that is gone gives; an answer cut short is not.
    let failures = traffic.end().await.failures;
    let cut: Vec<_> = failures
        .iter()
        .filter(|failure| !is_gone(failure))
        .collect();
    assert!(cut.is_empty(), "{cut:?}");
}

/// No connection was to be had, or an idle one was closed.
fn is_gone(failure: &str) -> bool {
    failure.starts_with("no connection")
        || ["Truncated", "Reset", "GoAway(NO_ERROR)"].contains(&failure)
}

#[tokio::test]
async fn an_idle_plane_ends_at_once() {
    let mut plane = Plane::start(FPRS).await;
    let idle = (plane.h1().await, plane.h2().await);
    let status = plane.terminate(Duration::from_secs(3)).await;
    assert_eq!(status.code(), Some(0));
    drop(idle);
}

#[tokio::test]
async fn a_request_that_outlasts_the_drain_timeout_holds_nothing_up() {
    let settings = fprs_testkit::plane::Settings::new(FPRS);
    let mut plane = settings.arg("--drain-timeout").arg("300ms").start().await;
    let more = "hold = \"10s\"\nexit_grace_period = \"100ms\"";
    plane.deploy(&program::manifest("web", more, &[])).await;
    let client = plane.h2().await;
    let host = plane.host("web");
    let mut hanging = client.open(get(&host, "/hang"), true).await.unwrap();
    assert_eq!(hanging.receiver.head().await.unwrap().status, 200);
    let status = plane.terminate(Duration::from_secs(5)).await;
    assert_eq!(status.code(), Some(0));
    assert!(hanging.receiver.piece().await.is_err(), "cut, not clean");
}

#[tokio::test]
async fn a_deleted_server_ends_what_is_in_flight_and_takes_nothing_new() {
    let plane = Plane::start(FPRS).await;
    let record = plane.dir().join("record");
    let env = [("RECORD", record.to_str().unwrap())];
    let more = "hold = \"10s\"\ndomains = [\"www.example.com\"]";
    plane.deploy(&program::manifest("web", more, &env)).await;
    let host = plane.host("web");
    let mut client = plane.h1().await;
    assert_eq!(client.get(&host, "/").await.unwrap().status, 200);
    let h2 = plane.h2().await;
    let stream = h2.open(get(&host, "/sse?n=15&ms=100"), true).await.unwrap();
    let begun = || {
        program::events(&record)
            .iter()
            .any(|event| event["target"] == "/sse?n=15&ms=100")
    };
    eventually("it is in flight", SOON, begun).await;

    plane.run(&["delete", "web"]).await.succeeded();

    let gone = client.get(&host, "/").await.unwrap();
    assert_eq!(gone.status, 401);
    assert_eq!(gone.header("x-fprs-reason"), Some("unauthenticated"));
    let gone = client.get("www.example.com", "/").await.unwrap();
    assert_eq!(gone.header("x-fprs-reason"), Some("unauthenticated"));
    plane.run(&["server", "web"]).await.refused(1);
    let whole = stream.response().await.unwrap();
    assert_eq!(whole.text().matches("data:").count(), 15);
    eventually("its program is gone", SOON, || {
        running_programs(&record).is_empty()
    })
    .await;
    until("nothing of it is left", SOON, async || {
        (plane.run(&["replicas", "web"]).await.code == Some(1)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_websocket_that_outlasts_the_grace_is_told_so_between_two_frames() {
    let plane = Plane::start(FPRS).await;
    let more = "h2 = true\nhold = \"10s\"\nexit_grace_period = \"300ms\"";
    plane.deploy(&program::manifest("web", more, &[])).await;
    let host = plane.host("web");
    let mut socket = TcpStream::connect(plane.listen()).await.unwrap();
    let request = format!(
        "GET /echo HTTP/1.1\r\nhost: {host}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101"));
    // A binary frame, masked with zeros, which leave it as it is.
    let frame = [0x82, 0x84, 0, 0, 0, 0, 1, 2, 3, 4];
    socket.write_all(&frame).await.unwrap();
    let mut echo = [0; 10];
    socket.read_exact(&mut echo).await.unwrap();
    assert_eq!(echo, frame);

    plane.run(&["delete", "web"]).await.succeeded();

    let mut rest = Vec::new();
    let closed = tokio::time::timeout(SOON, socket.read_to_end(&mut rest)).await;
    closed.unwrap().unwrap();
    assert_eq!(rest, [0x88, 0x02, 0x03, 0xe9], "1001, going away");
}
