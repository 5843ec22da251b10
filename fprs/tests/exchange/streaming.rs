//! Promise: what a program sends is with the client before the program sends more.

use fprs_testkit::client::ClientError;
use fprs_testkit::origin::now_us;
use futures_util::future::join_all;
use serde_json::Value;

use crate::call::{Call, Upload};
use crate::world::{PAIRS, World};

const EVENTS: u64 = 200;

/// Runs each pair gets: a machine that stalls for 5 ms is not what is tested, and who holds events back
/// does it in every run.
const RUNS: usize = 5;

#[tokio::test]
async fn each_of_200_events_sent_5_ms_apart_arrives_before_the_next_is_sent() {
    let world = World::alone().await;
    let path = format!("/sse?n={EVENTS}&ms=5");
    let mut pairs = PAIRS.to_vec();
    for _ in 0..RUNS {
        let runs = pairs.iter().map(|(speaks, server)| {
            let (world, path) = (&world, &path);
            async move { arrivals(world.call(*speaks, server, path, Upload::None).await).await }
        });
        let mut held_up = Vec::new();
        for (pair, arrivals) in pairs.iter().zip(join_all(runs).await) {
            let arrivals = arrivals.unwrap();
            assert_eq!(arrivals.len() as u64, EVENTS, "{pair:?}");
            let delays = arrivals.iter().map(|(sent, received)| received - sent);
            println!(
                "{pair:?}: an event took at most {} us",
                delays.max().unwrap()
            );
            if arrivals.windows(2).any(|events| events[0].1 >= events[1].0) {
                held_up.push(*pair);
            }
        }
        pairs = held_up;
    }
    assert_eq!(
        pairs,
        [],
        "an event came after the next was sent, in every run"
    );
    world.end().await;
}

/// When each event was sent and received, in microseconds.
async fn arrivals(mut call: Call) -> Result<Vec<(u64, u64)>, ClientError> {
    assert_eq!(call.answer.head().await?.status, 200);
    let (mut arrivals, mut text) = (Vec::new(), String::new());
    while let Some(piece) = call.answer.piece().await? {
        let received = now_us();
        text += std::str::from_utf8(&piece).unwrap();
        while let Some((event, rest)) = text.split_once("\n\n") {
            let event: Value = serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap();
            assert_eq!(event["n"], arrivals.len());
            arrivals.push((event["at_us"].as_u64().unwrap(), received));
            text = rest.to_owned();
        }
    }
    Ok(arrivals)
}
