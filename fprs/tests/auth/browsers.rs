//! Promise: pages of other origins are answered by the server's policy alone, and WebSockets that
//! can't set fields have two ways to carry a credential, where the server allows them.

use fprs_testkit::client::Response;
use serde_json::Value;

use crate::stage::{HOST, Stage, whole};

async fn preflight(stage: &Stage, host: &str, origin: &str) -> Response {
    let request = format!(
        "OPTIONS /preflight HTTP/1.1\r\nhost: {host}\r\norigin: {origin}\r\n\
         access-control-request-method: PUT\r\n\
         access-control-request-headers: authorization,x-a\r\n\r\n"
    );
    stage.plane.h1().await.exchange(request).await.unwrap()
}

#[tokio::test]
async fn a_preflight_is_answered_by_policy_and_starts_nothing() {
    let stage = Stage::set("").await;
    let cors = "max_replicas = 1\n[cors]\nallow_origins = [\"https://app.example\"]\n\
                allow_methods = [\"PUT\"]\nallow_headers = [\"authorization\", \"x-a\"]";
    stage.deploy("open", cors).await;
    let open = "open.region.localhost";
    let allowed = preflight(&stage, open, "https://app.example").await;
    assert_eq!(allowed.status, 204);
    let field = |name| allowed.header(name);
    assert_eq!(
        field("access-control-allow-origin"),
        Some("https://app.example")
    );
    assert_eq!(field("access-control-allow-methods"), Some("PUT"));
    assert_eq!(
        field("access-control-allow-headers"),
        Some("authorization, x-a")
    );
    assert_eq!(field("access-control-max-age"), Some("600"));
    for (host, origin) in [
        (open, "https://evil.example"),
        (HOST, "https://app.example"),
        ("nobody.region.localhost", "https://app.example"),
    ] {
        let refused = preflight(&stage, host, origin).await;
        assert_eq!(refused.status, 401, "{host}");
        let names = refused.headers.keys().map(http::HeaderName::as_str);
        let allows = names.filter(|name| name.starts_with("access-control-"));
        assert_eq!(allows.count(), 0, "{host}");
    }
    assert_eq!(stage.plane.replicas("open").await, Vec::<Value>::new());
    assert_eq!(stage.requests(), 0);
}

#[tokio::test]
async fn a_websocket_may_carry_its_credential_where_the_server_allows_it() {
    let stage = Stage::set("auth_websocket = [\"subprotocol\", \"query\"]").await;
    stage
        .deploy(
            "strict",
            "min_replicas = 1\nmax_replicas = 1\nhold = \"10s\"",
        )
        .await;
    let strict = "strict.region.localhost";
    let caller = stage.caller().await;
    let mint = ["token", "mint", "--ttl", "2m", "--json"];
    let ticket = whole(&stage.cli.run(&mint).await.succeeded().json());
    stage.until_status(&caller, 200).await;
    let offered = format!("sec-websocket-protocol: chat, fprs.bearer.{caller}\r\n");
    assert_ne!(stage.open_socket(HOST, "/subprotocol", &offered).await, 401);
    let seen = stage.seen("/subprotocol").await;
    assert!(seen.contains("sec-websocket-protocol: chat\r\n"), "{seen}");
    let asked = format!("/query?a=1&fprs_token={ticket}&b=2");
    assert_ne!(stage.open_socket(HOST, &asked, "").await, 401);
    let seen = stage.seen("/query?a=1&b=2").await;
    assert!(
        seen.contains("x-fprs-token-id: tk-") && !seen.contains("fprs_token"),
        "{seen}"
    );
    for (host, path, more) in [
        (strict, "/x", &*offered),
        (strict, &asked, ""),
        (HOST, &format!("/x?fprs_token={caller}"), ""),
        (
            HOST,
            "/x",
            &format!("sec-websocket-protocol: fprs.bearer.{ticket}\r\n"),
        ),
        (
            HOST,
            "/x",
            "sec-websocket-protocol: fprs.bearer.wrong.wrong\r\n",
        ),
    ] {
        assert_eq!(stage.open_socket(host, path, more).await, 401, "{path}");
    }
    let plain = stage.get(HOST, &asked, &[]).await;
    assert_eq!(plain.status, 401, "a ticket opens WebSockets alone");
    let long = ["token", "mint", "--ttl", "6m"];
    let refused = stage.cli.run(&long).await.refused(1);
    assert!(
        refused.stderr.contains("the limit is 5m"),
        "{}",
        refused.stderr
    );
}
