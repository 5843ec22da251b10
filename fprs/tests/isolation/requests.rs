//! Requests that are none: each is answered or reset by itself, however many there are.

use crate::frames::{Frames, headers, reset};
use crate::world::{Neighbour, Quiet, World, unnoticed};

/// Fields of a request in which one thing is wrong. `HOST` stands for a server's host name.
const MALFORMED: &[(&str, &[(&str, &str)])] = &[
    ("user information", &[(":authority", "user@HOST")]),
    ("an authority that is none", &[(":authority", "a b")]),
    ("an empty authority", &[(":authority", "")]),
    ("no authority", &[]),
    (
        "another host",
        &[(":authority", "HOST"), ("host", "other.example")],
    ),
    ("two hosts", &[("host", "HOST"), ("host", "HOST")]),
    ("a host with user information", &[("host", "user@HOST")]),
    (
        "a length that is no number",
        &[(":authority", "HOST"), ("content-length", "junk")],
    ),
    (
        "a length below zero",
        &[(":authority", "HOST"), ("content-length", "-1")],
    ),
    (
        "a length with a sign",
        &[(":authority", "HOST"), ("content-length", "+0")],
    ),
    (
        "two lengths",
        &[
            (":authority", "HOST"),
            ("content-length", "0"),
            ("content-length", "1"),
        ],
    ),
    (
        "a length that the body doesn't have",
        &[(":authority", "HOST"), ("content-length", "5")],
    ),
    (
        "a connection field",
        &[(":authority", "HOST"), ("connection", "close")],
    ),
    (
        "a transfer coding",
        &[(":authority", "HOST"), ("transfer-encoding", "chunked")],
    ),
    (
        "two paths",
        &[(":authority", "HOST"), (":path", "/malformed")],
    ),
    (
        "a pseudo field after a field",
        &[("x-field", "1"), (":authority", "HOST")],
    ),
];

/// Fields that the h2 crate finds wrong while it still decodes them; its decoder ends the connection.
const UNDECODABLE: &[(&str, &str)] = &[
    (":unknown", "1"),
    ("X-Upper", "1"),
    ("x-control", "a\u{1}b"),
    ("x-break", "a\r\nb: c"),
];

/// Times each of them is sent.
const TIMES: usize = 12;

#[tokio::test]
async fn malformed_requests_end_alone() {
    let world = World::start().await;
    let quiet = Quiet::beside(World::start().await).await;
    let host = world.host();
    let client = Frames::connect(world.plane.listen()).await;
    let neighbour = client.get(&host, "/sse?n=1000000&ms=5").await;
    client
        .wait("the neighbour's events", neighbour, |seen| seen.bytes > 100)
        .await;
    for _ in 0..TIMES {
        let before = client.seen(neighbour).bytes;
        for (what, fields) in MALFORMED {
            let stream = send_malformed(&client, &host, fields).await;
            client
                .wait(what, stream, |seen| seen.ended || seen.reset)
                .await;
        }
        client.expect_bytes(&host, 10_240).await;
        client
            .wait("the neighbour goes on", neighbour, |seen| {
                seen.bytes > before
            })
            .await;
    }
    let seen = client.seen(neighbour);
    assert!(!seen.ended && !seen.reset, "{seen:?}");
    // Its events would cost the neighbour time, too.
    client.write(&reset(neighbour)).await;
    for (_, fields) in MALFORMED {
        send_malformed(&client, &host, fields).await;
    }
    let what = "malformed requests";
    unnoticed(what, &quiet, &[Neighbour::Gets(&client, &host)]).await;
    client.expect_open(what);
    drop(client);
    world.settled().await;
}

/// An edge never sends such fields: HTTP/2 implementations refuse them on both sides.
#[tokio::test]
async fn undecodable_fields_end_their_stream_alone() {
    let world = World::start().await;
    let host = world.host();
    let neighbour = Frames::connect(world.plane.listen()).await;
    let events = neighbour.get(&host, "/sse?n=1000000&ms=5").await;
    for field in UNDECODABLE {
        let stream = send_malformed(&neighbour, &host, &[(":authority", "HOST"), *field]).await;
        neighbour
            .wait("the stream is reset", stream, |seen| seen.reset)
            .await;
        let before = neighbour.seen(events).bytes;
        neighbour
            .wait("its neighbour goes on", events, |seen| seen.bytes > before)
            .await;
        neighbour.expect_open("undecodable fields");
    }
    drop(neighbour);
    world.settled().await;
}

async fn send_malformed(client: &Frames, host: &str, fields: &[(&str, &str)]) -> u32 {
    let fields: Vec<(&str, String)> = fields
        .iter()
        .map(|(name, value)| (*name, value.replace("HOST", host)))
        .collect();
    let mut all = vec![
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/malformed"),
    ];
    all.extend(fields.iter().map(|(name, value)| (*name, value.as_str())));
    let stream = client.stream();
    client.write(&headers(stream, true, &all)).await;
    stream
}
