//! Streams that are reset as soon as they are opened, and frames that carry nothing.

use std::sync::Arc;
use std::time::Duration;

use crate::frames::{Frames, data, headers, request, reset};
use crate::world::{Neighbour, Quiet, World, size, unnoticed};

/// Streams opened and reset in one burst.
const BURST: usize = 200;

/// Streams of the largest burst: as many as an edge connection has open, twice.
const AT_ONCE: usize = 2_048;

/// Between two small bursts beside which a neighbour's time is taken.
const PAUSE: Duration = Duration::from_millis(10);

/// Streams of a small burst: 200 a second, 1,000 in a soak. In a build for tests, beside other tests,
/// more of them would show by their work alone.
fn small() -> usize {
    size(2, 10)
}

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
    let client = Frames::connect(world.plane.listen()).await;
    let events = client.get(&host, "/sse?n=1000000&ms=5").await;
    for when in kinds {
        // With the last burst 10,000 resets in a soak.
        for _ in 0..size(5, 20) {
            let before = client.seen(events).bytes;
            burst(&client, &host, BURST, *when).await;
            client.expect_bytes(&host, 10_240).await;
            client
                .wait("the neighbour goes on", events, |seen| seen.bytes > before)
                .await;
        }
    }
    burst(&client, &host, AT_ONCE, When::AtOnce).await;
    client.expect_bytes(&host, 10_240).await;
    let seen = client.seen(events);
    assert!(!seen.ended && !seen.reset, "{seen:?}");
    client.expect_open("bursts of resets");
    drop(client);
    world.settled().await;
}

#[tokio::test]
async fn no_number_of_resets_ends_the_connection_they_come_on() {
    let world = World::start().await;
    let host = world.host();
    let client = Frames::connect(world.plane.listen()).await;
    let events = client.get(&host, "/sse?n=1000000&ms=5").await;
    // Far more than may wait to be accepted, in one write.
    burst(&client, &host, size(10_000, 100_000), When::AtOnce).await;
    client.expect_bytes(&host, 10_240).await;
    let before = client.seen(events).bytes;
    client
        .wait("the neighbour goes on", events, |seen| seen.bytes > before)
        .await;
    client.expect_open("10,000 resets in one write");
    drop(client);
    world.settled().await;
}

#[tokio::test]
async fn a_stream_of_resets_leaves_its_neighbours_alone() {
    let world = World::start().await;
    let quiet = Quiet::beside(World::start().await).await;
    let host = world.host();
    let client = Arc::new(Frames::connect(world.plane.listen()).await);
    let resets = tokio::spawn({
        let (client, host) = (Arc::clone(&client), host.clone());
        async move {
            loop {
                burst(&client, &host, small(), When::Later).await;
                tokio::time::sleep(PAUSE).await;
            }
        }
    });
    let what = "a stream of resets";
    unnoticed(what, &quiet, &[Neighbour::Gets(&client, &host)]).await;
    assert!(!resets.is_finished());
    resets.abort();
    client.expect_open(what);
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

async fn burst(client: &Frames, host: &str, pairs: usize, when: When) {
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

/// Frames that carry nothing cost their connection's turns, and no memory.
#[tokio::test]
async fn empty_frames_leave_their_neighbours_alone() {
    let world = World::start().await;
    let quiet = Quiet::beside(World::start().await).await;
    let host = world.host();
    let other = world.plane.h2().await;
    let neighbour = Frames::connect(world.plane.listen()).await;
    let client = Frames::connect(world.plane.listen()).await;
    let stream = client.stream();
    let post = headers(stream, false, &request("POST", &host, "/echo"));
    client.write(&post).await;
    let empty = data(stream, false, b"").repeat(10_000);
    let flood = async {
        for _ in 0..20 {
            client.write(&empty).await;
        }
    };
    let neighbours = [
        Neighbour::Posts(&other, &host),
        Neighbour::Gets(&neighbour, &host),
    ];
    let what = "a connection of empty frames";
    tokio::join!(flood, unnoticed(what, &quiet, &neighbours));
    client.expect_bytes(&host, 10_240).await;
    neighbour.expect_open(what);
    drop((client, neighbour));
    world.settled().await;
}
