//! Promise: a connection of HTTP/1.1 serves one request after the other, in order, and no byte of one
//! message is read as part of the next.

use std::time::Duration;

use bytes::Bytes;
use fprs_testkit::Pattern;
use fprs_testkit::client::{Ending, H1, get};
use futures_util::future::join_all;
use tokio::net::TcpSocket;

use crate::call::Speaks;
use crate::raw::{self, RAW};
use crate::world::{ONE, TWO, World};

#[tokio::test]
async fn a_thousand_requests_pass_on_one_connection() {
    let world = World::start().await;
    let both = [ONE, TWO].map(|server| {
        let world = &world;
        async move {
            let host = world.plane.host(server);
            let mut client = world.plane.h1().await;
            for number in 0..500 {
                let length = number * 37 % 5_000;
                let path = format!("/bytes/{length}?chunked={}", number % 2);
                let answer = client.get(&host, &path).await.unwrap();
                assert_eq!((answer.status, answer.body.len()), (200, length), "{path}");
                let body = vec![b'a'; length];
                let answer = client.post(&host, "/echo", &body).await.unwrap();
                assert!(answer.body == body, "{length} bytes");
            }
        }
    });
    join_all(both).await;
    world.end().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let world = World::start().await;
    for server in [ONE, TWO] {
        let host = world.plane.host(server);
        let mut client = world.plane.h1().await;
        for round in 0..10 {
            // The first takes longer: an order of arrival would show.
            let slow = format!("GET /sleep?ms=20 HTTP/1.1\r\nhost: {host}\r\n\r\n");
            let upload = format!(
                "POST /echo HTTP/1.1\r\nhost: {host}\r\ncontent-length: 4\r\n\r\n{round:04}"
            );
            let last = format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n");
            client.writer.send(slow + &upload + &last).await.unwrap();
            let mut next = async || client.reader.response().await.unwrap().text();
            let answers = [next().await, next().await, next().await];
            assert_eq!(
                answers,
                [String::new(), format!("{round:04}"), "hello".to_owned()]
            );
        }
    }
    world.end().await;
}

#[tokio::test]
async fn answers_without_a_body_leave_the_connection_to_the_next() {
    let mut world = World::start().await;
    raw::deploy(&mut world).await;
    let host = world.plane.host(RAW);
    let mut client = world.plane.h1().await;
    for _ in 0..3 {
        for (method, path, status, length) in [
            ("GET", "/status/204", 204, None),
            ("GET", "/status/304", 304, Some("5")),
            ("HEAD", "/length/head", 200, Some("5")),
            ("HEAD", "/status/304", 304, Some("5")),
            ("GET", "/length/empty", 200, Some("0")),
            ("GET", "/chunked/empty", 200, None),
        ] {
            let request = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n\r\n");
            client.writer.send(request).await.unwrap();
            let answer = client.reader.response_of(method).await.unwrap();
            assert_eq!((answer.status, answer.body.len()), (status, 0), "{path}");
            assert_eq!(answer.header("content-length"), length, "{method} {path}");
            assert_eq!(
                answer.header("transfer-encoding").is_some(),
                path == "/chunked/empty"
            );
        }
    }
    world.end().await;
}

#[tokio::test]
async fn answers_without_a_body_end_their_stream() {
    let mut world = World::start().await;
    raw::deploy(&mut world).await;
    let host = world.plane.host(RAW);
    let client = world.plane.h2().await;
    for (method, path, status) in [
        ("GET", "/status/204", 204),
        ("GET", "/status/304", 304),
        ("HEAD", "/length/head", 200),
        ("HEAD", "/status/304", 304),
        ("GET", "/length/empty", 200),
        ("GET", "/chunked/empty", 200),
    ] {
        let mut request = get(&host, path);
        *request.method_mut() = method.parse().unwrap();
        let stream = client.open(request, true).await.unwrap();
        let answer = stream.response().await.unwrap();
        assert_eq!(
            (answer.status, answer.body.len()),
            (status, 0),
            "{method} {path}"
        );
    }
    for server in [ONE, TWO] {
        let mut request = get(&world.plane.host(server), "/bytes/5");
        *request.method_mut() = http::Method::HEAD;
        let answer = client
            .open(request, true)
            .await
            .unwrap()
            .response()
            .await
            .unwrap();
        assert_eq!((answer.status, answer.body.len()), (200, 0));
        assert_eq!(answer.header("content-length"), Some("5"));
    }
    world.end().await;
}

/// The end of a chunked answer that can't be written at once must not be written twice: the second one
/// would be read as the beginning of the next answer.
#[tokio::test]
async fn a_slow_reader_finds_the_next_answer_where_the_last_one_ended() {
    let world = World::start().await;
    // Whether the proxy can't write the end at once depends on where in the socket's buffer it falls.
    let read = (0..16).map(|number| {
        let (world, server) = (&world, [ONE, TWO][number % 2]);
        let length = (3 << 20) + number as u64 * 100_000;
        async move {
            let host = world.plane.host(server);
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_recv_buffer_size(16_384).unwrap();
            let stream = socket.connect(world.plane.listen()).await.unwrap();
            let mut client = H1::over(stream);
            let target = format!("/bytes/{length}?chunked=1");
            let request = format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n");
            client.writer.send(request).await.unwrap();
            client.reader.head().await.unwrap();
            let mut expected = Pattern::new();
            while let Some(piece) = client.reader.piece().await.unwrap() {
                expected.check(&piece).unwrap();
                // A pace, so that the proxy is always ahead.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(expected.offset(), length);
            let answer = client.get(&host, "/").await.unwrap();
            assert_eq!((answer.status, answer.text()), (200, "hello".to_owned()));
        }
    });
    join_all(read).await;
    world.end().await;
}

#[tokio::test]
async fn a_connection_that_ends_at_the_program_goes_on_at_the_client() {
    let mut world = World::start().await;
    raw::deploy(&mut world).await;
    let host = world.plane.host(RAW);
    let mut client = world.plane.h1().await;
    for _ in 0..3 {
        let answer = client.get(&host, "/close/whole").await.unwrap();
        assert_eq!((answer.status, answer.text()), (200, "hello".to_owned()));
        assert_eq!(answer.header("connection"), None);
    }
    let last = format!("GET /length/empty HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    let answer = client.exchange(last).await.unwrap();
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(client.reader.closed().await, Ok(Bytes::new()));
    world.end().await;
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_its_answer_and_the_end_of_its_connection() {
    let world = World::start().await;
    for server in [ONE, TWO] {
        let host = world.plane.host(server);
        let answer = world
            .raw(format!(
                "GET /bytes/3?chunked=1 HTTP/1.0\r\nhost: {host}\r\n\r\n"
            ))
            .await;
        assert_eq!(answer.status(), Some(200));
        assert_eq!(answer.ending, Ending::Closed);
        assert!(
            !answer.text().contains("transfer-encoding"),
            "{}",
            answer.text()
        );
    }
    assert_eq!(world.get(Speaks::H1, ONE, "/").await.status, 200);
    world.end().await;
}
