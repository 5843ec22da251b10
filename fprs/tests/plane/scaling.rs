//! The pool follows the load, up and back down, and no request is lost on the way.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use fprs_testkit::client::get;
use fprs_testkit::{Plane, program, until};
use serde_json::Value;

use crate::streams::Streams;
use crate::traffic::Traffic;
use crate::{FPRS, SOON, sized};

#[tokio::test]
async fn the_pool_goes_back_to_its_minimum_after_the_window_and_not_before() {
    let window = Duration::from_secs(2);
    let plane = Plane::start(FPRS).await;
    let more =
        "target_concurrency = 1\nmax_replicas = 3\nscaledown_window = \"2s\"\nhold = \"10s\"";
    plane.deploy(&program::manifest("web", more, &[])).await;
    let host = plane.host("web");
    let client = plane.h2().await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(client.open(get(&host, "/hang"), true).await.unwrap());
    }
    until("3 replicas are ready", SOON, async || {
        (plane.replicas_in("web", "ready").await == 3).then_some(())
    })
    .await;
    drop(held);
    let ended = Instant::now();
    until("all replicas are gone", SOON, async || {
        let replicas = plane.replicas("web").await;
        let early = ended.elapsed() < window - Duration::from_millis(100);
        assert!(!early || replicas.len() == 3, "gave up early: {replicas:?}");
        replicas.is_empty().then_some(())
    })
    .await;
    let mut client = plane.h1().await;
    assert_eq!(client.get(&host, "/").await.unwrap().status, 200);
}

#[tokio::test]
async fn no_request_fails_while_the_pool_goes_up_and_down() {
    let cycles = sized(2, 20);
    let each = sized(1_000, 5_000);
    let plane = Plane::start(FPRS).await;
    let more = "target_concurrency = 4\nmin_replicas = 1\nmax_replicas = 4\n\
                scaledown_window = \"500ms\"\nhold = \"10s\"";
    plane.deploy(&program::manifest("web", more, &[])).await;
    let host = plane.host("web");
    let listen = [plane.listen()];
    let steady = Traffic::start(&listen, &host, "/", 2);
    let mut answered = 0;
    for _ in 0..cycles {
        let burst = Traffic::start(&listen, &host, "/sleep?ms=25", 16);
        until("4 replicas are ready", SOON, async || {
            (plane.replicas_in("web", "ready").await == 4).then_some(())
        })
        .await;
        let all = Duration::from_secs(sized(30, 120));
        until("the burst is over", all, async || {
            (burst.answered() >= each).then_some(())
        })
        .await;
        let seen = burst.end().await;
        seen.assert_all_answered();
        answered += seen.answered;
        until("one replica is left", SOON, async || {
            (plane.replicas("web").await.len() == 1).then_some(())
        })
        .await;
    }
    let seen = steady.end().await;
    seen.assert_all_answered();
    println!(
        "{cycles} cycles: {} requests, 0 failed",
        answered + seen.answered
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scale_downs_end_no_stream_and_take_the_least_loaded() {
    let rounds = sized(4, 334);
    const MOST: usize = 4;
    // Held on a replica beyond the next one: more than all else that is ever in flight at once.
    const STEP: usize = 20;
    let plane = Plane::start(FPRS).await;
    let more = "h2 = true\nmin_replicas = 1\nmax_replicas = 1\nscaledown_window = \"0s\"\n\
                target_concurrency = 1000\nexit_grace_period = \"1m\"";
    plane.deploy(&program::manifest("web", more, &[])).await;
    let host = plane.host("web");
    let scale = async |count: usize| {
        let (min, max) = (
            format!("--min-replicas={count}"),
            format!("--max-replicas={count}"),
        );
        plane.run(&["scale", "web", &min, &max]).await.succeeded();
        until(&format!("{count} replicas are ready"), SOON, async || {
            let replicas = plane.replicas("web").await.into_iter();
            let ready = replicas.filter(|replica| replica["state"] == "ready");
            let id = |replica: Value| replica["id"].as_str().unwrap().to_owned();
            let ready: BTreeSet<String> = ready.map(id).collect();
            (ready.len() == count).then_some(ready)
        })
        .await
    };
    let client = plane.h2().await;
    // What they hold goes where least is: to the replica that has just come.
    let hold = async |count: usize| {
        let mut held = Vec::new();
        for _ in 0..count {
            let mut stream = client.open(get(&host, "/hang"), true).await.unwrap();
            assert_eq!(stream.receiver.head().await.unwrap().status, 200);
            held.push(stream);
        }
        held
    };
    let mut ready = scale(1).await;
    let busiest = hold(STEP * MOST).await;
    let traffic = Traffic::start(&[plane.listen()], &host, "/", 4);
    let streams = Streams::start(plane.listen(), &host, 8);
    let mut downs = 0;
    for _ in 0..rounds {
        // The more loaded, the earlier it came.
        let mut before = Vec::new();
        for count in 2..=MOST {
            let with = scale(count).await;
            assert!(with.is_superset(&ready), "{with:?} after {ready:?}");
            before.push((ready, hold(STEP * (MOST - count)).await));
            ready = with;
        }
        while let Some((least_gone, held)) = before.pop() {
            ready = scale(least_gone.len()).await;
            assert_eq!(ready, least_gone, "another than the least loaded went");
            drop(held);
            downs += 1;
        }
    }
    let whole = streams.end().await;
    let seen = traffic.end().await;
    seen.assert_all_answered();
    println!(
        "{downs} scale-downs: {} requests and {whole} streams, 0 failed",
        seen.answered
    );
    assert!(client.is_open());
    drop(busiest);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_from_zero_is_served_by_the_first_replica_and_spread_soon() {
    const BURST: usize = 200;
    let plane = Plane::start(FPRS).await;
    let more = "target_concurrency = 8\nmax_replicas = 25\nhold = \"30s\"";
    let env = [("START_AFTER_MS", "300")];
    plane.deploy(&program::manifest("web", more, &env)).await;
    let (host, client) = (plane.host("web"), plane.h2().await);
    let begun = Instant::now();
    let mut held = Vec::new();
    for _ in 0..BURST {
        held.push(client.open(get(&host, "/hang"), true).await.unwrap());
    }
    for stream in &mut held {
        assert_eq!(stream.receiver.head().await.unwrap().status, 200);
    }
    let served = begun.elapsed();
    until("every replica that is wanted is ready", SOON, async || {
        (plane.replicas_in("web", "ready").await == BURST / 8).then_some(())
    })
    .await;
    let spread = begun.elapsed();
    println!("{BURST} at once on a start-up of 300 ms: served {served:?}, 25 ready {spread:?}");
    assert!(served < Duration::from_secs(3), "{served:?}");
}
