//! Clients that stop reading: their response waits at its source, and everybody else's comes.

use std::time::Duration;

use fprs_testkit::client::{H2, H2Receiver, get};
use fprs_testkit::until;
use h2::client::Builder;

use crate::frames::Unread;
use crate::world::{DEADLINE, Neighbour, Quiet, World, size, unnoticed};

/// Events of the stream that is not read; many times what the windows on the way hold.
const EVENTS: usize = 30_000;

/// What a response that isn't read may hold: a stream window in relay and proxy each and sockets'
/// buffers.
const MEMORY_MIB: u64 = 16;

/// Responses of 200 KiB that one client asks for and doesn't read: 98 MiB.
const RESPONSES: usize = 500;

/// What a process may have grown by for each counted byte: buffers that are not full and the exchanges'
/// own state are a third of it, and the allocator keeps for itself what was given back.
const GROWN_PER_COUNTED: u64 = 3;

/// Three looks of a core at what it holds.
const LOOKS_APART: Duration = Duration::from_millis(300);

#[tokio::test]
async fn tiny_events_that_are_not_read_leave_their_neighbours_alone() {
    let world = World::start_h2().await;
    let quiet = Quiet::beside(World::start_h2().await).await;
    let host = world.host();
    let client = connect(&world).await;
    let other = world.plane.h2().await;
    let path = format!("/sse?n={EVENTS}");
    let mut stalled = client.open(get(&host, &path), true).await.unwrap();
    assert_eq!(stalled.receiver.head().await.unwrap().status, 200);
    world.stalled().await;
    let neighbours = [
        Neighbour::Posts(&client, &host),
        Neighbour::Posts(&other, &host),
    ];
    unnoticed("30,000 events that are not read", &quiet, &neighbours).await;
    assert_eq!(read_events(&mut stalled.receiver).await, EVENTS);
    assert!(client.is_open());
    world.settled().await;
}

#[tokio::test]
async fn a_large_response_that_is_not_read_waits_at_its_source() {
    let world = World::start().await;
    let quiet = Quiet::beside(World::start().await).await;
    let host = world.host();
    let client = connect(&world).await;
    let memory = world.plane.memory();
    let path = format!("/bytes/{}", size(64 << 20, 1 << 30));
    let mut stalled = client.open(get(&host, &path), true).await.unwrap();
    assert_eq!(stalled.receiver.head().await.unwrap().status, 200);
    world.stalled().await;
    let what = "a large response that is not read";
    unnoticed(what, &quiet, &[Neighbour::Posts(&client, &host)]).await;
    let grown = world.grown_mib(memory);
    println!("{what}: {grown} MiB");
    assert!(grown < MEMORY_MIB, "{grown} MiB");
    // It was only waiting.
    for _ in 0..100 {
        assert!(stalled.receiver.piece().await.unwrap().is_some());
    }
    drop(stalled);
    assert!(client.is_open());
    world.settled().await;
}

/// Windows of 1 GiB, and a socket that nobody reads. Each response alone fits a stream's send buffer,
/// where nobody would count it.
#[tokio::test]
async fn what_a_client_that_does_not_read_its_socket_holds_is_counted() {
    let world = World::start().await;
    let host = world.host();
    let memory = world.plane.memory();
    let client = Unread::connect(world.plane.listen(), &host, RESPONSES).await;
    world.busy(1).await;
    world.stalled().await;
    // At rest: while more comes, a core that is busy counts later than it takes.
    until("what is held to be counted", DEADLINE, async || {
        let before = world.metric("fprs_buffered_bytes").await;
        tokio::time::sleep(LOOKS_APART).await;
        let counted = world.metric("fprs_buffered_bytes").await;
        let grown = world.grown_mib(memory);
        let told = counted >> 20;
        println!(
            "{RESPONSES} responses into a socket that is not read: {grown} MiB, {told} counted"
        );
        let rests = counted > 0 && counted == before;
        (rests && grown < GROWN_PER_COUNTED * told).then_some(())
    })
    .await;
    drop(client);
    world.settled().await;
}

/// A client whose streams stall after 64 KiB, and its connection never.
async fn connect(world: &World) -> H2 {
    let mut builder = Builder::new();
    builder
        .initial_window_size(64 * 1024)
        .initial_connection_window_size(64 << 20);
    H2::connect_with(world.plane.listen(), &builder)
        .await
        .unwrap()
}

/// Reads events to the end of their stream; how many came, each in its place.
async fn read_events(receiver: &mut H2Receiver) -> usize {
    let mut text = Vec::new();
    while let Some(piece) = receiver.piece().await.unwrap() {
        text.extend_from_slice(&piece);
    }
    let text = String::from_utf8(text).unwrap();
    let events = text.split_terminator("\n\n").enumerate();
    events
        .inspect(|(n, event)| {
            let start = format!("data: {{\"n\":{n},");
            assert!(event.starts_with(&start), "event {n}: {event}");
        })
        .count()
}
