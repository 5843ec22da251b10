//! How prompt the plane is, measured from outside: the client's clock and the started program's,
//! which are one machine's. Alone in its binary, and one test at a time, so that nothing else is
//! measured with it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken expectation is a failed test with its place"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use fprs_testkit::client::get;
use fprs_testkit::origin::now_us;
use fprs_testkit::{Plane, program, until};
use tokio::sync::{Mutex, MutexGuard};

const FPRS: &str = env!("CARGO_BIN_EXE_fprs");
const SOON: Duration = Duration::from_secs(10);

#[test]
#[ignore = "the program that the other tests deploy"]
fn program() {
    program::main();
}

/// One measurement at a time.
async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    ALONE.lock().await
}

#[tokio::test]
async fn a_client_that_asks_every_50_ms_is_answered_within_2_s_of_its_first_request() {
    let _alone = alone().await;
    let plane = Plane::start(FPRS).await;
    // Starts in less than 0.5 s, all told.
    let env = [("START_AFTER_MS", "400")];
    plane.deploy(&program::manifest("web", "", &env)).await;
    let host = plane.host("web");
    let mut client = plane.h1().await;
    let mut times = tokio::time::interval(Duration::from_millis(50));
    times.tick().await;
    let began = Instant::now();
    let mut refused = 0;
    while client.get(&host, "/").await.unwrap().status != 200 {
        refused += 1;
        assert!(began.elapsed() < Duration::from_secs(2), "no 200 in time");
        times.tick().await;
    }
    println!("200 after {:?} and {refused} refusals", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(2));
    assert!(refused > 0, "nobody was there to answer the first");
}

/// From before the client sends its request until the first instructions of the program's own
/// shell: what the plane adds lies in between, with the way of the request and the start of a
/// process on top.
///
/// A machine that stalls for others' sake is no fault of the plane's: one round of a few must do.
#[tokio::test]
async fn half_of_the_cold_starts_run_within_20_ms_and_all_but_1_in_100_within_100_ms() {
    let _alone = alone().await;
    let starts = if soak() { 50 } else { 10 };
    let plane = Plane::start(FPRS).await;
    let mut rounds = Vec::new();
    while rounds.len() < 4 {
        let mut took_us = cold_starts(&plane, rounds.len(), starts).await;
        took_us.sort_unstable();
        let at = |share: usize| took_us[(took_us.len() * share).div_ceil(100) - 1];
        println!(
            "{starts} cold starts: p50 {} µs, p90 {} µs, p99 {} µs",
            at(50),
            at(90),
            at(99)
        );
        if at(50) < 20_000 && at(99) < 100_000 {
            return;
        }
        rounds.push(took_us);
    }
    panic!("no round was prompt: {rounds:?}");
}

/// Starts so many servers one after the other; how long each took, in microseconds.
async fn cold_starts(plane: &Plane, round: usize, starts: usize) -> Vec<u64> {
    let mut client = plane.h1().await;
    let mut took_us = Vec::new();
    for number in 0..starts {
        let name = format!("cold-{round}-{number}");
        let file = plane.dir().join(&name);
        plane.deploy(&telling(&name, &file)).await;
        let sent_us = now_us();
        let answer = client.get(&plane.host(&name), "/").await.unwrap();
        assert_eq!(answer.status, 503);
        let started_us: u64 = until("the program runs", SOON, async || {
            let text = std::fs::read_to_string(&file).ok()?;
            text.strip_suffix('\n')?.replace('.', "").parse().ok()
        })
        .await;
        took_us.push(started_us - sent_us);
        plane.run(&["delete", &name]).await.succeeded();
    }
    took_us
}

#[tokio::test]
async fn sixteen_kept_open_at_four_a_replica_have_four_replicas_within_2_s() {
    let _alone = alone().await;
    let plane = Plane::start(FPRS).await;
    let more = "target_concurrency = 4\nmax_replicas = 4\nhold = \"10s\"";
    plane.deploy(&program::manifest("web", more, &[])).await;
    let host = plane.host("web");
    let client = plane.h2().await;
    let mut held = Vec::new();
    let began = Instant::now();
    for _ in 0..16 {
        held.push(client.open(get(&host, "/hang"), true).await.unwrap());
    }
    until("4 replicas are ready", SOON, async || {
        (plane.replicas_in("web", "ready").await == 4).then_some(())
    })
    .await;
    let took = began.elapsed();
    println!("4 replicas after {took:?}");
    // The program is there in milliseconds: all of it is the plane's time.
    assert!(took < Duration::from_secs(2), "{took:?}");
    for stream in &mut held {
        assert_eq!(stream.receiver.head().await.unwrap().status, 200);
    }
}

/// A program that writes down when it runs and does nothing else.
fn telling(name: &str, file: &Path) -> String {
    let script = format!("echo $EPOCHREALTIME >{}; exec sleep 1000", file.display());
    let command = serde_json::Value::from(vec!["bash", "-c", &script]);
    format!("name = \"{name}\"\ncommand = {command}\nauth = \"public\"\n")
}

fn soak() -> bool {
    std::env::var_os("FPRS_SOAK").is_some_and(|value| value == "1")
}
