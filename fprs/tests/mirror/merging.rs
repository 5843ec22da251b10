//! A report in a fleet: control asks every proxy, and puts together what they say.

use fprs_testkit::client::{H2, get};
use fprs_testkit::plane::ZONE;
use fprs_testkit::{program, until};
use http::Method;
use serde_json::Value;

use crate::SOON;
use crate::fleet::Fleet;

/// Requests through each proxy.
const REQUESTS: [u64; 2] = [30, 10];

#[tokio::test]
async fn a_report_is_of_all_proxies_and_names_one_that_does_not_answer() {
    let mut fleet = Fleet::start(REQUESTS.len(), 1).await;
    let pool = "min_replicas = 1\nmax_replicas = 1\nhold = \"10s\"";
    for (name, greeting) in [("prod", "hello"), ("next", "hi")] {
        let manifest = program::manifest(name, pool, &[("GREETING", greeting)]);
        fleet.deploy(&manifest).await;
    }
    let hosts = ["prod", "next"].map(|name| format!("{name}.{ZONE}"));
    for host in &hosts {
        fleet.answers(host).await;
    }
    let add = ["mirror", "add", "prod", "next", "--name", "m", "--compare"];
    fleet.cli().run(&add).await.succeeded();
    let report = async |fleet: &Fleet| -> Value {
        let report = ["mirror", "report", "m", "--json"];
        fleet.cli().run(&report).await.json()
    };
    for (proxy, requests) in REQUESTS.into_iter().enumerate() {
        let client = H2::connect(fleet.listen()[proxy]).await.unwrap();
        let client = client.deadline(SOON);
        let ask = async |path: &str| {
            let mut request = get(&hosts[0], path);
            *request.method_mut() = Method::GET;
            let stream = client.open(request, true).await.unwrap();
            assert_eq!(stream.response().await.unwrap().status, 200);
        };
        // The mirror is there once a copy is.
        let before = report(&fleet).await["compared"].as_u64().unwrap();
        until("the proxy to copy", SOON, async || {
            ask("/status/200").await;
            let compared = report(&fleet).await["compared"].as_u64()?;
            (compared > before).then_some(())
        })
        .await;
        for _ in 0..requests {
            ask("/").await;
        }
    }
    let all: u64 = REQUESTS.iter().sum();
    let whole = until("all to be compared", SOON, async || {
        let report = report(&fleet).await;
        (report["different"].as_u64()? == all).then_some(report)
    })
    .await;
    assert_eq!(whole["proxies"]["answered"], 2, "{whole}");
    assert_eq!(whole["proxies"]["silent"], Value::Array(Vec::new()));
    assert_eq!(whole["parts"]["body"], all, "{whole}");
    assert!(whole["whole_ms"]["shadow"]["p99"].as_f64().unwrap() > 0.0);

    fleet.proxies[1].process().freeze();
    let partial = report(&fleet).await;
    assert_eq!(partial["proxies"]["answered"], 1, "{partial}");
    assert_eq!(partial["different"], REQUESTS[0]);
    let silent = partial["proxies"]["silent"].as_array().unwrap();
    assert!(silent.len() == 1, "{partial}");
    assert!(silent[0]["proxy"].as_str().unwrap().starts_with("proxy-"));
    let told = fleet
        .cli()
        .run(&["mirror", "report", "m"])
        .await
        .succeeded();
    assert!(
        told.stdout.contains("not counted: proxy-"),
        "{}",
        told.stdout
    );
    fleet.proxies[1].process().thaw();
}
