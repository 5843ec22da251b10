//! Promise: only plain host names of the connection's certificate reach fprs; tricks are answered at the
//! edge, and cost nobody else anything.

use fprs_testkit::until;
use serde_json::Value;

use crate::SOON;
use crate::plane::{ECHO, Edged, WEB};

#[tokio::test]
async fn host_tricks_are_answered_at_the_edge_and_cost_nobody_anything() {
    let Some(edged) = Edged::start().await else {
        return;
    };
    let victim = edged.h2().await;
    let table = [
        (format!("host: {WEB}\r\nhost: {ECHO}"), 400),
        (format!("host: {WEB}\r\nhost: evil.example"), 421),
        (format!("host: u@{WEB}"), 400),
        (format!("host: {ECHO},{WEB}"), 400),
        (format!("host: x/{WEB}"), 400),
        ("host: fprs.internal".to_owned(), 421),
        ("host: shop.example.com".to_owned(), 421),
        ("host: region.localhost".to_owned(), 421),
        (String::new(), 400),
        (format!("host: {WEB}:8443"), 200),
        (format!("host: {WEB}."), 200),
        (format!("host: {}", WEB.to_uppercase()), 200),
    ];
    for (host, status) in &table {
        let head = match host.as_str() {
            "" => "GET / HTTP/1.1\r\nconnection: close\r\n\r\n".to_owned(),
            host => format!("GET / HTTP/1.1\r\n{host}\r\nconnection: close\r\n\r\n"),
        };
        assert_eq!(self::status(&edged, &head).await, *status, "{host:?}");
    }
    // As many as would use up a connection's patience with malformed streams.
    for _ in 0..40 {
        let head = format!("GET / HTTP/1.1\r\nhost: u@{WEB}\r\nconnection: close\r\n\r\n");
        assert_eq!(status(&edged, &head).await, 400);
        assert_eq!(victim.get(WEB, "/").await.unwrap().status, 200);
    }
    assert!(victim.is_open());
    // The edge answered by itself: fprs never saw them.
    let refused = until("the access log", SOON, async || {
        let log = edged.access_log();
        let of = |line: &Value| [400, 421].contains(&line["status"].as_u64().unwrap());
        let refused: Vec<Value> = log.into_iter().filter(of).collect();
        (refused.len() >= 40).then_some(refused)
    })
    .await;
    for line in refused {
        assert_eq!(line["up"], Value::Null, "{line}");
    }
}

#[tokio::test]
async fn requests_that_could_be_read_two_ways_never_reach_a_program() {
    let Some(edged) = Edged::start().await else {
        return;
    };
    let seen = edged.seen().len();
    for head in [
        format!(
            "POST / HTTP/1.1\r\nhost: {WEB}\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
        ),
        format!(
            "POST / HTTP/1.1\r\nhost: {WEB}\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\nabc"
        ),
        format!("POST / HTTP/1.1\r\nhost: {WEB}\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nhost: {WEB}\r\nx y: 1\r\nconnection: close\r\n\r\n"),
        format!("TRACE / HTTP/1.1\r\nhost: {WEB}\r\nconnection: close\r\n\r\n"),
        format!("CONNECT {WEB}:443 HTTP/1.1\r\nhost: {WEB}:443\r\nconnection: close\r\n\r\n"),
    ] {
        let status = status(&edged, &head).await;
        assert!((400..600).contains(&status), "{head:?}: {status}");
    }
    assert_eq!(edged.seen().len(), seen);
}

/// The answer's status, on a connection of its own.
async fn status(edged: &Edged, head: &str) -> u16 {
    let answer = edged.h1().await.exchange(head).await;
    answer
        .unwrap_or_else(|error| panic!("{head:?}: {error:?}"))
        .status
}
