//! Promise: what a plane exposes is documented, and what is documented is exposed, with its type and
//! its labels.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use fprs_testkit::client::{H1, get};
use fprs_testkit::plane::Settings;
use fprs_testkit::{Plane, program, until};

use crate::provoked::OF_A_PLANE;
use crate::{Metric, SOON, documented, named};

#[tokio::test]
async fn the_documented_metrics_are_those_of_a_plane() {
    let plane = Settings::new(env!("CARGO_BIN_EXE_fprs"))
        // No line can be written there.
        .arg("--access-log")
        .arg("/dev/full")
        // Nobody takes spans there: they are counted as lost.
        .arg("--otlp-endpoint")
        .arg("127.0.0.1:1");
    let plane = plane.start().await;
    let tenant = [
        "tenant",
        "create",
        "acme",
        "--requests-per-second",
        "1",
        "--burst",
        "1",
    ];
    plane.run(&tenant).await.succeeded();
    let more = "hold = \"10s\"\ntenant = \"acme\"";
    plane.deploy(&program::manifest("web", more, &[])).await;
    let broken = program::manifest("broken", "min_replicas = 1", &[("EXIT_CODE", "3")]);
    plane.deploy(&broken).await;
    for server in ["prod", "shadow"] {
        let more = "hold = \"10s\"\nmin_replicas = 1";
        plane.deploy(&program::manifest(server, more, &[])).await;
    }
    let mirror = ["mirror", "add", "prod", "shadow", "--compare"];
    plane.run(&mirror).await.succeeded();
    let split = ["split", "add", "prod", "shadow", "--percent", "50"];
    let split = [&split[..], &["--key", "request"]].concat();
    plane.run(&split).await.succeeded();
    let client = plane.h2().await;
    let host = plane.host("web");
    assert_eq!(client.get(&host, "/").await.unwrap().status, 200);
    until("a refusal for a limit", SOON, async || {
        let answer = client.get(&host, "/").await.unwrap();
        (answer.status == 429).then_some(())
    })
    .await;
    let documented = documented();
    let mirrored = plane.host("prod");
    until("everything that is documented", SOON, async || {
        client.get(&mirrored, "/").await.unwrap();
        let exposed = exposed(&plane).await;
        let missing = documented.keys().find(|name| !exposed.contains_key(*name));
        missing.is_none().then_some(())
    })
    .await;
    assert_eq!(exposed(&plane).await, documented);
    let upload = format!("POST / HTTP/1.1\r\nhost: {mirrored}\r\ncontent-length: 4\r\n\r\nbody");
    let mut uploader = plane.h1().await;
    assert_eq!(uploader.exchange(upload).await.unwrap().status, 200);
    let held = RefCell::new(Vec::new());
    until("all that is of a plane above zero", SOON, async || {
        for host in [&mirrored, &host] {
            let exchange = client.open(get(host, "/hang"), true).await.unwrap();
            held.borrow_mut().push(exchange);
        }
        let above = above_zero(&text(&plane).await);
        let missing: Vec<_> = OF_A_PLANE
            .iter()
            .filter(|name| !above.contains(**name))
            .collect();
        println!("not yet: {missing:?}");
        missing.is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_program_that_dies_without_an_answer_is_told_from_one_that_answers_500() {
    let plane = Plane::start(env!("CARGO_BIN_EXE_fprs")).await;
    let more = "hold = \"10s\"\nmin_replicas = 1";
    plane.deploy(&program::manifest("web", more, &[])).await;
    let (client, host) = (plane.h2().await, plane.host("web"));
    let answer = client.get(&host, "/status/500").await.unwrap();
    assert_eq!((answer.status, answer.header("x-fprs-reason")), (500, None));
    let answer = client.get(&host, "/die/head").await.unwrap();
    let reason = answer.header("x-fprs-reason");
    assert_eq!((answer.status, reason), (502, Some("upstream_reset")));
    for end in ["5xx", "failed"] {
        let sample = format!("fprs_proxy_exchanges_total{{end=\"{end}\"}} 1\n");
        until(&sample, SOON, async || {
            text(&plane).await.contains(&sample).then_some(())
        })
        .await;
    }
}

async fn exposed(plane: &Plane) -> BTreeMap<String, Metric> {
    of(&text(plane).await)
}

async fn text(plane: &Plane) -> String {
    let mut admin = H1::connect(plane.admin()).await.unwrap();
    let answer = admin.get(&plane.admin().to_string(), "/metrics").await;
    answer.unwrap().text()
}

/// The metrics with a sample above zero.
fn above_zero(text: &str) -> BTreeSet<String> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let above = samples.filter(|line| !line.ends_with(" 0"));
    above
        .flat_map(|line| named(line.split(['{', ' ']).next().unwrap()))
        .collect()
}

fn of(text: &str) -> BTreeMap<String, Metric> {
    let mut metrics: BTreeMap<String, Metric> = BTreeMap::new();
    for line in text.lines() {
        if let Some(typed) = line.strip_prefix("# TYPE ") {
            let (name, kind) = typed.split_once(' ').unwrap();
            metrics.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
        } else if let Some((sample, labels)) = line.split_once('{') {
            let names = labels.split('"').step_by(2);
            let names = names.filter_map(|part| part.trim_start_matches(',').strip_suffix('='));
            let names = names.filter(|name| *name != "le").map(str::to_owned);
            let sample = sample.strip_suffix("_bucket").unwrap_or(sample);
            if let Some((_, labels)) = metrics.get_mut(sample) {
                labels.extend(names);
            }
        }
    }
    metrics
}
