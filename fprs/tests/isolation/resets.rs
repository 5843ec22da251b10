//! Streams that are reset as soon as they are opened, and frames that carry nothing.

use crate::frames::{Frames, data, headers, request};
use crate::world::{World, pace, unnoticed};

/// ENHANCE_YOUR_CALM.
const CALM: u32 = 11;

/// The h2 crate ends a connection at its 101st empty DATA frame and has no setting for it. What is
/// promised is that nobody else notices.
#[tokio::test]
async fn empty_frames_end_at_most_the_connection_they_come_on() {
    let world = World::start().await;
    let host = world.host();
    let other = world.plane.h2().await;
    let quiet = pace(&other, &host).await;
    let mut neighbour = Frames::connect(world.plane.listen()).await;
    let events = neighbour.get(&host, "/sse?n=1000000&ms=5").await;

    let mut client = Frames::connect(world.plane.listen()).await;
    let stream = client.stream();
    let post = headers(stream, false, &request("POST", &host, "/echo"));
    client.write(&post).await;
    client.write(&data(stream, false, b"").repeat(100)).await;
    client.expect_bytes(&host, 10_240).await;
    client.write(&data(stream, false, b"")).await;
    let (code, why) = client.ended().await.unwrap();
    println!("101 empty DATA frames: GOAWAY {code} {why}");
    assert_eq!(code, CALM);

    unnoticed(
        "a connection of empty frames",
        quiet,
        pace(&other, &host).await,
    );
    let before = neighbour.seen(events).bytes;
    neighbour
        .wait("the neighbour goes on", events, |seen| seen.bytes > before)
        .await;
    drop(neighbour);
    world.settled().await;
}
