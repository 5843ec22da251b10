//! Promise: responses before the response cross, and so do trailers, both ways.

use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Value, json};

use crate::call::{Speaks, Upload};
use crate::world::{ONE, PAIRS, TWO, World};

#[tokio::test]
async fn early_hints_cross_before_the_answer() {
    let world = World::start().await;
    for (speaks, server) in PAIRS {
        let answer = world.get(speaks, server, "/hints").await;
        let hints = &answer.informational[..];
        assert_eq!(hints.len(), 1, "{speaks:?} to {server}: {hints:?}");
        assert_eq!(hints[0].status, 103);
        assert_eq!(hints[0].header("link"), Some("</style.css>; rel=preload"));
        assert_eq!((answer.status, answer.informational.len()), (200, 1));
    }
    world.end().await;
}

#[tokio::test]
async fn a_client_that_waits_for_100_is_told_by_the_program_to_go_on() {
    let world = World::start().await;
    for server in [ONE, TWO] {
        let host = world.plane.host(server);
        let mut client = world.plane.h1().await;
        // Twice: the connection is good for another.
        for _ in 0..2 {
            let head = format!(
                "POST /continue HTTP/1.1\r\nhost: {host}\r\ncontent-length: 5\r\n\
                 expect: 100-continue\r\n\r\n"
            );
            client.writer.send(head).await.unwrap();
            assert_eq!(client.reader.head().await.unwrap().status, 100);
            client
                .writer
                .send(fprs_testkit::Pattern::bytes(5))
                .await
                .unwrap();
            let answer = client.reader.response().await.unwrap();
            let counted: Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(counted, json!({"bytes": 5, "matches": true}));
        }
        let head = world.noted(server, "/continue", "begin").await;
        assert!(
            head["head"]
                .as_str()
                .unwrap()
                .contains("expect: 100-continue")
        );
    }
    for server in [ONE, TWO] {
        let mut call = world
            .call(Speaks::H2, server, "/continue", Upload::Stream)
            .await;
        let crate::call::Answer::H2 { receiver, .. } = &mut call.answer else {
            panic!("not h2");
        };
        assert_eq!(receiver.informational().await.unwrap().unwrap().status, 100);
        call.sender.finish().await.unwrap();
        assert_eq!(call.answer.response().await.unwrap().status, 200);
    }
    world.end().await;
}

#[tokio::test]
async fn a_client_that_waits_for_100_and_is_refused_can_keep_its_body() {
    let world = World::start().await;
    for server in [ONE, TWO] {
        let host = world.plane.host(server);
        let mut client = world.plane.h1().await;
        let head = format!(
            "POST /early HTTP/1.1\r\nhost: {host}\r\ncontent-length: 5\r\n\
             expect: 100-continue\r\n\r\n"
        );
        client.writer.send(head).await.unwrap();
        let answer = client.reader.response().await.unwrap();
        assert_eq!((answer.status, answer.text()), (413, "early".to_owned()));
        // Whether the body still comes can't be known, so nothing else may follow.
        assert_eq!(client.reader.closed().await, Ok(Bytes::new()));
    }
    world.end().await;
}

#[tokio::test]
async fn trailers_cross_both_ways() {
    let world = World::start().await;
    for (speaks, server) in PAIRS {
        let mut call = world.call(speaks, server, "/echo", Upload::Stream).await;
        call.sender.send("body".into()).await.unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "7".parse().unwrap());
        call.sender.finish_with(trailers).await.unwrap();
        let answer = call.answer.response().await.unwrap();
        assert_eq!(answer.text(), "body", "{speaks:?} to {server}");
        assert_eq!(answer.trailer("x-sum"), Some("7"), "{speaks:?} to {server}");
    }
    world.end().await;
}
