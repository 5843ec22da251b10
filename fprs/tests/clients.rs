//! Real clients against the real binary. Each talks to a program twice, with and without fprs
//! between, and must see the same.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken expectation is a failed test with its place"
)]

#[path = "clients/install.rs"]
mod install;
#[path = "clients/stage.rs"]
mod stage;

use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use fprs_testkit::{Plane, eventually};
use h2::ext::Protocol;
use http::{Method, Request};
use stage::{Client, SERVER, Stage, here};

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
}

#[tokio::test]
async fn websockets_of_the_websockets_library_pass_untouched() {
    let Some(python) = install::python() else {
        return;
    };
    let stage = Stage::set(&python, &here("websockets_program.py"), "").await;
    stage
        .compare(&Client::python(&python, "websockets_client.py"))
        .await;
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
}

#[tokio::test]
async fn undici_and_ws_see_the_same() {
    let (Some(python), Some(modules)) = (install::python(), install::node_modules()) else {
        return;
    };
    let stage = Stage::set(&python, &here("http_program.py"), "").await;
    let undici = Client::node(&modules, "undici_client.js");
    stage.compare(&undici).await;
    let stage = Stage::set(&python, &here("websockets_program.py"), "").await;
    stage.compare(&Client::node(&modules, "ws_client.js")).await;
}

#[tokio::test]
async fn grpc_js_makes_every_kind_of_call() {
    let (Some(python), Some(modules)) = (install::python(), install::node_modules()) else {
        return;
    };
    let stage = Stage::set(&python, &here("grpc_program.py"), "h2 = true").await;
    stage
        .compare(&Client::node(&modules, "grpc_js_client.js"))
        .await;
}

#[tokio::test]
async fn grpcio_makes_every_kind_of_call_with_metadata_errors_and_deadlines() {
    let Some(python) = install::python() else {
        return;
    };
    let stage = Stage::set(&python, &here("grpc_program.py"), "h2 = true").await;
    stage
        .compare(&Client::python(&python, "grpcio_client.py"))
        .await;
}

#[tokio::test]
async fn a_call_that_grpcio_cancels_ends_at_the_program_within_100_ms() {
    let Some(python) = install::python() else {
        return;
    };
    let seen = fprs_testkit::TempDir::new().unwrap();
    let seen = seen.path().join("seen");
    let stage = Stage::set_with(
        &python,
        &here("grpc_program.py"),
        "h2 = true",
        &[("SEEN", seen.to_str().unwrap())],
    )
    .await;
    let said = stage
        .run(&Client::python(&python, "grpcio_cancel.py"))
        .await;
    let cancelled: f64 = String::from_utf8(said).unwrap().trim().parse().unwrap();
    let ended = || {
        let text = std::fs::read_to_string(&seen).ok()?;
        text.trim_end().strip_prefix("ended ")?.parse::<f64>().ok()
    };
    let what = "the program notes the end of the call";
    eventually(what, Duration::from_secs(5), || ended().is_some()).await;
    let took = ended().unwrap() - cancelled;
    assert!((0.0..0.1).contains(&took), "seen after {took} s");
}

#[tokio::test]
async fn grpcio_is_told_unavailable_where_no_replica_is() {
    let Some(python) = install::python() else {
        return;
    };
    let plane = Plane::start(env!("CARGO_BIN_EXE_fprs")).await;
    plane
        .deploy(&format!(
            "name = \"{SERVER}\"\ncommand = [\"false\"]\nauth = \"public\"\nh2 = true\n"
        ))
        .await;
    let said = Client::python(&python, "grpcio_unavailable.py")
        .run(plane.listen(), &plane.host(SERVER))
        .await;
    let said = String::from_utf8(said).unwrap();
    let told: Vec<&str> = said.lines().collect();
    assert_eq!(told.len(), 2, "{said}");
    assert!(told[0].starts_with("UNAVAILABLE "), "{said}");
    assert!(
        told[0].ends_with("no_replica") || told[0].ends_with("starting"),
        "{said}"
    );
    assert!(told[1].starts_with("UNA"), "{said}");
}

#[tokio::test]
async fn a_websocket_over_http2_talks_to_a_program_that_speaks_http1() {
    let Some(python) = install::python() else {
        return;
    };
    let stage = Stage::set(&python, &here("websockets_program.py"), "").await;
    let h2 = stage.plane.h2().await;
    // Its answer comes after the settings that allow extended CONNECT.
    h2.get("fprs.internal", "/readyz").await.unwrap();
    let uri = format!("http://{}/", stage.authority());
    let mut request = Request::get(uri).body(()).unwrap();
    *request.method_mut() = Method::CONNECT;
    let protocol = Protocol::from_static("websocket");
    request.extensions_mut().insert(protocol);
    let fields = request.headers_mut();
    fields.insert("sec-websocket-version", "13".parse().unwrap());
    fields.insert("sec-websocket-protocol", "echo.v2".parse().unwrap());
    let mut socket = h2.open(request, false).await.unwrap();
    let head = socket.receiver.head().await.unwrap();
    assert_eq!(head.status, 200);
    assert_eq!(head.header("sec-websocket-protocol"), Some("echo.v2"));
    // The answer to a key that the client never sent.
    assert_eq!(head.header("sec-websocket-accept"), None);

    // A mask of zeros leaves the payload as it is.
    let text = [&[0x81, 0x85, 0, 0, 0, 0][..], b"hello"].concat();
    let ping = [&[0x89, 0x82, 0, 0, 0, 0][..], b"hi"].concat();
    let close = vec![0x88, 0x82, 0, 0, 0, 0, 0x0f, 0xa1];
    let frames = [
        (text, [&[0x81, 0x05][..], b"hello"].concat()),
        (ping, [&[0x8a, 0x02][..], b"hi"].concat()),
        (close, vec![0x88, 0x02, 0x0f, 0xa1]),
    ];
    for (sent, expected) in frames {
        socket.sender.send(Bytes::from(sent)).await.unwrap();
        let mut seen = BytesMut::new();
        while seen.len() < expected.len() {
            let piece = socket.receiver.piece().await.unwrap();
            seen.extend_from_slice(&piece.expect("the socket is open"));
        }
        assert_eq!(seen, expected);
    }
    assert_eq!(socket.receiver.piece().await.unwrap(), None);
}

#[tokio::test]
async fn curl_sees_the_same_over_both_versions_of_http() {
    let (Some(curl), Some(python)) = (install::curl(), install::python()) else {
        return;
    };
    let stage = Stage::set(&python, &here("http_program.py"), "").await;
    let script = |version: &str| Client::shell(&here("curl_client.sh"), &curl).arg(version);
    stage.compare(&script("--http1.1")).await;
    stage
        .compare_two(&script("--http1.1"), &script("--http2-prior-knowledge"))
        .await;
}
