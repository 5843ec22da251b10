//! A server beside itself: what it differs by is noise, and what a shadow differs by beyond is not.

use std::sync::atomic::{AtomicU64, Ordering};

use fprs_testkit::plane::Settings;
use fprs_testkit::{Plane, program, until};
use serde_json::Value;

use crate::scene::DEADLINE;

/// Requests of the test.
const REQUESTS: u64 = 200;

/// A plane whose `prod` answers `/noise` at random, and whose `next` does that and answers `/` otherwise.
async fn plane() -> Plane {
    let plane = Settings::new(env!("CARGO_BIN_EXE_fprs")).start().await;
    let pool = "min_replicas = 1\nmax_replicas = 1\nhold = \"10s\"";
    for (name, greeting) in [("prod", "hello"), ("next", "hi")] {
        let manifest = program::manifest(name, pool, &[("GREETING", greeting)]);
        plane.deploy(&manifest).await;
    }
    plane
}

#[tokio::test]
async fn what_a_shadow_changes_is_above_noise_and_what_a_server_does_by_itself_is_not() {
    let plane = plane().await;
    for shadow in ["prod", "next"] {
        let add = [
            "mirror",
            "add",
            "prod",
            shadow,
            "--copies",
            "1000",
            "--compare",
        ];
        plane.run(&add).await.succeeded();
    }
    let refused = plane
        .run(&["mirror", "add", "prod", "prod", "--name", "x"])
        .await;
    refused.refused(1);
    let client = plane.h2().await.deadline(DEADLINE);
    let host = plane.host("prod");
    let sent = AtomicU64::new(0);
    for _ in 0..REQUESTS {
        // What is random differs in both pairs alike; the greeting only between versions.
        let number = sent.fetch_add(1, Ordering::Relaxed);
        let path = if number.is_multiple_of(4) {
            "/random"
        } else {
            "/"
        };
        assert_eq!(client.get(&host, path).await.unwrap().status, 200);
    }
    let report = until("all to be compared", DEADLINE, async || {
        let report: Value = plane
            .run(&["mirror", "report", "prod-to-next", "--json"])
            .await
            .json();
        let compared = |report: &Value| report["compared"].as_u64();
        let both = (compared(&report)?, compared(&report["baseline"])?);
        (both == (REQUESTS, REQUESTS)).then_some(report)
    })
    .await;
    assert_eq!(report["baseline"]["mirror"], "prod-to-prod");
    let noise = report["baseline"]["different"].as_u64().unwrap();
    assert_eq!(noise, REQUESTS / 4, "{report}");
    assert_eq!(report["different"], REQUESTS);
    let judged = report["noise"].as_array().unwrap();
    let of = |part: &str| judged.iter().find(|found| found["part"] == part).unwrap();
    assert_eq!(of("")["verdict"], "above_noise", "{report}");
    let own = plane
        .run(&["mirror", "report", "prod-to-prod", "--json"])
        .await;
    assert!(own.json().get("baseline").is_none(), "a baseline has none");
    let same = [
        "mirror",
        "report",
        "prod-to-prod",
        "--baseline",
        "prod-to-prod",
        "--json",
    ];
    let same: Value = plane.run(&same).await.json();
    assert_eq!(same["noise"][0]["verdict"], "within_noise", "{same}");
    let told = plane
        .run(&["mirror", "report", "prod-to-next"])
        .await
        .succeeded();
    for words in [
        "above noise",
        "baseline prod-to-prod: compared 200, 50 different",
        "websockets are not copied (0 so far): what a client says on a WebSocket depends",
    ] {
        assert!(told.stdout.contains(words), "{}", told.stdout);
    }
    let listed = plane.run(&["mirror", "list"]).await.succeeded();
    assert!(listed.stdout.contains("websockets"), "{}", listed.stdout);
}
