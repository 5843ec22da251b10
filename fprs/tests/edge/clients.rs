//! Promise: clients see the same through TLS and the edge as from the program itself, and fprs sees all
//! of them as HTTP/2.

use fprs_testkit::until;
use serde_json::Value;

use crate::SOON;
use crate::client::{Client, soak};
use crate::envoy::envoy;
use crate::install;
use crate::plane::settings;
use crate::stage::{Stage, here};

/// The program speaks h2c.
const H2: &str = "h2 = true";

/// A stage behind an edge, with a Python program; `None`: skip.
async fn stage(program: &str, more: &str) -> Option<Stage> {
    let (envoy, python) = (envoy()?, install::python()?);
    let plane = settings(envoy).start().await;
    Some(Stage::set_on(plane, &python, &here(program), more).await)
}

/// Ends the test; what the edge wrote down says that fprs was asked in HTTP/2 alone.
async fn end(stage: Stage, versions: &[&str]) {
    let log = stage.plane.data_dir().join("edge/access.json");
    let begun = stage.seen.begun();
    let lines: Vec<Value> = until("the access log", SOON, async || {
        let lines = fprs_testkit::program::events(&log);
        (lines.len() as u64 >= begun).then_some(lines)
    })
    .await;
    let of = |name: &str| {
        let mut all: Vec<&str> = lines
            .iter()
            .map(|line| line[name].as_str().unwrap())
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    };
    assert_eq!(of("up_proto"), ["HTTP/2"]);
    assert_eq!(of("proto"), versions);
    stage.end().await;
}

#[tokio::test]
async fn curl_sees_the_same_through_the_edge() {
    let (Some(curl), Some(stage)) = (install::curl(), stage("http_program.py", "").await) else {
        return;
    };
    let script = |version: &str| Client::shell(&curl, "curl_client.sh").arg(version);
    stage.compare(&script("--http1.1")).await;
    stage
        .compare_two(&script("--http1.1"), &script("--http2"))
        .await;
    end(stage, &["HTTP/1.1", "HTTP/2"]).await;
}

#[tokio::test]
async fn curl_uploads_any_size_through_the_edge() {
    let (Some(curl), Some(stage)) = (install::curl(), stage("http_program.py", "").await) else {
        return;
    };
    let size: u64 = if soak() { 2 << 30 } else { 64 << 20 };
    let upload = |version: &str| {
        let script = Client::shell(&curl, "curl_upload.sh").arg(version);
        script.arg(&size.to_string())
    };
    stage.compare(&upload("--http1.1")).await;
    stage
        .compare_two(&upload("--http1.1"), &upload("--http2"))
        .await;
    stage.end().await;
}

#[tokio::test]
async fn httpx_has_each_event_before_the_next_is_sent_through_the_edge() {
    let (Some(python), Some(stage)) = (install::python(), stage("http_program.py", "").await)
    else {
        return;
    };
    let h1 = Client::python(&python, "httpx_client.py").arg("1");
    let h2 = Client::python(&python, "httpx_client.py").arg("2");
    stage.compare(&h1).await;
    stage.compare_two(&h1, &h2).await;
    end(stage, &["HTTP/1.1", "HTTP/2"]).await;
}

#[tokio::test]
async fn every_frame_of_websockets_crosses_the_edge() {
    let (Some(python), Some(stage)) = (install::python(), stage("websockets_program.py", "").await)
    else {
        return;
    };
    stage
        .compare(&Client::python(&python, "websockets_client.py"))
        .await;
    end(stage, &["HTTP/1.1"]).await;
}

#[tokio::test]
async fn grpcio_makes_every_kind_of_call_through_the_edge() {
    let (Some(python), Some(stage)) = (install::python(), stage("grpc_program.py", H2).await)
    else {
        return;
    };
    stage
        .compare(&Client::python(&python, "grpcio_client.py"))
        .await;
    end(stage, &["HTTP/2"]).await;
}

#[tokio::test]
async fn a_page_in_chromium_sees_the_same_through_the_edge() {
    let (Some(modules), Some(chromium)) = (install::node_modules(), install::chromium()) else {
        return;
    };
    let Some(stage) = stage("http_program.py", "").await else {
        return;
    };
    let page = Client::node(&modules, "chromium_client.js")
        .env("CHROMIUM", &chromium)
        // Where its profiles go with the test.
        .env("TMPDIR", stage.plane.dir());
    stage.compare(&page).await;
    // Its WebSockets share the connection of its requests.
    end(stage, &["HTTP/2"]).await;
}
