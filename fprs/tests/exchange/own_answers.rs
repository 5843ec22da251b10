//! Promise: what the proxy answers itself says why, and what can't be understood is never passed on.

use bytes::Bytes;
use fprs_testkit::client::{ClientError, Ending, H2, Response};
use http::{Method, Request};

use crate::call::{Call, Speaks, Upload};
use crate::world::{ONE, World};

async fn ask(world: &World, speaks: Speaks, host: &str, path: &str) -> Response {
    let mut call = Call::open(world.plane.listen(), speaks, host, path, Upload::None).await;
    call.answer.response().await.unwrap()
}

#[tokio::test]
async fn hosts_that_lead_nowhere_are_refused_with_the_reason() {
    let world = World::start().await;
    for speaks in [Speaks::H1, Speaks::H2] {
        for (host, status, reason) in [
            ("nobody.region.localhost", 401, "unauthenticated"),
            ("nobody.region.localhost:80", 401, "unauthenticated"),
            ("one.elsewhere.localhost", 401, "unauthenticated"),
            ("one", 421, "wrong_zone"),
            ("127.0.0.1:8080", 421, "wrong_zone"),
        ] {
            let answer = ask(&world, speaks, host, "/").await;
            let said = (answer.status, answer.header("x-fprs-reason"));
            assert_eq!(said, (status, Some(reason)), "{speaks:?} {host}");
            let problem: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(problem["reason"], reason);
        }
    }
    world.end().await;
}

#[tokio::test]
async fn a_host_with_port_or_dot_or_in_capitals_is_the_same_host() {
    let world = World::start().await;
    let host = world.plane.host(ONE);
    for speaks in [Speaks::H1, Speaks::H2] {
        for host in [
            format!("{host}:8080"),
            format!("{host}."),
            host.to_uppercase(),
        ] {
            assert_eq!(
                ask(&world, speaks, &host, "/").await.text(),
                "hello",
                "{host}"
            );
        }
    }
    world.end().await;
}

#[tokio::test]
async fn health_is_answered_at_once_and_only_to_the_authority_for_it() {
    let world = World::start().await;
    for speaks in [Speaks::H1, Speaks::H2] {
        let answer = ask(&world, speaks, "fprs.internal", "/readyz").await;
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{speaks:?}");
        let other = ask(&world, speaks, "fprs.internal", "/").await;
        assert_eq!(other.status, 404, "{speaks:?}");
        // A server's own path of that name is its own.
        assert_eq!(world.get(speaks, ONE, "/readyz").await.text(), "hello");
    }
    world.end().await;
}

#[tokio::test]
async fn a_malformed_request_is_answered_400_and_its_connection_closed() {
    let world = World::start().await;
    let host = world.plane.host(ONE);
    let good = format!("GET / HTTP/1.1\r\nhost: {host}\r\n");
    for request in [
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        format!("GET / HTTP/1.1\r\nhost: {host}\r\nhost: {host}\r\n\r\n"),
        format!("GET / HTTP/1.1\nhost: {host}\n\n\r\n\r\n"),
        format!("GET http://other/ HTTP/1.1\r\nhost: {host}\r\n\r\n"),
        format!("GET / HTTP/3.0\r\nhost: {host}\r\n\r\n"),
        format!("{good}content-length: 5, 5\r\n\r\n"),
        format!("{good}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n"),
        format!("{good}transfer-encoding: gzip, chunked\r\n\r\n"),
        format!("{good}x-a: \u{1}\r\n\r\n"),
        format!("{good}x a: 1\r\n\r\n"),
        format!("{good}x-long: {}\r\n\r\n", "a".repeat(70_000)),
        format!("CONNECT {host}:80 HTTP/1.1\r\nhost: {host}:80\r\n\r\n"),
        "\u{16}\u{3}\u{1} no TLS here \r\n\r\n".to_owned(),
    ] {
        // What follows must not be served.
        let smuggled = format!("{request}GET /smuggled HTTP/1.1\r\nhost: {host}\r\n\r\n");
        let answer = world.raw(smuggled).await;
        let shown = &request[..request.len().min(200)];
        assert_eq!(answer.status(), Some(400), "{shown:?}: {answer:?}");
        assert!(
            answer.text().contains("x-fprs-reason: bad_request"),
            "{shown:?}"
        );
        assert_eq!(answer.text().matches("HTTP/1.1 ").count(), 1, "{shown:?}");
        assert_ne!(answer.ending, Ending::Open, "{shown:?}");
    }
    assert_eq!(world.count(ONE, "/smuggled", "begin"), 0);
    world.end().await;
}

#[tokio::test]
async fn a_body_with_broken_chunks_is_refused_and_the_program_never_takes_it_for_whole() {
    let world = World::start().await;
    let host = world.plane.host(ONE);
    let mut client = world.plane.h1().await;
    let head = format!(
        "POST /count?broken HTTP/1.1\r\nhost: {host}\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    client.writer.send(head).await.unwrap();
    client.writer.send_chunk(b"some").await.unwrap();
    world.noted(ONE, "/count?broken", "begin").await;
    let answer = client.exchange("no size\r\n").await.unwrap();
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(client.reader.closed().await, Ok(Bytes::new()));
    world.noted(ONE, "/count?broken", "aborted").await;
    world.end().await;
}

#[tokio::test]
async fn a_malformed_stream_is_refused_and_leaves_its_neighbours_alone() {
    let world = World::start().await;
    let host = world.plane.host(ONE);
    let client: H2 = world.plane.h2().await;
    let slow = client.open(fprs_testkit::client::get(&host, "/sleep?ms=300"), true);
    let slow = slow.await.unwrap();
    let uri = format!("http://{host}/");
    let wrong = [
        Request::builder()
            .uri(&uri)
            .header("host", "other.region.localhost"),
        Request::builder().uri(format!("http://user@{host}/")),
        Request::builder().uri(&uri).header("content-length", "+5"),
        Request::builder()
            .method(Method::CONNECT)
            .uri(format!("{host}:80")),
    ];
    for request in wrong {
        let request = request.body(()).unwrap();
        let shown = format!("{request:?}");
        let stream = client.open(request, true).await.unwrap();
        match stream.response().await {
            Ok(answer) => assert_eq!(answer.status, 400, "{shown}"),
            Err(ClientError::StreamReset(_)) => {}
            Err(error) => panic!("{shown}: {error:?}"),
        }
    }
    assert_eq!(slow.response().await.unwrap().status, 200);
    assert!(client.is_open());
    world.end().await;
}
