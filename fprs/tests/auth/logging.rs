//! Promise: where an access log is wanted every request has one line, however it ended, that says
//! whose it was, who served it and what took how long; queries and credentials are in none.

use fprs_testkit::client::H1;
use fprs_testkit::plane::Settings;
use fprs_testkit::{TempDir, until};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::stage::{HOST, Stage};
use crate::{FPRS, SOON};

/// A stage that logs, and the file's folder.
async fn logging() -> (Stage, TempDir) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("access.log");
    let settings = Settings::new(FPRS)
        .arg("--access-log")
        .arg(path.to_str().unwrap());
    (Stage::set_with(settings, None, "").await, dir)
}

/// The line of the request with that id, once it is there.
async fn line(dir: &TempDir, id: &str) -> Value {
    let path = dir.path().join("access.log");
    until("the request has its line", SOON, async || {
        let text = std::fs::read_to_string(&path).ok()?;
        let mut lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.find(|line: &Value| line["request_id"] == id)
    })
    .await
}

#[tokio::test]
async fn a_served_request_says_whose_it_is_who_served_it_and_what_took_how_long() {
    let (stage, dir) = logging().await;
    let token = stage.caller().await;
    stage.until_status(&token, 200).await;
    let bearer = format!("Bearer {token}");
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let parent = format!("00-{trace}-b7ad6b7169203331-01");
    let fields = [
        ("authorization", &*bearer),
        ("x-request-id", "served"),
        ("traceparent", &*parent),
    ];
    let path = "/sleep?ms=50&secret=planted";
    let answer = stage.get(HOST, path, &fields).await;
    assert_eq!(answer.status, 200);
    let line = line(&dir, "served").await;
    let (id, secret) = token.split_once('.').unwrap();
    for (field, value) in [
        ("client", "127.0.0.1"),
        ("method", "GET"),
        ("host", HOST),
        ("path", "/sleep"),
        ("tenant", "default"),
        ("token", id),
        ("server", "web"),
        ("end", "complete"),
        ("trace", trace),
    ] {
        assert_eq!(line[field], value, "{line}");
    }
    assert_eq!(line["status"], 200);
    assert_eq!(line["offers"], 1);
    assert_eq!(line["reason"], Value::Null);
    let text = answer.text();
    assert_eq!(line["sent_bytes"], text.len());
    assert!(line["replica"].as_str().unwrap().starts_with("web-"));
    let us = |field: &str| line[field].as_u64().unwrap();
    let hops = [
        "admitted_us",
        "chosen_us",
        "connected_us",
        "head_us",
        "total_us",
    ]
    .map(us);
    assert!(hops.is_sorted(), "{line}");
    assert!(us("head_us") >= 50_000, "{line}");
    // The relay's part is within the proxy's, and the program's within the relay's.
    let (connected, head) = (us("relay_connected_us"), us("relay_head_us"));
    assert!(connected <= head && head >= 50_000, "{line}");
    assert!(head <= us("head_us") - us("connected_us"), "{line}");
    assert_eq!(answer.header("x-fprs-times"), None);
    let time = line["time"].as_str().unwrap();
    assert!(humantime::parse_rfc3339(time).is_ok(), "{time}");
    let all = std::fs::read_to_string(dir.path().join("access.log")).unwrap();
    assert!(!all.contains("planted") && !all.contains(secret), "{all}");
}

#[tokio::test]
async fn what_is_refused_or_ends_badly_says_how() {
    let (stage, dir) = logging().await;
    let token = stage.caller().await;
    stage.until_status(&token, 200).await;
    stage.get(HOST, "/", &[("x-request-id", "nobody")]).await;
    let refused = line(&dir, "nobody").await;
    assert_eq!(refused["status"], 401);
    assert_eq!(refused["reason"], "unauthenticated");
    assert_eq!(refused["end"], "answered");
    assert_eq!(refused["tenant"], Value::Null);
    for unknown in ["trace", "admitted_us", "chosen_us", "relay_head_us"] {
        assert_eq!(refused[unknown], Value::Null, "{refused}");
    }

    let ask = |path: &str, id: &str| {
        format!(
            "GET {path} HTTP/1.1\r\nhost: {HOST}\r\nauthorization: Bearer {token}\r\n\
             x-request-id: {id}\r\n\r\n"
        )
    };
    let mut client = H1::connect(stage.plane.listen()).await.unwrap();
    client.exchange(ask("/die/head", "died")).await.unwrap();
    let died = line(&dir, "died").await;
    assert_eq!(died["reason"], "upstream_reset");
    assert_eq!(died["status"], 502);
    assert_eq!(died["server"], "web");

    let mut client = H1::connect(stage.plane.listen()).await.unwrap();
    client
        .exchange(ask("/die/body?after=4000000", "cut"))
        .await
        .unwrap_err();
    let cut = line(&dir, "cut").await;
    assert_eq!(cut["end"], "cut");
    assert_eq!(cut["status"], 200);

    let mut client = TcpStream::connect(stage.plane.listen()).await.unwrap();
    client
        .write_all(ask("/hang", "left").as_bytes())
        .await
        .unwrap();
    assert!(client.read_u8().await.is_ok(), "it is answered");
    drop(client);
    let left = line(&dir, "left").await;
    assert_eq!(left["end"], "left");
}
