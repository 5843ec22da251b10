//! Clients of one server that stop reading until the process holds too much: that server loses its
//! largest exchanges, and everybody else goes on.

use std::time::Instant;

use fprs_testkit::client::{ClientError, H2, H2Stream, get};
use fprs_testkit::until;
use h2::client::Builder;

use crate::world::{DEADLINE, World};

/// The limit, in MiB: a small one, so that few exchanges fill it.
const LIMIT_MIB: u64 = 4;

/// What eight hundred streams, their kernel buffers and the allocator may take beside it, in MiB.
const BESIDE_MIB: u64 = 64;

/// Streams that are opened and not read; each holds about 256 KiB in the proxy and 64 KiB in the
/// relay, if it is let.
const STREAMS: usize = 200;

#[tokio::test]
async fn a_server_that_fills_the_memory_pays_for_it_alone() {
    let limit = format!("{LIMIT_MIB}MiB");
    let mut world = World::start_with(&["--buffer-limit", &limit]).await;
    world.deploy("hog", "").await;
    let (host, hog) = (world.host(), world.plane.host("hog"));
    let memory = world.plane.memory();
    let neighbour = world.plane.h2().await;
    let mut events = neighbour
        .open(get(&host, "/sse?n=1000000&ms=5"), true)
        .await
        .unwrap();
    assert_eq!(events.receiver.head().await.unwrap().status, 200);
    let client = stalling(&world).await;
    let mut stalled = Vec::new();
    let (mut refused, mut most) = (0, 0);
    for number in 0..STREAMS {
        match stall(&client, &hog).await {
            Ok(stream) => stalled.push(stream),
            Err(reason) => {
                assert_eq!(reason.as_deref(), Some("overloaded"));
                refused += 1;
            }
        }
        assert_eq!(neighbour.get(&host, "/").await.unwrap().status, 200);
        assert!(events.receiver.piece().await.unwrap().is_some());
        if number % 10 == 0 {
            most = most.max(world.metric("fprs_buffered_bytes").await);
        }
    }
    until("exchanges are shed", DEADLINE, async || {
        let shed = world.metric("fprs_exchanges_shed_total").await;
        let held = world.metric("fprs_buffered_bytes").await;
        (shed > 0 && held <= LIMIT_MIB << 20).then_some(())
    })
    .await;
    let shed = world.metric("fprs_exchanges_shed_total").await;
    let grown = world.grown_mib(memory);
    println!("{shed} shed, {refused} refused, at most {most} bytes held, {grown} MiB");
    assert!(grown < LIMIT_MIB + BESIDE_MIB, "{grown} MiB");
    assert!(client.is_open() && neighbour.is_open());
    // The offender is served again once there is room.
    drop(stalled);
    until("the offender is served again", DEADLINE, async || {
        (client.get(&hog, "/").await.unwrap().status == 200).then_some(())
    })
    .await;
    let begun = Instant::now();
    assert!(events.receiver.piece().await.unwrap().is_some());
    println!("the neighbour's next event came in {:?}", begun.elapsed());
    drop(events);
    world.settled().await;
}

/// A client whose streams stall after 64 KiB, and its connection never.
async fn stalling(world: &World) -> H2 {
    let mut builder = Builder::new();
    builder
        .initial_window_size(64 * 1024)
        .initial_connection_window_size(64 << 20);
    H2::connect_with(world.plane.listen(), &builder)
        .await
        .unwrap()
}

/// Asks for more than is ever read; the reason, where it is refused or cut at once.
async fn stall(client: &H2, host: &str) -> Result<H2Stream, Option<String>> {
    let stream = client.open(get(host, "/bytes/1073741824"), true).await;
    let mut stream = stream.unwrap();
    match stream.receiver.head().await {
        Ok(head) if head.status == 200 => Ok(stream),
        Ok(head) => Err(head.header("x-fprs-reason").map(str::to_owned)),
        Err(ClientError::StreamReset(_)) => Err(Some("overloaded".to_owned())),
        Err(other) => panic!("{other:?}"),
    }
}
