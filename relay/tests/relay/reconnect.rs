//! The channel: who the worker says it is, and what it tells after a break.

use std::sync::atomic::Ordering;

use fprs_proto::worker::Phase;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::fake_control::{
    FakeControl, TOKEN, TestRelay, attached, attached_with, eventually, listener, printed,
};

#[tokio::test]
async fn a_relay_presents_its_worker_and_the_token() {
    let (_control, attached, relay) = attached().await;
    assert_eq!(attached.authorization, format!("Bearer {TOKEN}"));
    let worker = attached.hello.worker.clone().unwrap();
    assert_eq!(worker.id, "w1");
    assert_eq!(worker.address, "127.0.0.1:7070");
    assert_eq!((&*worker.compute_region, worker.capacity), ("local", 100));
    assert!(worker.epoch > 0 && attached.hello.replicas.is_empty());
    relay.end(attached).await;
}

#[tokio::test]
async fn a_restarted_relay_is_the_same_worker_in_another_epoch() {
    let mut control = FakeControl::serve().await;
    let dir = tempfile::tempdir().unwrap();
    let mut workers = Vec::new();
    for _ in 0..2 {
        let relay = TestRelay::with(&[control.address], |settings| {
            settings.worker_id = None;
            settings.state_dir = dir.path().to_owned();
        });
        let attached = control.attached().await;
        workers.push(attached.hello.worker.clone().unwrap());
        relay.end(attached).await;
    }
    assert_eq!(workers[0].id, workers[1].id);
    assert!(workers[0].epoch < workers[1].epoch);
}

#[tokio::test]
async fn programs_outlive_a_break_and_what_happened_meanwhile_is_told_in_the_next_hello() {
    let (mut control, mut attached, relay) = attached().await;
    attached.start("stays", &listener()).await;
    attached.until("stays", Phase::Ready).await;
    attached.start("dies", &listener()).await;
    attached.until("dies", Phase::Ready).await;
    let pid = printed(&mut attached, "dies", "pid").await;
    control.away.store(true, Ordering::SeqCst);
    drop(attached);
    kill(Pid::from_raw(pid.parse().unwrap()), Signal::SIGTERM).unwrap();
    eventually("it is dead", || relay.table.find("dies").is_none()).await;
    control.away.store(false, Ordering::SeqCst);
    let mut again = control.attached().await;
    let mut told = again.hello.replicas.clone();
    told.sort_by(|a, b| a.replica.cmp(&b.replica));
    assert_eq!(
        (&*told[0].replica, told[0].phase()),
        ("dies", Phase::Failed)
    );
    assert!(told[0].reason.starts_with("killed by signal 15 (SIGTERM)"));
    assert_eq!(
        (&*told[1].replica, told[1].phase()),
        ("stays", Phase::Ready)
    );
    again.stop("stays").await;
    again.until("stays", Phase::Stopped).await;
    relay.end(again).await;
}

#[tokio::test]
async fn a_replica_that_is_started_again_is_not_started_twice() {
    let (_control, mut attached, relay) = attached().await;
    attached.start("r1", &listener()).await;
    attached.until("r1", Phase::Ready).await;
    let pid = printed(&mut attached, "r1", "pid").await;
    attached.start("r1", &listener()).await;
    attached.until("r1", Phase::Ready).await;
    assert_eq!(printed(&mut attached, "r1", "pid").await, pid);
    attached.stop("r1").await;
    attached.until("r1", Phase::Stopped).await;
    attached.start("r1", &listener()).await;
    attached.until("r1", Phase::Stopped).await;
    relay.end(attached).await;
}

#[tokio::test]
async fn heartbeats_tell_what_every_replica_has_in_flight() {
    let (_control, mut attached, relay) = attached().await;
    attached.start("r1", &listener()).await;
    attached.until("r1", Phase::Ready).await;
    let replica = relay.table.find("r1").unwrap();
    let exchanges = [replica.begin().unwrap(), replica.begin().unwrap()];
    while attached
        .heartbeat()
        .await
        .in_flight
        .first()
        .map(|one| one.count)
        != Some(2)
    {}
    drop(exchanges);
    while attached
        .heartbeat()
        .await
        .in_flight
        .first()
        .map(|one| one.count)
        != Some(0)
    {}
    relay.end(attached).await;
}

#[tokio::test]
async fn a_relay_finds_the_one_control_that_answers() {
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dead_address = dead.local_addr().unwrap();
    drop(dead);
    let mut control = FakeControl::serve().await;
    let relay = TestRelay::with(&[dead_address, control.address], |_| {});
    let attached = control.attached().await;
    relay.end(attached).await;
}

#[tokio::test]
async fn two_relays_cannot_share_a_state_directory() {
    let (_control, attached, relay) = attached_with(|_| {}).await;
    let settings = fprs_relay::RelaySettings {
        worker_id: None,
        data_address: "127.0.0.1:7070".parse().unwrap(),
        compute_region: "local".to_owned(),
        capacity: 1,
        reached_by: String::new(),
        control: vec!["127.0.0.1:9".to_owned()],
        token: TOKEN.to_owned(),
        state_dir: relay.state_dir.path().to_owned(),
        kill_after: fprs_relay::RelaySettings::KILL_AFTER,
        shutdown_timeout: fprs_relay::RelaySettings::SHUTDOWN_TIMEOUT,
        pod: None,
    };
    let error = fprs_relay::Relay::new(settings, &prometheus::Registry::new()).unwrap_err();
    assert!(matches!(error, fprs_relay::RelayError::StateDirTaken(_)));
    relay.end(attached).await;
}
