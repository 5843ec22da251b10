//! Replicas of one server that appear and vanish: traffic of another server goes on.

use std::time::Duration;

use fprs_testkit::client::H2;
use fprs_testkit::{program, until};
use tokio::sync::watch;

use crate::world::{DEADLINE, World, pace, unnoticed};

/// Times the pool goes up and down.
const ROUNDS: usize = 4;

/// Replicas of a full pool.
const REPLICAS: usize = 6;

#[tokio::test]
async fn replicas_that_come_and_go_leave_other_servers_alone() {
    let world = World::start().await;
    let host = world.host();
    let client = world.plane.h2().await;
    let quiet = pace(&client, &host).await;
    let (stop, stopped) = watch::channel(false);
    let neighbour = tokio::spawn(traffic(client, host, stopped));
    for _ in 0..ROUNDS {
        for replicas in [REPLICAS, 0] {
            let more = format!(
                "min_replicas = {replicas}\nmax_replicas = {REPLICAS}\nscaledown_window = \"0s\"\nexit_grace_period = \"0s\""
            );
            world
                .plane
                .deploy(&program::manifest("other", &more, &[]))
                .await;
            until("the pool has its size", DEADLINE, async || {
                let ready = world.plane.replicas_in("other", "ready").await;
                (ready == replicas).then_some(())
            })
            .await;
        }
    }
    stop.send_replace(true);
    let (client, slowest) = neighbour.await.unwrap();
    unnoticed("replicas that come and go", quiet, slowest);
    assert!(client.is_open());
    world.settled().await;
}

/// Requests one after the other until told to stop; the slowest median of a batch.
async fn traffic(client: H2, host: String, stopped: watch::Receiver<bool>) -> (H2, Duration) {
    let mut slowest = Duration::ZERO;
    while !*stopped.borrow() {
        slowest = slowest.max(pace(&client, &host).await);
    }
    (client, slowest)
}
