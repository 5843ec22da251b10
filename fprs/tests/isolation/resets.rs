//! Streams that are reset as soon as they are opened, and frames that carry nothing.

use crate::frames::{Frames, data, headers, request, reset};
use crate::world::{World, pace, unnoticed};

/// Streams opened and reset in one burst.
const BURST: usize = 200;

/// Bursts.
const BURSTS: usize = 10;

/// ENHANCE_YOUR_CALM.
const CALM: u32 = 11;

#[tokio::test]
async fn bursts_of_resets_leave_streams_to_an_http1_program_alone() {
    bursts(World::start().await, &[When::AtOnce, When::Later]).await;
}

#[tokio::test]
async fn bursts_of_resets_leave_streams_to_an_http2_program_alone() {
    bursts(World::start_h2().await, &[When::AtOnce, When::Later]).await;
}

async fn bursts(world: World, kinds: &[When]) {
    let host = world.host();
    let mut client = Frames::connect(world.plane.listen()).await;
    let neighbour = client.get(&host, "/sse?n=1000000&ms=5").await;
    for when in kinds {
        for _ in 0..BURSTS {
            let before = client.seen(neighbour).bytes;
            burst(&mut client, &host, BURST, *when).await;
            client.expect_bytes(&host, 10_240).await;
            client
                .wait("the neighbour goes on", neighbour, |seen| {
                    seen.bytes > before
                })
                .await;
        }
    }
    burst(&mut client, &host, BURST * BURSTS, When::AtOnce).await;
    client.expect_bytes(&host, 10_240).await;
    let seen = client.seen(neighbour);
    assert!(!seen.ended && !seen.reset, "{seen:?}");
    client.expect_open("bursts of resets");
    drop(client);
    world.settled().await;
}

/// When streams are reset.
#[derive(Clone, Copy, Debug)]
enum When {
    /// Each right behind its head.
    AtOnce,
    /// After the heads of all were sent: some of them are on their way to the program.
    Later,
}

async fn burst(client: &mut Frames, host: &str, pairs: usize, when: When) {
    let (mut heads, mut resets) = (Vec::new(), Vec::new());
    for _ in 0..pairs {
        let stream = client.stream();
        heads.extend(headers(stream, true, &request("GET", host, "/hang")));
        match when {
            When::AtOnce => heads.extend(reset(stream)),
            When::Later => resets.extend(reset(stream)),
        }
    }
    client.write(&heads).await;
    client.write(&resets).await;
}

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
