//! Control, autoscaler, proxy and relay as processes of their own: together they are a plane, and
//! each may die without taking the traffic with it.

use std::time::{Duration, Instant};

use fprs_testkit::client::{H2, H2Stream, get};
use fprs_testkit::{eventually, program, until};

use crate::fleet::Fleet;
use crate::traffic::Traffic;
use crate::{SOON, sized};

const HOST: &str = "web.region.localhost";

async fn serves(fleet: &Fleet, replicas: usize) -> Vec<String> {
    until(
        &format!("{replicas} replicas are ready"),
        SOON,
        async || {
            let ready = fleet.replicas_in("web", "ready").await;
            (ready.len() == replicas).then_some(ready)
        },
    )
    .await
}

#[tokio::test]
async fn four_processes_do_what_one_does() {
    let fleet = Fleet::start(1, 1).await;
    let record = fleet.path("record");
    let env = [("RECORD", record.to_str().unwrap())];
    let more = "target_concurrency = 1\nmax_replicas = 3\nscaledown_window = \"500ms\"";
    fleet.deploy(&program::manifest("web", more, &env)).await;
    let mut client = fleet.h1(0).await;
    until(
        "the proxy has heard of it, and says when to come back",
        SOON,
        async || {
            let first = client.get(HOST, "/").await.unwrap();
            // Until it has heard, the host is nobody's.
            assert!([401, 503].contains(&first.status), "{}", first.status);
            first.header("retry-after").map(str::to_owned)
        },
    )
    .await;
    until("it answers", SOON, async || {
        let answer = client.get(HOST, "/").await.unwrap();
        (answer.status == 200).then_some(())
    })
    .await;
    let h2 = fleet.h2(0).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(h2.open(get(HOST, "/hang"), true).await.unwrap());
    }
    serves(&fleet, 3).await;
    drop(held);
    until("it goes back to zero", SOON, async || {
        fleet.replicas("web").await.is_empty().then_some(())
    })
    .await;
    fleet.cli().run(&["delete", "web"]).await.succeeded();
    until("the proxy has heard", SOON, async || {
        let answer = client.get(HOST, "/").await.unwrap();
        (answer.header("x-fprs-reason") == Some("unauthenticated")).then_some(())
    })
    .await;
    eventually("nothing runs", SOON, || {
        crate::running_programs(&record).is_empty()
    })
    .await;
}

#[tokio::test]
async fn traffic_goes_on_without_control_and_deploys_work_again_with_it() {
    let mut fleet = Fleet::start(1, 1).await;
    let version = |text| program::manifest("web", "min_replicas = 2", &[("GREETING", text)]);
    fleet.deploy(&version("version 1")).await;
    let before = serves(&fleet, 2).await;
    fleet.answers(HOST).await;
    let traffic = Traffic::start(&fleet.listen(), HOST, "/", 4);
    fleet.control.process().kill9();
    let (killed, some) = (traffic.answered(), sized(500, 20_000));
    let long = Duration::from_secs(sized(20, 300));
    let goes_on = || traffic.answered() > killed + some;
    eventually("traffic goes on", long, goes_on).await;
    fleet.restart_control().await;
    // The same replicas: nothing was given up for control's own absence.
    assert_eq!(serves(&fleet, 2).await, before);
    fleet.deploy(&version("version 2")).await;
    until("the new version took over", SOON, async || {
        let replicas = fleet.replicas("web").await;
        let new =
            |replica: &serde_json::Value| replica["generation"] == 2 && replica["state"] == "ready";
        (replicas.len() == 2 && replicas.iter().all(new)).then_some(())
    })
    .await;
    let seen = traffic.end().await;
    seen.assert_all_answered();
    println!("{} requests, 0 failed", seen.answered);
    let texts: Vec<_> = seen.texts.keys().map(String::as_str).collect();
    assert_eq!(texts, ["version 1", "version 2"]);
}

#[tokio::test]
async fn a_restarted_autoscaler_stops_nothing_that_is_needed() {
    let mut fleet = Fleet::start(1, 1).await;
    let more = "target_concurrency = 2\nmax_replicas = 4\nscaledown_window = \"1s\"\n\
                hold = \"10s\"";
    fleet.deploy(&program::manifest("web", more, &[])).await;
    fleet.answers(HOST).await;
    let traffic = Traffic::start(&fleet.listen(), HOST, "/sleep?ms=100", 8);
    let serving = serves(&fleet, 4).await;
    fleet.autoscaler.process().kill9();
    fleet.restart_autoscaler().await;
    // It decides again once it starts what another server wants.
    let other = program::manifest("other", "min_replicas = 1", &[]);
    fleet.deploy(&other).await;
    until("it decides again", SOON, async || {
        assert_eq!(fleet.replicas_in("web", "ready").await, serving);
        let other = fleet.replicas_in("other", "ready").await;
        (other.len() == 1).then_some(())
    })
    .await;
    let decides = Instant::now();
    while decides.elapsed() < Duration::from_secs(3) {
        assert_eq!(fleet.replicas_in("web", "ready").await, serving);
    }
    traffic.end().await.assert_all_answered();
    until("it scales down", SOON, async || {
        fleet.replicas("web").await.is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_proxy_knows_what_another_one_sent_and_a_dead_one_leaves_no_load() {
    let mut fleet = Fleet::start(2, 1).await;
    let more = "target_concurrency = 7\nmax_replicas = 2\nscaledown_window = \"1s\"\n\
                hold = \"10s\"\nmin_replicas = 1";
    fleet.deploy(&program::manifest("web", more, &[])).await;
    fleet.answers(HOST).await;
    let one = fleet.h2(0).await;
    // More than one replica is for, and only one is there.
    let _held_by_one = hold(&one, 8).await;
    serves(&fleet, 2).await;
    let other = fleet.h2(1).await;
    fleet.answers(HOST).await;
    let _held_by_other = hold(&other, 6).await;
    let loads = until("control has heard of all", SOON, async || {
        let replicas = fleet.replicas("web").await;
        let mut loads: Vec<(u64, String)> = replicas
            .iter()
            .map(|replica| {
                let id = replica["id"].as_str().unwrap().to_owned();
                (replica["in_flight"].as_u64().unwrap(), id)
            })
            .collect();
        loads.sort();
        (loads.iter().map(|(load, _)| load).sum::<u64>() == 14).then_some(loads)
    })
    .await;
    // It could have asked the busy one once before it knew.
    assert!(loads[0].0 >= 5, "{loads:?}");

    fleet.proxies[0].process().kill9();

    let left = serves(&fleet, 1).await;
    assert_eq!(left, [loads[0].1.clone()], "the one with requests stays");
}

/// Opens requests that go on until they are dropped.
async fn hold(client: &H2, count: usize) -> Vec<H2Stream> {
    let mut held = Vec::new();
    for _ in 0..count {
        let mut stream = client.open(get(HOST, "/hang"), true).await.unwrap();
        assert_eq!(stream.receiver.head().await.unwrap().status, 200);
        held.push(stream);
    }
    held
}
