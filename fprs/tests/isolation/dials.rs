//! More requests at once than a program's accept queue holds: all are answered.

use futures_util::future::join_all;

use crate::world::World;

/// The queue of a Rust or Go program holds 128, of Python's `http.server` 5.
const AT_ONCE: usize = 400;

#[tokio::test]
async fn a_burst_wider_than_the_programs_accept_queue_is_answered() {
    let world = World::start().await;
    let host = world.host();
    let client = world.plane.h2().await;
    let begun = std::time::Instant::now();
    let requests = (0..AT_ONCE).map(|_| client.get(&host, "/sleep?ms=100"));
    let mut failed = Vec::new();
    for response in join_all(requests).await {
        let response = response.unwrap();
        if response.status != 200 {
            failed.push((response.status, response.text()));
        }
    }
    println!(
        "{AT_ONCE} at once: {:?}, {} failed",
        begun.elapsed(),
        failed.len()
    );
    assert_eq!(failed, []);
    world.settled().await;
}
