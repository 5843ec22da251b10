//! Comparing a server's answers with its shadow's: what is different is found, and nothing else is.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use fprs_config::{Compare, Mirror};
use fprs_testkit::origin::{Body, Origin, Script};
use fprs_testkit::until;
use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};

use crate::scene::{DEADLINE, Scene, host, mirror, request};
use crate::size;

fn comparing(headers: &[&str], ignore: &[&str]) -> Mirror {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Mirror {
        copies: 1_000,
        exchange_bytes: 4 << 20,
        compare: Some(Compare {
            headers: owned(headers),
            ignore: owned(ignore),
        }),
        ..mirror()
    }
}

fn answer(kind: &str, body: impl Into<Bytes>) -> Script {
    Script {
        headers: vec![("content-type".into(), kind.into())],
        ..Script::text(body)
    }
}

/// Sends so many requests and reports once all pairs are compared.
async fn report(scene: &Scene, requests: u64) -> Value {
    let client = scene.client().await;
    let clients = (0..4).map(|_| async {
        for _ in 0..requests / 4 {
            let stream = client
                .open(request(Method::GET, "/", &[]), true)
                .await
                .unwrap();
            assert!(stream.response().await.unwrap().status < 500);
        }
    });
    join_all(clients).await;
    scene.settled().await;
    until("all to be compared", DEADLINE, async || {
        let report = scene.report("m")?;
        let compared = report["compared"].as_u64()? + report["skipped"].as_u64()?;
        let complete = report["ends"]["complete"].as_u64().unwrap_or_default();
        (compared == complete).then_some(report)
    })
    .await
}

#[tokio::test]
async fn a_planted_difference_in_1_of_1000_answers_is_found_and_no_other() {
    let json = |number: u64| {
        let id = fastrand::u64(..);
        let text = if number == 377 { "other" } else { "text" };
        let body = json!({ "id": id, "choices": [{ "text": text, "index": 0 }] });
        answer("application/json", body.to_string())
    };
    let prod = Origin::with(move |_| json(0));
    let asked = AtomicU64::new(0);
    let shadow = Origin::with(move |_| json(asked.fetch_add(1, Ordering::Relaxed)));
    let scene = Scene::start(prod.address()).await;
    let mirror = comparing(&["content-type"], &["/id"]);
    scene.mirror(mirror, Some(shadow.address())).await;
    let report = report(&scene, 1_000).await;
    assert_eq!(
        (&report["different"], &report["skipped"]),
        (&json!(1), &json!(0)),
        "{report}"
    );
    assert_eq!(report["same"], 999);
    let found = &report["examples"][0]["differences"];
    let expected = json!([{
        "part": "json", "at": "/choices/0/text",
        "primary": "\"text\"", "shadow": "\"other\"",
    }]);
    assert_eq!(found, &expected);
    assert_eq!(report["examples"][0]["request"], "GET /");
    assert_eq!(
        scene.metric("fprs_mirror_compared_total", &[("result", "different")]),
        1
    );
    let p50 = |side: &str| report["whole_ms"][side]["p50"].as_f64().unwrap();
    // No exchange over two sockets takes less.
    assert!(p50("primary") > 0.02 && p50("shadow") > 0.02, "{report}");
}

#[tokio::test]
async fn a_deterministic_pair_shows_no_difference() {
    let requests = size(400, 20_000);
    for script in [
        answer("text/plain", vec![b'x'; 100_000]),
        answer("application/json", r#"{"a":1}"#),
        Script {
            status: 404,
            ..Script::body(Body::Pattern(10_000))
        },
        Script::by_path("/trailers"),
        Script {
            status: 204,
            ..Script::text("")
        },
    ] {
        let (prod, shadow) = (Origin::start(script.clone()), Origin::start(script));
        let scene = Scene::start(prod.address()).await;
        scene
            .mirror(
                comparing(&["content-type", "content-length"], &[]),
                Some(shadow.address()),
            )
            .await;
        let report = report(&scene, requests).await;
        assert_eq!(report["different"], 0, "{report}");
        assert!(report["same"].as_u64().unwrap() > requests / 2, "{report}");
        assert_eq!(scene.held(), 0);
    }
}

#[tokio::test]
async fn event_streams_are_compared_event_by_event() {
    let events = |last: &str| {
        let events = (0..20)
            .map(|number| format!("data: {{\"n\":{number},\"t\":{}}}\n\n", fastrand::u32(..)));
        let body: String = events.chain([format!("data: {last}\n\n")]).collect();
        answer("text/event-stream", body)
    };
    let prod = Origin::with(move |_| events("[DONE]"));
    let asked = AtomicU64::new(0);
    let shadow = Origin::with(move |_| {
        let first = asked.fetch_add(1, Ordering::Relaxed) == 0;
        events(if first { "[STOP]" } else { "[DONE]" })
    });
    let scene = Scene::start(prod.address()).await;
    scene
        .mirror(comparing(&[], &["/t"]), Some(shadow.address()))
        .await;
    let report = report(&scene, 40).await;
    assert_eq!(
        (&report["same"], &report["different"]),
        (&json!(39), &json!(1)),
        "{report}"
    );
    let expected = json!([{
        "part": "event", "at": "20", "primary": "[DONE]", "shadow": "[STOP]",
    }]);
    assert_eq!(report["examples"][0]["differences"], expected);
}

#[tokio::test]
async fn what_fails_on_either_side_is_not_compared() {
    let prod = Origin::by_path();
    let scene = Scene::start(prod.address()).await;
    let shadow = Origin::start(Script::by_path("/die/body?after=1000&how=reset"));
    scene
        .mirror(comparing(&[], &[]), Some(shadow.address()))
        .await;
    let client = scene.client().await;
    assert_eq!(client.get(&host(), "/").await.unwrap().status, 200);
    let dies = client.get(&host(), "/die/body?after=10").await;
    // Cut after its head, or told 502 if that had not gone yet.
    let cut = dies.as_ref().map_or(true, |answer| answer.status == 502);
    assert!(cut, "{dies:?}");
    scene.settled().await;
    let report = scene.report("m").unwrap();
    assert_eq!(
        (&report["compared"], &report["ends"]["failed"]),
        (&json!(0), &json!(2)),
        "{report}"
    );
}
