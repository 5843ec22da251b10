//! Captures: what is written down, what never is, and sending it again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use fprs_config::{Capture, Mirror};
use fprs_testkit::origin::{Body, Origin, Script};
use fprs_testkit::{Pattern, until};
use http::Method;
use serde_json::{Value, json};

use crate::scene::{DEADLINE, Scene, mirror, request};
use crate::size;

fn capturing(redact: &[&str], query: bool) -> Mirror {
    Mirror {
        copies: 1_000,
        exchange_bytes: 2 << 20,
        capture: Some(Capture {
            headers: vec!["content-type".into(), "x-model".into()],
            redact: redact.iter().map(|path| (*path).to_owned()).collect(),
            query,
        }),
        ..mirror()
    }
}

/// Every line of a mirror's captures so far, finished or not.
fn lines(dir: &Path) -> Vec<Value> {
    let mut text = Vec::new();
    for path in files(dir) {
        let mut decoder = zstd::stream::read::Decoder::new(File::open(path).unwrap()).unwrap();
        // A file that is being written ends in the middle.
        std::io::copy(&mut decoder, &mut text).ok();
    }
    let lines = text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    lines
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join("m")).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

async fn captured(scene: &Scene, count: usize) -> Vec<Value> {
    until("the captures", DEADLINE, async || {
        let lines = lines(&scene.captures().0);
        (lines.len() >= count).then_some(lines)
    })
    .await
}

async fn post(scene: &Scene, path: &str, fields: &[(&'static str, &str)], body: Bytes) {
    let client = scene.client().await;
    let mut stream = client
        .open(request(Method::POST, path, fields), false)
        .await
        .unwrap();
    stream.sender.send(body).await.unwrap();
    stream.sender.finish().unwrap();
    assert_eq!(stream.response().await.unwrap().status, 200);
}

#[tokio::test]
async fn planted_secrets_and_redacted_values_are_nowhere_in_captures() {
    let answer = Script {
        headers: vec![
            ("content-type".into(), "application/json".into()),
            ("set-cookie".into(), "sid=planted-1".into()),
            ("x-other".into(), "planted-2".into()),
        ],
        ..Script::text(r#"{"user":"planted-3","text":"kept"}"#)
    };
    let (prod, shadow) = (Origin::start(answer), Origin::start(Script::text("")));
    let scene = Scene::start(prod.address()).await;
    scene
        .mirror(capturing(&["/user"], false), Some(shadow.address()))
        .await;
    let fields = [
        ("authorization", "Bearer planted.4"),
        ("cookie", "sid=planted-5"),
        ("x-api-key", "planted-6"),
        ("content-type", "application/json"),
        ("x-request-id", "r1"),
    ];
    let body = Bytes::from_static(br#"{"user":{"mail":"planted-7"},"prompt":"kept"}"#);
    post(&scene, "/v1/chat?key=planted-8", &fields, body).await;
    let lines = captured(&scene, 1).await;
    let text = lines[0].to_string();
    assert!(!text.contains("planted"), "{text}");
    let request = &lines[0]["request"];
    assert_eq!(
        (&request["method"], &request["target"]),
        (&json!("POST"), &json!("/v1/chat"))
    );
    assert_eq!(
        request["headers"],
        json!([["content-type", "application/json"]])
    );
    let body: Value = serde_json::from_str(request["body"]["text"].as_str().unwrap()).unwrap();
    assert_eq!(body, json!({ "user": "[REDACTED 20]", "prompt": "kept" }));
    assert_eq!(
        (&lines[0]["request_id"], &lines[0]["response"]["status"]),
        (&json!("r1"), &json!(200))
    );
    assert!(lines[0]["whole_us"].as_u64().unwrap() > 0);
    scene.settled().await;
}

#[tokio::test]
async fn what_is_captured_is_sent_again_to_the_byte() {
    let (prod, shadow) = (
        Origin::start(Script::body(Body::Echo)),
        Origin::start(Script::text("")),
    );
    let scene = Scene::start(prod.address()).await;
    scene
        .mirror(capturing(&[], true), Some(shadow.address()))
        .await;
    let mut bodies = vec![
        Pattern::bytes(200_000),
        Bytes::from_static(b"{ \"a\" : \"\xc3\xbc\" }\r\n"),
    ];
    bodies.extend((0..20).map(|number| Bytes::from(vec![number; 100])));
    for (number, body) in bodies.iter().enumerate() {
        let number = number.to_string();
        let fields = [
            ("content-type", "text/x"),
            ("x-model", &*number),
            ("x-not", "n"),
        ];
        post(&scene, "/a/b?c=d%20e", &fields, body.clone()).await;
    }
    captured(&scene, bodies.len()).await;
    scene.settled().await;
    let dir = scene.captures();
    // The file gets its name when the proxy ends.
    scene.drain().await;
    let file = files(&dir.0).pop().unwrap();
    assert!(file.extension().is_some_and(|end| end == "zst"), "{file:?}");
    let again = Origin::start(Script::body(Body::Echo));
    let replayed = Origin::start(Script::body(Body::Count));
    for to in [&again, &replayed] {
        let ran = Command::new(env!("CARGO_BIN_EXE_fprs"))
            .args([
                "mirror",
                "replay",
                "--json",
                "--header",
                "x-more: yes",
                "--to",
            ])
            .arg(format!("http://{}", to.address()))
            .arg(&file)
            .output()
            .unwrap();
        let said: Value = serde_json::from_slice(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
        let all = bodies.len();
        assert_eq!(
            (&said["requests"], &said["same_status"]),
            (&json!(all), &json!(all)),
            "{said}"
        );
    }
    let sent = again.record().exchanges();
    assert_eq!(sent.len(), bodies.len());
    for (number, sent) in sent.iter().enumerate() {
        let head = &sent.request.head.to_ascii_lowercase();
        assert_eq!(
            (&*sent.request.method, &*sent.request.target),
            ("POST", "/a/b?c=d%20e")
        );
        for line in [
            format!("x-model: {number}"),
            "content-type: text/x".to_owned(),
            "x-more: yes".to_owned(),
        ] {
            assert!(head.contains(&line), "{line} in {head}");
        }
        assert!(!head.contains("x-not"), "{head}");
        assert_eq!(sent.taken, bodies[number].len() as u64);
    }
}

#[tokio::test]
async fn a_capture_that_can_not_be_written_or_kept_is_counted_and_nobody_waits() {
    let (prod, shadow) = (Origin::by_path(), Origin::start(Script::text("")));
    let scene = Scene::start(prod.address()).await;
    // A file where the mirror's directory is to be.
    fs::create_dir_all(scene.captures().0).unwrap();
    fs::write(scene.captures().0.join("m"), "").unwrap();
    scene
        .mirror(capturing(&[], false), Some(shadow.address()))
        .await;
    let client = scene.client().await;
    let count = size(20, 2_000);
    for _ in 0..count {
        let stream = client
            .open(request(Method::GET, "/", &[]), true)
            .await
            .unwrap();
        assert_eq!(stream.response().await.unwrap().text(), "hello");
    }
    post(&scene, "/count", &[], Pattern::bytes(1_500_000)).await;
    let ended = |how: &str| scene.metric("fprs_mirror_captured_total", &[("result", how)]);
    until("all to be counted", DEADLINE, async || {
        (ended("failed") == count && ended("too_large") == 1).then_some(())
    })
    .await;
    scene.settled().await;
}
