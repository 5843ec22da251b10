//! Workers that die, and relays that come back.

use std::time::{Duration, Instant};

use fprs_testkit::{program, until};

use crate::fleet::Fleet;
use crate::streams::Streams;
use crate::traffic::Traffic;
use crate::{SOON, running_programs};

/// What control gives a silent worker, and then some for starting what replaces its replicas.
const LEASE: Duration = Duration::from_secs(5);
const REPLACED: Duration = Duration::from_secs(2);

#[tokio::test]
async fn the_replicas_of_a_killed_worker_are_replaced_within_its_lease() {
    let mut fleet = Fleet::start(1, 2).await;
    let record = fleet.path("record");
    let env = [("RECORD", record.to_str().unwrap())];
    let manifest = program::manifest("web", "min_replicas = 2", &env);
    fleet.deploy(&manifest).await;
    let placed = async || {
        let mut placed = Vec::new();
        for replica in fleet.replicas("web").await {
            if replica["state"] == "ready" {
                placed.push(replica["address"].as_str().unwrap().to_owned());
            }
        }
        (placed.len() == 2).then_some(placed)
    };
    let placed = until("two replicas are ready", SOON, placed).await;
    assert_ne!(placed[0], placed[1], "one on each worker");
    // Control says ready a moment before the proxy, another process, has heard of it.
    fleet.answers("web.region.localhost").await;
    let (killed, stays) = (
        fleet.relays[0].address("listen").to_string(),
        fleet.relays[1].address("listen").to_string(),
    );

    fleet.relays[0].process().kill9();
    let died = Instant::now();

    // Requests that begin now go to the other one.
    let traffic = Traffic::start(&fleet.listen(), "web.region.localhost", "/", 4);
    until("both replicas run on the other worker", SOON, async || {
        let replicas = fleet.replicas("web").await;
        let moved = replicas
            .iter()
            .filter(|replica| replica["state"] == "ready" && replica["address"] == stays.as_str());
        let dead = replicas
            .iter()
            .any(|replica| replica["state"] == "ready" && replica["address"] == killed.as_str());
        (moved.count() == 2 && !dead).then_some(())
    })
    .await;
    let took = died.elapsed();
    println!("replaced after {took:?}");
    assert!(took < LEASE + REPLACED, "{took:?}");
    let seen = traffic.end().await;
    seen.assert_all_answered();
}

#[tokio::test]
async fn a_relay_that_is_told_to_end_takes_its_programs_with_it() {
    let mut fleet = Fleet::start(1, 1).await;
    let record = fleet.path("record");
    let env = [("RECORD", record.to_str().unwrap())];
    fleet
        .deploy(&program::manifest("web", "min_replicas = 2", &env))
        .await;
    let ready = async || (fleet.replicas_in("web", "ready").await.len() == 2).then_some(());
    until("two replicas are ready", SOON, ready).await;
    let relay = fleet.relays[0].process();
    relay.terminate();
    assert_eq!(relay.exited(SOON).await.code(), Some(0));
    assert!(running_programs(&record).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_worker_is_emptied_without_a_failed_exchange() {
    const HOST: &str = "web.region.localhost";
    let fleet = Fleet::start(1, 2).await;
    let more = "h2 = true\nmin_replicas = 4";
    fleet.deploy(&program::manifest("web", more, &[])).await;
    until("four replicas are ready", SOON, async || {
        (fleet.replicas_in("web", "ready").await.len() == 4).then_some(())
    })
    .await;
    fleet.answers(HOST).await;
    let traffic = Traffic::start(&fleet.listen(), HOST, "/", 4);
    let streams = Streams::start(fleet.listen()[0], HOST, 6);
    let list = ["worker", "list", "--json"];
    let workers = fleet.cli().run(&list).await.succeeded().json();
    let leaves = fleet.relays[0].address("listen").to_string();
    let workers = workers.as_array().unwrap();
    let leaving = workers.iter().find(|worker| worker["address"] == *leaves);
    let leaving = leaving.unwrap();
    assert_eq!(leaving["replicas"], 2, "spread evenly: {workers:?}");
    let id = leaving["id"].as_str().unwrap();

    let drained = fleet.cli().run(&["worker", "drain", id]).await.succeeded();

    assert!(drained.stdout.contains("nothing is left"), "{drained:?}");
    let replicas = fleet.replicas("web").await;
    let ready = replicas
        .iter()
        .filter(|replica| replica["state"] == "ready");
    assert_eq!(ready.count(), 4, "{replicas:?}");
    assert!(replicas.iter().all(|replica| replica["address"] != *leaves));
    let whole = streams.end().await;
    let seen = traffic.end().await;
    seen.assert_all_answered();
    println!("{} requests and {whole} streams, 0 failed", seen.answered);

    fleet.cli().run(&["worker", "resume", id]).await.succeeded();
    let more = ["scale", "web", "--min-replicas=6", "--max-replicas=6"];
    fleet.cli().run(&more).await.succeeded();
    until("it takes replicas again", SOON, async || {
        let replicas = fleet.replicas("web").await;
        let back = replicas.iter().any(|replica| replica["address"] == *leaves);
        back.then_some(())
    })
    .await;
    fleet
        .cli()
        .run(&["worker", "drain", "nobody"])
        .await
        .refused(1);
}
