//! Promise: an answer that comes before the request's end arrives whole, and nothing is left behind.

use bytes::Bytes;

use crate::call::{Call, Upload};
use crate::world::{PAIRS, World};

/// Far more than a program that doesn't read, and everything before it, holds.
const UPLOAD: usize = 256 << 20;

#[tokio::test]
async fn an_answer_in_the_middle_of_an_upload_arrives_whole() {
    let world = World::start().await;
    for (speaks, server) in PAIRS {
        // Often: the answer's end and the word that the rest isn't wanted race.
        for _ in 0..20 {
            let Call {
                mut sender,
                mut answer,
            } = world.call(speaks, server, "/early", Upload::Stream).await;
            let upload = async {
                let piece = Bytes::from(vec![b'a'; 64 * 1024]);
                for _ in 0..UPLOAD / piece.len() {
                    if sender.send(piece.clone()).await.is_err() {
                        return;
                    }
                }
                panic!("the whole upload was taken");
            };
            let (answer, ()) = tokio::join!(answer.response(), upload);
            let answer = answer.unwrap();
            assert_eq!((answer.status, answer.text()), (413, "early".to_owned()));
        }
        assert_eq!(world.get(speaks, server, "/").await.status, 200);
        world.until_in_flight(server, 0).await;
    }
    world.end().await;
}

#[tokio::test]
async fn an_answer_before_the_first_byte_of_an_upload_arrives_whole() {
    let world = World::start().await;
    for (speaks, server) in PAIRS {
        for upload in [Upload::Stream, Upload::Length(1_000)] {
            let mut call = world.call(speaks, server, "/early", upload).await;
            let answer = call.answer.response().await.unwrap();
            assert_eq!((answer.status, answer.text()), (413, "early".to_owned()));
        }
    }
    world.end().await;
}

#[tokio::test]
async fn a_small_rest_of_an_upload_is_thrown_away_and_the_connection_goes_on() {
    let world = World::start().await;
    let host = world.plane.host("one");
    let mut client = world.plane.h1().await;
    for _ in 0..3 {
        let head = format!("POST /early HTTP/1.1\r\nhost: {host}\r\ncontent-length: 4\r\n\r\n");
        client.writer.send(head).await.unwrap();
        assert_eq!(client.reader.response().await.unwrap().status, 413);
        client.writer.send("rest").await.unwrap();
        assert_eq!(client.get(&host, "/").await.unwrap().text(), "hello");
    }
    world.end().await;
}

/// As clients do that send first and read then: what they can't send any more is no loss.
#[tokio::test]
async fn an_answer_in_the_middle_of_an_upload_is_there_for_who_reads_only_afterwards() {
    let world = World::start().await;
    for (speaks, server) in PAIRS {
        for size in [1_usize << 20, 8 << 20] {
            let length = Upload::Length(size as u64);
            let mut call = world.call(speaks, server, "/early", length).await;
            // Fails or not, as the proxy and the system please.
            call.sender.send(Bytes::from(vec![b'a'; size])).await.ok();
            let answer = call.answer.response().await.unwrap();
            assert_eq!((answer.status, answer.text()), (413, "early".to_owned()));
        }
    }
    world.end().await;
}
