//! Promise: with `--edge-http3` clients are told of HTTP/3 and get it; fprs sees HTTP/2.

use fprs_testkit::{program, until};

use crate::SOON;
use crate::envoy::envoy;
use crate::install;
use crate::plane::{Edged, WEB, settings};

/// What the client runs on.
const REQUIREMENTS: &str = include_str!("requirements.txt");

#[tokio::test]
async fn aioquic_gets_the_same_over_http3() {
    let (Some(envoy), Some(python)) = (envoy(), install::venv("quic", REQUIREMENTS)) else {
        return;
    };
    let edged = Edged::bare(settings(envoy).arg("--edge-http3")).await;
    let manifest = program::manifest("web", "min_replicas = 1", &[]);
    edged.deploy("web", &manifest).await;
    let answer = edged.h2().await.get(WEB, "/").await.unwrap();
    let port = edged.edge().port();
    let told = format!("h3=\":{port}\"; ma=86400");
    assert_eq!(answer.header("alt-svc"), Some(&*told));

    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/edge/http3_client.py");
    let ran = tokio::process::Command::new(python)
        .args([script, &edged.edge().to_string(), WEB])
        .arg(edged.plane.data_dir().join("edge/ca.pem"))
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(SOON, ran).await.unwrap().unwrap();
    let (said, why) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{why}");
    let lengths: Vec<usize> = (0..20).collect();
    assert_eq!(said, format!("200 hello\n200 262144\n{lengths:?}\n"));
    until("the access log", SOON, async || {
        let log = edged.access_log();
        let h3 = log.iter().filter(|line| line["proto"] == "HTTP/3");
        let h2 = |line: &&serde_json::Value| line["up_proto"] == "HTTP/2";
        (h3.filter(h2).count() == 22).then_some(())
    })
    .await;
}
