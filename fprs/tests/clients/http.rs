//! Promise: clients of HTTP see the same, whichever version they speak.

use std::path::Path;

use crate::client::Client;
use crate::install;
use crate::stage::{Stage, here};

#[tokio::test]
async fn curl_sees_the_same_over_both_versions_of_http() {
    let (Some(curl), Some(python)) = (install::curl(), install::python()) else {
        return;
    };
    let stage = Stage::set(&python, &here("http_program.py"), "").await;
    let script = |version: &str| Client::shell(&curl, "curl_client.sh").arg(version);
    stage.compare(&script("--http1.1")).await;
    stage
        .compare_two(&script("--http1.1"), &script("--http2-prior-knowledge"))
        .await;
    stage.end().await;
}

#[tokio::test]
async fn httpx_sees_the_same_over_both_versions_of_http() {
    let Some(python) = install::python() else {
        return;
    };
    let stage = Stage::set(&python, &here("http_program.py"), "").await;
    let h1 = Client::python(&python, "httpx_client.py").arg("1");
    let h2 = Client::python(&python, "httpx_client.py").arg("2");
    stage.compare(&h1).await;
    stage.compare_two(&h1, &h2).await;
    stage.end().await;
}

#[tokio::test]
async fn aiohttp_streams_both_ways_and_opens_websockets() {
    let Some(python) = install::python() else {
        return;
    };
    let stage = Stage::set(&python, &here("http_program.py"), "").await;
    stage
        .compare(&Client::python(&python, "aiohttp_client.py"))
        .await;
    stage.end().await;
}

#[tokio::test]
async fn undici_sees_the_same() {
    let (Some(python), Some(modules)) = (install::python(), install::node_modules()) else {
        return;
    };
    let stage = Stage::set(&python, &here("http_program.py"), "").await;
    stage
        .compare(&Client::node(&modules, "undici_client.js"))
        .await;
    stage.end().await;
}

#[tokio::test]
async fn the_openai_client_streams_from_the_example_server() {
    let Some(python) = install::python() else {
        return;
    };
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/stream/server.py");
    let stage = Stage::set(&python, &example, "").await;
    stage
        .compare(&Client::python(&python, "openai_client.py"))
        .await;
    // The example takes no notes: the client's own five requests.
    stage.end_after(5).await;
}

#[tokio::test]
async fn the_openai_client_has_each_token_before_the_next_is_sent() {
    let Some(python) = install::python() else {
        return;
    };
    let stage = Stage::set(&python, &here("http_program.py"), "").await;
    stage
        .compare(&Client::python(&python, "openai_paced_client.py"))
        .await;
    stage.end().await;
}

#[tokio::test]
async fn early_hints_and_trailers_reach_clients_that_show_them() {
    let (Some(curl), Some(modules)) = (install::curl(), install::node_modules()) else {
        return;
    };
    let stage = Stage::set(Path::new("node"), &here("fields_program.js"), "").await;
    let curl = |version: &str| Client::shell(&curl, "curl_fields.sh").arg(version);
    stage.compare(&curl("--http1.1")).await;
    stage
        .compare_two(&curl("--http1.1"), &curl("--http2-prior-knowledge"))
        .await;
    let node = |version: &str| Client::node(&modules, "fields_client.js").arg(version);
    stage.compare(&node("1")).await;
    stage.compare_two(&node("1"), &node("2")).await;
    stage.end().await;
}
