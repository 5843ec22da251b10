//! Mirrors in a whole plane, by its commands.

use std::time::Duration;

use fprs_testkit::{Plane, program, until};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(20);

async fn plane() -> Plane {
    let plane = Plane::start(env!("CARGO_BIN_EXE_fprs")).await;
    let prod = "min_replicas = 1\nmax_replicas = 1\nhold = \"10s\"";
    plane.deploy(&program::manifest("prod", prod, &[])).await;
    let record = plane.dir().join("shadow.record");
    let env = [("RECORD", record.to_str().unwrap())];
    let shadow = "min_replicas = 0\nmax_replicas = 2\nscaledown_window = \"1s\"";
    plane
        .deploy(&program::manifest("shadow", shadow, &env))
        .await;
    plane
}

#[tokio::test]
async fn a_shadow_scales_from_zero_by_its_copies_and_back() {
    let plane = plane().await;
    let client = plane.h2().await;
    let host = plane.host("prod");
    until("prod to answer", SOON, async || {
        (client.get(&host, "/").await.unwrap().status == 200).then_some(())
    })
    .await;
    assert_eq!(plane.replicas_in("shadow", "ready").await, 0);
    let _added = plane
        .run(&["mirror", "add", "prod", "shadow"])
        .await
        .succeeded();
    let record = plane.dir().join("shadow.record");
    until("a copy at the shadow", SOON, async || {
        assert_eq!(client.get(&host, "/sleep?ms=1").await.unwrap().status, 200);
        let copies = program::events(&record);
        copies
            .iter()
            .any(|noted| noted["event"] == "complete")
            .then_some(())
    })
    .await;
    let copy = &program::events(&record)[0];
    assert!(
        copy["head"]
            .as_str()
            .unwrap()
            .contains("x-fprs-mirror: prod-to-shadow"),
        "{copy}"
    );
    let _paused = plane
        .run(&["mirror", "pause", "prod-to-shadow"])
        .await
        .succeeded();
    until("the shadow to stop", SOON, async || {
        assert_eq!(client.get(&host, "/").await.unwrap().status, 200);
        let replicas = plane.replicas("shadow").await;
        replicas.is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn mirrors_are_added_listed_edited_and_removed_by_commands() {
    let plane = plane().await;
    let add = ["mirror", "add", "prod", "shadow", "--name", "m"];
    let options = [
        "--percent",
        "5",
        "--key",
        "header:x-user",
        "--deadline",
        "5s",
    ];
    let added = plane.run(&[&add[..], &options].concat()).await.succeeded();
    assert!(
        added
            .stdout
            .contains("5.0 % of prod by header:x-user goes to shadow"),
        "{added:?}"
    );
    let list = async || -> Value { plane.run(&["mirror", "list", "--json"]).await.json() };
    let listed = list().await;
    assert_eq!(
        (&listed[0]["percent"], &listed[0]["deadline_ms"]),
        (&5.0.into(), &5_000.into())
    );
    let _edited = plane
        .run(&[&add[..], &["--percent", "7.5"]].concat())
        .await
        .succeeded();
    let _paused = plane.run(&["mirror", "pause", "m"]).await.succeeded();
    let listed = list().await;
    assert_eq!(
        (&listed[0]["percent"], &listed[0]["paused"]),
        (&7.5.into(), &true.into())
    );
    let _resumed = plane.run(&["mirror", "resume", "m"]).await.succeeded();
    assert_eq!(list().await[0]["paused"], false);
    let _wrong = plane
        .run(&["mirror", "add", "prod", "nobody"])
        .await
        .refused(1);
    let _wrong = plane
        .run(&["mirror", "add", "prod", "shadow", "--key", "user"])
        .await
        .refused(1);
    let _removed = plane.run(&["mirror", "remove", "m"]).await.succeeded();
    assert_eq!(list().await, Value::Array(Vec::new()));
}
