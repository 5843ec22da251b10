//! Promise: what tenants use is counted by server, and what was counted outlives the plane.

use std::time::Duration;

use fprs_testkit::{Plane, program, until};
use serde_json::Value;

use crate::{FPRS, SOON};

/// What a server of a tenant used this month.
async fn used(plane: &Plane, server: &str) -> Option<Value> {
    let ran = plane.run(&["usage", "--json"]).await.succeeded();
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let used = report["used"].as_array().unwrap();
    used.iter().find(|used| used["server"] == server).cloned()
}

#[tokio::test]
async fn usage_is_counted_by_tenant_and_server_and_outlives_the_plane() {
    let mut plane = Plane::start(FPRS).await;
    for tenant in ["acme", "other"] {
        plane.run(&["tenant", "create", tenant]).await.succeeded();
    }
    let more = "min_replicas = 1\nhold = \"10s\"\ntenant = \"acme\"";
    plane.deploy(&program::manifest("web", more, &[])).await;
    let more = "tenant = \"other\"\nhold = \"10s\"";
    plane.deploy(&program::manifest("api", more, &[])).await;
    let mut client = plane.h1().await;
    let mut sent = 0;
    for _ in 0..3 {
        let body = [b'x'; 1000];
        let answer = client.post(&plane.host("web"), "/echo", &body).await;
        sent += answer.unwrap().body.len() as u64;
    }
    assert_eq!(sent, 3_000);
    until("seconds of its replica", SOON, async || {
        let web = used(&plane, "web").await?;
        (web["exchanges"] == 3 && web["replica_ms"].as_u64()? >= 1_000).then_some(())
    })
    .await;
    let web = used(&plane, "web").await.unwrap();
    assert_eq!(web["tenant"], "acme");
    assert_eq!(web["received_bytes"], 3_000);
    assert_eq!(web["sent_bytes"], sent);

    // Written: by the command that asked, and when the plane ends.
    plane.restart().await;
    let mut client = plane.h1().await;
    client.get(&plane.host("web"), "/").await.unwrap();
    until("what was before and what is new", SOON, async || {
        (used(&plane, "web").await?["exchanges"] == 4).then_some(())
    })
    .await;
    client.get(&plane.host("api"), "/").await.unwrap();
    plane.terminate(Duration::from_secs(30)).await;
    plane.restart().await;
    assert_eq!(used(&plane, "api").await.unwrap()["exchanges"], 1);

    let ran = plane.run(&["usage", "--tenant", "other"]).await.succeeded();
    assert!(
        ran.stdout.contains("api") && !ran.stdout.contains("web"),
        "{ran:?}"
    );
    let ran = plane.run(&["usage", "--month", "2026-13"]).await;
    assert!(ran.stderr.contains("no month like"), "{ran:?}");
    let ran = plane
        .run(&["usage", "--month", "1999-01"])
        .await
        .succeeded();
    assert_eq!(ran.stdout, "nothing was used in 1999-01\n");
    let token = [
        "token", "create", "--tenant", "acme", "--role", "viewer", "--json",
    ];
    let ran = plane.run(&token).await.succeeded();
    let token: Value = serde_json::from_str(&ran.stdout).unwrap();
    let part = |name: &str| token[name].as_str().unwrap();
    let token = format!("{}.{}", part("id"), part("secret"));
    let ran = plane
        .run(&["usage", "--admin-token", &token])
        .await
        .succeeded();
    assert!(
        ran.stdout.contains("web") && !ran.stdout.contains("api"),
        "{ran:?}"
    );
}
