//! Promise: a client that goes is seen by the program within 100 ms, whatever was going on.

use std::time::Duration;

use bytes::Bytes;
use fprs_testkit::client::get;
use fprs_testkit::origin::now_us;
use futures_util::future::join_all;
use h2::Reason;

use crate::call::{Call, Leaving, Speaks, Upload};
use crate::world::{ONE, PAIRS, TWO, World};

const WITHIN_MS: u64 = 100;

/// Tries: a machine that stalls for 100 ms is not what is tested, and one that never tells the
/// program is late in every try.
const TRIES: usize = 3;

/// When a client goes.
#[derive(Clone, Copy, Debug)]
enum Moment {
    BeforeTheHead,
    InTheAnswer,
    InTheUpload,
    /// The upload fills every buffer on its way, and the program takes none of it.
    InAnUploadThatNobodyTakes,
}

#[tokio::test]
async fn a_client_that_leaves_before_the_head_is_seen_by_the_program() {
    all_pairs(Moment::BeforeTheHead).await;
}

#[tokio::test]
async fn a_client_that_leaves_in_the_answer_is_seen_by_the_program() {
    all_pairs(Moment::InTheAnswer).await;
}

#[tokio::test]
async fn a_client_that_leaves_in_its_upload_is_seen_by_the_program() {
    all_pairs(Moment::InTheUpload).await;
}

/// Not by closing: over HTTP/1.1 its end comes after all the bytes that nobody takes.
#[tokio::test]
async fn a_client_that_resets_an_upload_that_nobody_takes_is_seen_by_the_program() {
    all_pairs(Moment::InAnUploadThatNobodyTakes).await;
}

async fn all_pairs(moment: Moment) {
    let world = World::alone().await;
    for pair in PAIRS {
        for how in [Leaving::Close, Leaving::Reset] {
            if matches!(
                (moment, how),
                (Moment::InAnUploadThatNobodyTakes, Leaving::Close)
            ) {
                continue;
            }
            let mut latencies = Vec::new();
            for number in 0..TRIES {
                latencies.push(latency(&world, pair, moment, how, number).await);
                if latencies[number] < WITHIN_MS * 1_000 {
                    break;
                }
            }
            println!("{pair:?} {moment:?} {how:?}: seen after {latencies:?} us");
            assert!(
                latencies.iter().any(|latency| *latency < WITHIN_MS * 1_000),
                "{pair:?} {moment:?} {how:?}: {latencies:?} us"
            );
        }
    }
    world.end().await;
}

/// From leaving to the program's knowing, in microseconds.
async fn latency(
    world: &World,
    (speaks, server): (Speaks, &str),
    moment: Moment,
    how: Leaving,
    number: usize,
) -> u64 {
    let (path, upload) = match moment {
        Moment::BeforeTheHead => ("/sleep?ms=60000", Upload::None),
        Moment::InTheAnswer => ("/hang?", Upload::None),
        Moment::InTheUpload => ("/count?", Upload::Stream),
        Moment::InAnUploadThatNobodyTakes => ("/never?", Upload::Stream),
    };
    let target = format!("{path}&try={number}-{speaks:?}-{how:?}");
    let mut call = world.call(speaks, server, &target, upload).await;
    if matches!(moment, Moment::InTheUpload) {
        call.sender.send(Bytes::from_static(b"some")).await.unwrap();
    }
    world.noted(server, &target, "begin").await;
    if matches!(moment, Moment::InTheAnswer) {
        assert_eq!(call.answer.head().await.unwrap().status, 200);
    }
    if matches!(moment, Moment::InAnUploadThatNobodyTakes) {
        fill(&mut call).await;
    }
    let left = now_us();
    let kept = call.leave(how);
    let noted = world.noted(server, &target, "aborted").await;
    drop(kept);
    noted["at_us"].as_u64().unwrap().saturating_sub(left)
}

/// Sends until nothing is taken for a while.
async fn fill(call: &mut Call) {
    let piece = Bytes::from(vec![b'a'; 64 * 1024]);
    let held = Duration::from_millis(200);
    while let Ok(sent) = tokio::time::timeout(held, call.sender.send(piece.clone())).await {
        sent.unwrap();
    }
}

/// Each stream counts from its beginning to its end, whichever end that is.
#[tokio::test]
async fn of_two_hundred_streams_on_one_connection_those_that_are_left_are_counted() {
    let world = World::start().await;
    let both = [ONE, TWO].map(|server| {
        let world = &world;
        async move {
            let host = world.plane.host(server);
            let client = world.plane.h2().await;
            let mut streams = Vec::new();
            for _ in 0..200 {
                streams.push(client.open(get(&host, "/hang"), true).await.unwrap());
            }
            world.until_in_flight(server, 200).await;
            for stream in streams.drain(50..) {
                stream.reset(Reason::CANCEL);
            }
            world.until_in_flight(server, 50).await;
            // Those that are left go on, and new ones are served.
            assert_eq!(streams[0].receiver.head().await.unwrap().status, 200);
            assert_eq!(client.get(&host, "/").await.unwrap().status, 200);
            drop(client);
            world.until_in_flight(server, 0).await;
        }
    });
    join_all(both).await;
    world.end().await;
}

#[tokio::test]
async fn an_upload_that_nobody_takes_ends_with_its_stream() {
    let world = World::start().await;
    let both = [ONE, TWO].map(|server| {
        let world = &world;
        async move {
            let mut call = world
                .call(Speaks::H2, server, "/never", Upload::Stream)
                .await;
            fill(&mut call).await;
            world.until_in_flight(server, 1).await;
            let kept = call.leave(Leaving::Reset);
            world.until_in_flight(server, 0).await;
            drop(kept);
        }
    });
    join_all(both).await;
    world.end().await;
}

#[tokio::test]
async fn what_is_in_flight_is_counted_while_it_is_and_not_after_the_client_left() {
    let world = World::start().await;
    let mut calls = Vec::new();
    for (speaks, server) in PAIRS {
        calls.push(world.call(speaks, server, "/hang", Upload::None).await);
    }
    for server in [ONE, TWO] {
        world.until_in_flight(server, 2).await;
    }
    let kept: Vec<_> = calls
        .into_iter()
        .map(|call| call.leave(Leaving::Reset))
        .collect();
    for server in [ONE, TWO] {
        world.until_in_flight(server, 0).await;
    }
    drop(kept);
    world.end().await;
}

#[tokio::test]
async fn a_client_that_leaves_behind_a_pipelined_request_is_seen_by_the_program() {
    let world = World::start().await;
    let host = world.plane.host(ONE);
    let mut client = world.plane.h1().await;
    let first = format!("GET /sleep?ms=60000&pipelined HTTP/1.1\r\nhost: {host}\r\n\r\n");
    client.writer.send(first).await.unwrap();
    let target = "/sleep?ms=60000&pipelined";
    world.noted(ONE, target, "begin").await;
    client.writer.send("GET / HTTP/1.1\r\n").await.unwrap();
    // What was pipelined is with the proxy before the end is.
    world.until_in_flight(ONE, 1).await;
    drop(client);
    world.noted(ONE, target, "aborted").await;
    world.end().await;
}
