//! Promise: request and response move at the same time, each held back by its own reader.

use std::time::Duration;

use bytes::Bytes;
use fprs_testkit::Pattern;

use crate::call::Upload;
use crate::world::{PAIRS, World};

#[tokio::test]
async fn each_piece_of_an_upload_comes_back_before_the_next_is_sent() {
    let world = World::start().await;
    for (speaks, server) in PAIRS {
        let mut call = world.call(speaks, server, "/echo", Upload::Stream).await;
        assert_eq!(call.answer.head().await.unwrap().status, 200);
        for round in 0..100_usize {
            let sent = Bytes::from(format!("{round} ").repeat(round + 1));
            call.sender.send(sent.clone()).await.unwrap();
            let mut received = Vec::new();
            while received.len() < sent.len() {
                received.extend_from_slice(&call.answer.piece().await.unwrap().unwrap());
            }
            assert_eq!(received, sent, "{speaks:?} to {server}, round {round}");
        }
        call.sender.finish().await.unwrap();
        assert_eq!(call.answer.piece().await.unwrap(), None);
    }
    world.end().await;
}

/// More than every socket buffer on the way can hold, both directions: a sender that isn't held
/// would send it all.
const MORE_THAN_BUFFERS: u64 = 1 << 30;

/// The plane's own part of what is held: windows of the proxy and the relay, both directions, and
/// the buffers around them.
const HELD: u64 = 16 << 20;

#[tokio::test]
async fn a_client_that_does_not_read_holds_its_own_upload_back_and_loses_nothing() {
    let world = World::alone().await;
    for (speaks, server) in PAIRS {
        let before = world.plane.memory();
        let mut call = world.call(speaks, server, "/echo", Upload::Stream).await;
        assert_eq!(call.answer.head().await.unwrap().status, 200);
        let mut pattern = Pattern::new();
        // Nothing taken for this long: everything on the way is full.
        let held = Duration::from_millis(200);
        loop {
            let piece = pattern.next(64 * 1024);
            let sent = tokio::time::timeout(held, call.sender.send(piece.clone()));
            assert!(
                pattern.offset() < MORE_THAN_BUFFERS,
                "nobody holds the sender"
            );
            match sent.await {
                Ok(sent) => sent.unwrap(),
                Err(_) => break,
            }
        }
        let grown = world.plane.memory().saturating_sub(before);
        println!(
            "{speaks:?} to {server}: held after {} KiB, memory grew by {} KiB",
            pattern.offset() >> 10,
            grown >> 10
        );
        assert!(grown < HELD, "{speaks:?} to {server}: {grown} bytes");
        let mut expected = Pattern::new();
        while expected.offset() < pattern.offset() - 64 * 1024 {
            let piece = call.answer.piece().await.unwrap().unwrap();
            // The cut chunk of HTTP/1.1 is never whole, so nothing of it comes back.
            expected.check(&piece).unwrap();
        }
    }
    world.end().await;
}
