//! Uploads that nobody reads: they keep their own window and nothing of a neighbour's.

use std::time::Duration;

use bytes::Bytes;
use fprs_testkit::client::{H2, H2Stream, get};
use fprs_testkit::{eventually, program};
use http::Method;
use tokio::task::JoinHandle;

use crate::frames::{Frames, data, headers, request};
use crate::world::{DEADLINE, Neighbour, Quiet, World, unnoticed};

/// Far more than all windows and socket buffers on the way hold.
const ENDLESS: u64 = 1 << 30;

/// Uploads at once.
const UPLOADS: usize = 8;

/// What eight uploads may hold at most: a stream window in proxy and relay each, and a socket's
/// buffer, is below 1 MiB each. The rest is the allocator's.
const MEMORY_MIB: u64 = 32;

#[tokio::test]
async fn uploads_that_the_program_does_not_read_leave_their_neighbours_alone() {
    let world = World::start().await;
    let quiet = Quiet::beside(World::start().await).await;
    let host = world.host();
    let client = world.plane.h2().await;
    let memory = world.plane.memory();
    let mut uploads = Vec::new();
    for _ in 0..UPLOADS {
        uploads.push(upload(&client, &host, "/never").await);
    }
    world.busy(UPLOADS as u64).await;
    world.stalled().await;
    let what = "8 uploads nobody reads";
    unnoticed(what, &quiet, &[Neighbour::Posts(&client, &host)]).await;
    let grown = world.grown_mib(memory);
    println!("{what}: {grown} MiB");
    assert!(grown < MEMORY_MIB, "{grown} MiB");
    assert!(client.is_open());
    end(uploads).await;
    world.settled().await;
}

#[tokio::test]
async fn uploads_that_are_held_for_a_replica_leave_their_neighbours_alone() {
    let world = World::start().await;
    let quiet = Quiet::beside(World::start().await).await;
    let never_ready = program::manifest(
        "held",
        "hold = \"60s\"\nstartup_timeout = \"60s\"",
        &[("START_AFTER_MS", "60000")],
    );
    world.plane.deploy(&never_ready).await;
    let host = world.host();
    let client = world.plane.h2().await;
    let mut uploads = Vec::new();
    for _ in 0..UPLOADS {
        uploads.push(upload(&client, &world.plane.host("held"), "/count").await);
    }
    // Held ones are not in flight: that a replica is wanted says that they have arrived.
    fprs_testkit::until("a replica is started for them", DEADLINE, async || {
        (world.plane.replicas_in("held", "starting").await == 1).then_some(())
    })
    .await;
    world.stalled().await;
    let what = "8 held uploads";
    unnoticed(what, &quiet, &[Neighbour::Posts(&client, &host)]).await;
    assert!(client.is_open());
    assert!(uploads.iter().all(|upload| !upload.is_finished()));
    end(uploads).await;
    world.settled().await;
}

#[tokio::test]
async fn a_thousand_tiny_frames_that_nobody_reads_leave_their_neighbours_alone() {
    let world = World::start().await;
    let quiet = Quiet::beside(World::start().await).await;
    let host = world.host();
    let client = Frames::connect(world.plane.listen()).await;
    let stream = client.stream();
    let post = headers(stream, false, &request("POST", &host, "/never"));
    client.write(&post).await;
    world.busy(1).await;
    for _ in 0..10 {
        let hundred = data(stream, false, b"ten bytes.").repeat(100);
        client.write(&hundred).await;
        client.expect_bytes(&host, 10_240).await;
    }
    assert!(!client.seen(stream).reset);
    let what = "1,000 tiny frames nobody reads";
    unnoticed(what, &quiet, &[Neighbour::Gets(&client, &host)]).await;
    // All at once, and more than any window's worth of an honest peer's tiny frames.
    let many = data(stream, false, b"ten bytes.").repeat(20_000);
    client.write(&many).await;
    client.expect_bytes(&host, 10_240).await;
    assert!(!client.seen(stream).reset);
    client.expect_open("20,000 tiny frames");
    drop(client);
    world.settled().await;
}

/// Begins an upload that takes all the room it gets; ended by [`end`].
async fn upload(client: &H2, host: &str, path: &str) -> JoinHandle<H2Stream> {
    let mut post = get(host, path);
    *post.method_mut() = Method::POST;
    let mut stream = client.open(post, false).await.unwrap();
    let piece = Bytes::from_static(&[7; 16 * 1024]);
    stream.sender.send(piece).await.unwrap();
    tokio::spawn(async move {
        // Ends when it finds no room any more.
        stream.sender.send_pattern(ENDLESS).await.ok();
        stream
    })
}

/// Resets uploads, whether they still wait for room or not.
async fn end(uploads: Vec<JoinHandle<H2Stream>>) {
    for upload in &uploads {
        upload.abort();
    }
    eventually("the uploads end", Duration::from_secs(5), || {
        uploads.iter().all(JoinHandle::is_finished)
    })
    .await;
}
