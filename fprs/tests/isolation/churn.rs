//! Replicas of one server that appear and vanish: traffic of another server goes on.

use fprs_testkit::{program, until};
use tokio::sync::watch;

use crate::world::{DEADLINE, World};

/// Times the pool goes up and down.
const ROUNDS: usize = 4;

/// Replicas of a full pool.
const REPLICAS: usize = 6;

#[tokio::test]
async fn replicas_that_come_and_go_leave_other_servers_alone() {
    let world = World::start().await;
    let host = world.host();
    let client = world.plane.h2().await;
    let (stop, mut stopped) = watch::channel(false);
    let traffic = async {
        let mut answered = 0;
        while !*stopped.borrow_and_update() {
            assert_eq!(client.get(&host, "/").await.unwrap().status, 200);
            answered += 1;
        }
        answered
    };
    let churn = async {
        for _ in 0..ROUNDS {
            for replicas in [REPLICAS, 0] {
                pool(&world, replicas).await;
            }
        }
        stop.send_replace(true);
    };
    let (answered, ()) = tokio::join!(traffic, churn);
    println!("{answered} requests beside replicas that come and go");
    assert!(answered > 0 && client.is_open());
    world.settled().await;
}

/// Gives the other server that many replicas.
async fn pool(world: &World, replicas: usize) {
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
