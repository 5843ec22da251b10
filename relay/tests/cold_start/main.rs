//! What the relay itself adds to a cold start. Alone in its binary, so that no other test's programs
//! are measured with it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

#[path = "../relay/fake_control.rs"]
#[allow(dead_code, reason = "shared with tests that need all of it")]
mod fake_control;

use prometheus::proto::Histogram;

use fake_control::{TestRelay, attached, eventually, version};

const STARTS: u64 = 50;
const BUDGET_SECONDS: f64 = 0.005;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_of_50_processes_run_within_5_ms_of_the_word() {
    let (_control, attached, relay) = attached().await;
    for number in 0..STARTS {
        attached
            .start(&format!("r{number}"), &version(&["sleep", "1000"]))
            .await;
        eventually("launched", || launches(&relay).get_sample_count() > number).await;
    }
    let launches = launches(&relay);
    let buckets: Vec<(f64, u64)> = launches
        .get_bucket()
        .iter()
        .map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()))
        .collect();
    let mean = launches.get_sample_sum() * 1_000.0 / 50.0;
    println!("from Start to a running process: mean {mean:.2} ms, {buckets:?}");
    let quick = buckets.iter().find(|(bound, _)| *bound >= BUDGET_SECONDS);
    assert!(quick.unwrap().1 > STARTS / 2, "{buckets:?}");
    relay.end(attached).await;
}

fn launches(relay: &TestRelay) -> Histogram {
    let families = relay.registry.gather();
    let family = families
        .iter()
        .find(|family| family.name() == "fprs_relay_launch_seconds");
    family.unwrap().get_metric()[0].get_histogram().clone()
}
