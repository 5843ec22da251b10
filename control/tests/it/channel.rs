use std::time::{Duration, Instant};

use fprs_config::ReplicaState;
use fprs_proto::worker::{Hello, Phase, from_worker, to_worker};
use serde_json::json;
use tonic::Code;

use crate::plane::{LONG_LEASE, Plane, TOKEN, placed, requested};
use crate::relay::{Relay, offer, update};

async fn refused(plane: &Plane, token: &str, first: from_worker::Message) -> Code {
    match Relay::open(plane.address, token, first).await {
        Ok(_) => Code::Ok,
        Err(status) => status.code(),
    }
}

#[tokio::test]
async fn a_relay_without_the_token_is_not_let_in() {
    let plane = Plane::start().await;
    let hello = from_worker::Message::Hello(Hello {
        worker: Some(offer("w1", 1)),
        replicas: Vec::new(),
    });
    assert_eq!(refused(&plane, "wrong", hello).await, Code::Unauthenticated);
}

#[tokio::test]
async fn a_relay_that_does_not_begin_with_a_usable_hello_is_refused() {
    let plane = Plane::start().await;
    let beat = from_worker::Message::Heartbeat(Default::default());
    assert_eq!(refused(&plane, TOKEN, beat).await, Code::FailedPrecondition);
    let mut unusable = offer("w1", 1);
    unusable.capacity = 0;
    for worker in [None, Some(unusable)] {
        let replicas = Vec::new();
        let hello = from_worker::Message::Hello(Hello { worker, replicas });
        assert_eq!(refused(&plane, TOKEN, hello).await, Code::InvalidArgument);
    }
}

#[tokio::test]
async fn a_replica_is_started_becomes_ready_is_stopped_and_leaves() {
    let plane = Plane::start().await;
    plane.deploy("hello", json!({ "env": { "A": "b" } })).await;
    let mut relay = Relay::attach(plane.address, "w1").await;
    plane.request("r1", "hello").await;
    let start = relay.start().await;
    assert_eq!(
        (start.replica.as_str(), start.server.as_str()),
        ("r1", "hello")
    );
    let version = start.version.unwrap();
    assert_eq!(version.command, ["serve", "$PORT"]);
    assert_eq!(version.env["A"], "b");
    plane.until_state("r1", ReplicaState::Starting).await;
    relay.update("r1", Phase::Ready).await;
    let snapshot = plane.until_state("r1", ReplicaState::Ready).await;
    let replica = snapshot.replica("r1").unwrap();
    assert_eq!(replica.worker.as_deref(), Some("w1"));
    assert_eq!(replica.address, Some("127.0.0.1:9000".parse().unwrap()));
    assert_eq!(replica.startup_ms, 12);
    let server = snapshot.server("hello").unwrap().server.clone().unwrap();
    assert!(server.proven, "in the same commit");

    plane.set("r1", ReplicaState::Stopping).await;
    let order = relay.order().await;
    assert!(
        matches!(&order, to_worker::Message::Stop(stop) if stop.replica == "r1"),
        "{order:?}"
    );
    relay.update("r1", Phase::Stopped).await;
    plane
        .until("r1 is gone", |snapshot| snapshot.replica("r1").is_none())
        .await;
}

#[tokio::test]
async fn a_silent_worker_loses_its_replicas_within_two_leases() {
    let lease = Duration::from_secs(1);
    let plane = Plane::with_lease(lease).await;
    plane.deploy("hello", json!({})).await;
    let mut relay = Relay::attach(plane.address, "w1").await;
    plane.request("r1", "hello").await;
    relay.start().await;
    relay.update("r1", Phase::Ready).await;
    plane.until_state("r1", ReplicaState::Ready).await;
    let silent = Instant::now();
    let snapshot = plane
        .until("w1 is gone", |s| s.worker("w1").is_none())
        .await;
    assert!(silent.elapsed() < 2 * lease, "{:?}", silent.elapsed());
    assert!(snapshot.replica("r1").is_none(), "in the same commit");
    assert_eq!(relay.hear().await.unwrap_err().code(), Code::Aborted);
}

#[tokio::test]
async fn a_worker_that_hangs_up_keeps_its_replicas_until_its_lease_ends() {
    let plane = Plane::with_lease(LONG_LEASE).await;
    plane.deploy("hello", json!({})).await;
    let mut relay = Relay::attach(plane.address, "w1").await;
    plane.request("r1", "hello").await;
    relay.start().await;
    relay.update("r1", Phase::Ready).await;
    plane.until_state("r1", ReplicaState::Ready).await;
    drop(relay);
    let ready = vec![update("r1", Phase::Ready)];
    let mut back = Relay::attach_with(plane.address, "w1", 1, ready).await;
    // Told to start another, and not to stop the first.
    plane.request("r2", "hello").await;
    assert_eq!(back.start().await.replica, "r2");
    assert_eq!(
        plane.view.load().replica("r1").unwrap().state,
        ReplicaState::Ready
    );
}

#[tokio::test]
async fn a_relay_is_told_to_stop_what_the_store_does_not_know() {
    let plane = Plane::start().await;
    let stray = vec![update("stray", Phase::Ready)];
    let mut relay = Relay::attach_with(plane.address, "w1", 1, stray).await;
    let order = relay.order().await;
    assert!(
        matches!(&order, to_worker::Message::Stop(stop) if stop.replica == "stray"),
        "{order:?}"
    );
}

#[tokio::test]
async fn a_restarted_relay_loses_its_replicas_and_another_process_of_its_name_waits() {
    let plane = Plane::start().await;
    plane.deploy("hello", json!({})).await;
    let mut relay = Relay::attach(plane.address, "w1").await;
    plane.request("r1", "hello").await;
    relay.start().await;
    plane.until_state("r1", ReplicaState::Starting).await;
    let second = from_worker::Message::Hello(Hello {
        worker: Some(offer("w1", 2)),
        replicas: Vec::new(),
    });
    assert_eq!(refused(&plane, TOKEN, second).await, Code::AlreadyExists);
    drop(relay);
    let away = async { while plane.json("/v1/workers").await[0]["attached"] != false {} };
    tokio::time::timeout(crate::plane::DEADLINE, away)
        .await
        .unwrap();
    let _second = Relay::attach_with(plane.address, "w1", 2, Vec::new()).await;
    let snapshot = plane.view.load();
    assert!(snapshot.replica("r1").is_none());
    assert_eq!(snapshot.worker("w1").unwrap().epoch, 2);
}

#[tokio::test]
async fn a_restart_of_control_goes_unnoticed() {
    let mut plane = Plane::start().await;
    plane.deploy("hello", json!({})).await;
    let mut relay = Relay::attach(plane.address, "w1").await;
    plane.request("r1", "hello").await;
    relay.start().await;
    relay.update("r1", Phase::Ready).await;
    plane.until_state("r1", ReplicaState::Ready).await;
    plane.restart_control().await;
    let ready = vec![update("r1", Phase::Ready)];
    let mut back = Relay::attach_with(plane.address, "w1", 1, ready).await;
    plane.request("r2", "hello").await;
    assert_eq!(back.start().await.replica, "r2");
    assert_eq!(
        plane.view.load().replica("r1").unwrap().state,
        ReplicaState::Ready
    );
    assert_eq!(plane.json("/v1/servers/hello").await["generation"], 1);
}

#[tokio::test]
async fn a_replica_that_finds_no_place_waits_visibly() {
    let plane = Plane::start().await;
    plane
        .deploy("hello", json!({ "compute_region": "moon" }))
        .await;
    let _relay = Relay::attach(plane.address, "w1").await;
    plane.request("r1", "hello").await;
    let shown = async {
        loop {
            let server = plane.json("/v1/servers/hello").await;
            if let Some(problem) = server["problem"].as_str() {
                break problem.to_owned();
            }
        }
    };
    let problem = tokio::time::timeout(crate::plane::DEADLINE, shown)
        .await
        .unwrap();
    assert!(
        problem.contains("no worker in region `moon` takes replicas"),
        "{problem}"
    );
    assert_eq!(
        plane.view.load().replica("r1").unwrap().state,
        ReplicaState::Requested
    );
}

#[tokio::test]
async fn two_hundred_replicas_asked_for_at_once_are_spread_evenly() {
    let plane = Plane::start().await;
    plane.deploy("hello", json!({ "max_replicas": 200 })).await;
    let mut relays = Vec::new();
    for n in 0..4 {
        relays.push(Relay::attach(plane.address, &format!("w{n}")).await);
    }
    let wanted: Vec<_> = (0..200)
        .map(|n| requested(&format!("r{n:03}"), "hello"))
        .collect();
    plane.write(&wanted).await;
    let all = |snapshot: &fprs_config::Snapshot| placed(snapshot).values().sum::<usize>() == 200;
    let counts = placed(&*plane.until("all are placed", all).await);
    assert!(counts.values().all(|count| *count == 50), "{counts:?}");
    for relay in &mut relays {
        for _ in 0..50 {
            relay.start().await;
        }
    }
}
