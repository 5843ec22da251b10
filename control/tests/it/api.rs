use bytes::Bytes;
use fprs_config::{Change, Key, ReplicaState};
use fprs_proto::worker::Phase;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::plane::{DEADLINE, Plane, requested};
use crate::relay::Relay;

fn problem(text: &str) -> Value {
    let problem: Value = serde_json::from_str(text).unwrap();
    for field in ["title", "status", "detail", "remedy"] {
        assert!(!problem[field].is_null(), "no {field}: {text}");
    }
    problem
}

#[tokio::test]
async fn every_route_but_the_probes_and_the_empty_page_wants_the_token() {
    let plane = Plane::start().await;
    for path in [
        "/v1/servers",
        "/v1/servers/a",
        "/v1/servers/a/replicas",
        "/v1/servers/a/logs",
        "/v1/workers",
        "/v1/config",
        "/v1/autoscaler/a",
        "/v1/nothing",
        "/v1/status",
        "/nothing",
    ] {
        for token in [None, Some("a-test-tokem"), Some("")] {
            let (status, text) = plane.ask_as(token, Method::GET, path, "").await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{path}");
            problem(&text);
        }
    }
    let page = ["/", "/status.css", "/status.js"];
    for path in [["/livez", "/readyz", "/metrics"], page].concat() {
        let (status, _) = plane.ask_as(None, Method::GET, path, "").await;
        assert_eq!(status, StatusCode::OK, "{path}");
    }
    let (_, metrics) = plane.ask_as(None, Method::GET, "/metrics", "").await;
    assert!(
        metrics.contains("fprs_control_workers_attached 0"),
        "{metrics}"
    );
    let (_, added) = plane.ask(Method::GET, "/v1/autoscaler/a", "").await;
    assert_eq!(added, "what the binary adds");
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let plane = Plane::start().await;
    let (status, text) = plane.ask(Method::GET, "/v1/nothing", "").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(
        problem(&text)["detail"]
            .as_str()
            .unwrap()
            .contains("/v1/nothing")
    );
    let (status, text) = plane.ask(Method::POST, "/v1/servers", "").await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    problem(&text);
    for path in [
        "/v1/servers/a",
        "/v1/servers/a/replicas",
        "/v1/servers/a/logs",
    ] {
        let (status, text) = plane.ask(Method::GET, path, "").await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(problem(&text)["detail"], "there is no server `a`");
    }
}

#[tokio::test]
async fn a_deploy_answers_with_the_server_and_everybody_sees_it() {
    let plane = Plane::start().await;
    let more = json!({ "max_replicas": 2, "hold": "1500ms", "domains": ["a.example.com"] });
    let (status, server) = plane.deploy("hello", more).await;
    assert_eq!(status, StatusCode::OK, "{server}");
    assert_eq!(server["url"], "http://hello.region.localhost:8080/");
    assert_eq!(server["generation"], 1);
    assert_eq!(server["proven"], false);
    assert_eq!(server["revision"], plane.view.load().revision().0);
    assert_eq!(server["spec"]["max_replicas"], 2);
    assert_eq!(server["spec"]["hold"], "1s 500ms");
    assert_eq!(server["domains"], json!(["a.example.com"]));
    assert_eq!(server["problem"], Value::Null);
    assert_eq!(plane.json("/v1/servers").await, json!([server]));
    assert_eq!(plane.json("/v1/servers/hello").await, server);
}

#[tokio::test]
async fn a_deleted_server_is_gone_with_its_domains() {
    let plane = Plane::start().await;
    plane
        .deploy("hello", json!({ "domains": ["a.example.com"] }))
        .await;
    let (status, _) = plane.ask(Method::DELETE, "/v1/servers/hello", "").await;
    assert_eq!(status, StatusCode::OK);
    assert!(plane.view.load().is_empty());
    let (status, text) = plane.ask(Method::DELETE, "/v1/servers/hello", "").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    problem(&text);
}

#[tokio::test]
async fn a_host_name_of_another_server_is_a_conflict_that_names_it() {
    let plane = Plane::start().await;
    plane
        .deploy("first", json!({ "domains": ["a.example.com"] }))
        .await;
    let (status, answer) = plane
        .deploy("second", json!({ "domains": ["a.example.com"] }))
        .await;
    assert_eq!(status, StatusCode::CONFLICT);
    let detail = answer["detail"].as_str().unwrap();
    assert!(
        detail.contains("`a.example.com`") && detail.contains("`first`"),
        "{detail}"
    );
    assert!(plane.view.load().server("second").is_none());
}

#[tokio::test]
async fn a_manifest_that_can_not_be_used_is_refused_by_name() {
    let plane = Plane::start().await;
    let manifest = |more: Value| {
        let mut manifest = json!({ "name": "hello", "command": ["x"], "auth": "public" });
        manifest
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        manifest.to_string()
    };
    let unprocessable = StatusCode::UNPROCESSABLE_ENTITY;
    for (body, status, word) in [
        ("{".to_owned(), StatusCode::BAD_REQUEST, "EOF"),
        (String::new(), StatusCode::BAD_REQUEST, "EOF"),
        ("[]".to_owned(), unprocessable, "missing"),
        (
            manifest(json!({ "max_replica": 1 })),
            unprocessable,
            "max_replica",
        ),
        (
            manifest(json!({ "max_replicas": 0 })),
            unprocessable,
            "max_replicas",
        ),
        (manifest(json!({ "hold": "soon" })), unprocessable, "hold"),
        (manifest(json!({ "auth": "open" })), unprocessable, "auth"),
        (
            manifest(json!({ "name": "other" })),
            unprocessable,
            "`other`",
        ),
        (
            manifest(json!({ "domains": ["x.region.localhost"] })),
            unprocessable,
            "zone",
        ),
        (
            manifest(json!({ "egress": "pool" })),
            unprocessable,
            "egress",
        ),
        (
            "x".repeat(300_000),
            StatusCode::PAYLOAD_TOO_LARGE,
            "not read",
        ),
    ] {
        let (answered, text) = plane.ask(Method::PUT, "/v1/servers/hello", &body).await;
        let start = body.get(..80).unwrap_or(&body);
        assert_eq!(answered, status, "{start}: {text}");
        assert!(text.contains(word), "{start}: {text}");
    }
    assert!(plane.view.load().is_empty());
}

#[tokio::test]
async fn deploys_of_one_server_at_the_same_time_all_happen_one_after_the_other() {
    let plane = Plane::start().await;
    let deploys = (0..8).map(|n| plane.deploy("hello", json!({ "env": { "N": n.to_string() } })));
    for (status, answer) in futures_util::future::join_all(deploys).await {
        assert_eq!(status, StatusCode::OK, "{answer}");
    }
    assert_eq!(plane.json("/v1/servers/hello").await["generation"], 8);
}

#[tokio::test]
async fn replicas_are_shown_in_the_states_users_know_with_the_relays_count() {
    let plane = Plane::start().await;
    plane.deploy("hello", json!({})).await;
    let mut relay = Relay::attach(plane.address, "w1").await;
    plane.request("r1", "hello").await;
    relay.start().await;
    relay.update("r1", Phase::Ready).await;
    relay.beat("r1", 3).await;
    plane.until_state("r1", ReplicaState::Ready).await;
    plane.request("r2", "hello").await;
    relay.start().await;
    relay
        .fail("r2", "exited with status 1 before listening on $PORT")
        .await;
    plane.until_state("r2", ReplicaState::Failed).await;

    let shown = plane.json("/v1/servers/hello/replicas").await;
    assert_eq!(shown.as_array().unwrap().len(), 1);
    assert_eq!(shown[0]["id"], "r1");
    assert_eq!(shown[0]["state"], "ready");
    assert_eq!(shown[0]["in_flight"], 3);
    assert_eq!(shown[0]["address"], "127.0.0.1:9000");
    assert_eq!(shown[0]["worker"], "w1");
    let all = plane.json("/v1/servers/hello/replicas?all=true").await;
    assert_eq!(all[1]["state"], "failed");
    assert_eq!(
        all[1]["reason"],
        "exited with status 1 before listening on $PORT"
    );
    let (status, text) = plane
        .ask(Method::GET, "/v1/servers/hello/replicas?al=1", "")
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    problem(&text);

    let workers = plane.json("/v1/workers").await;
    assert_eq!(workers[0]["id"], "w1");
    assert_eq!(workers[0]["replicas"], 1);
    assert_eq!(workers[0]["attached"], true);
}

#[tokio::test]
async fn a_version_that_never_becomes_ready_is_a_problem_line_and_the_one_before_serves() {
    let plane = Plane::start().await;
    plane.deploy("hello", json!({})).await;
    let mut relay = Relay::attach(plane.address, "w1").await;
    plane.request("old", "hello").await;
    relay.start().await;
    relay.update("old", Phase::Ready).await;
    plane.until_state("old", ReplicaState::Ready).await;
    let (_, deployed) = plane.deploy("hello", json!({ "h2": true })).await;
    assert_eq!(deployed["generation"], 2);
    assert_eq!(deployed["fallback_generation"], 1);
    let mut new = requested("new", "hello");
    new.generation = 2;
    plane.write(&[new]).await;
    assert_eq!(relay.start().await.version.unwrap().generation, 2);
    relay
        .fail("new", "exited with status 1 before listening on $PORT")
        .await;
    plane.until_state("new", ReplicaState::Failed).await;
    let shown = plane.json("/v1/servers/hello").await;
    assert_eq!(
        shown["problem"],
        "version 2 is not becoming ready: exited with status 1 before listening on $PORT \
         (1 attempt); version 1 keeps serving"
    );
    assert_eq!(shown["replicas"]["ready"], 1);
    assert_eq!(shown["replicas"]["failed"], 1);
}

#[tokio::test]
async fn what_the_process_runs_by_is_shown_with_what_it_refused() {
    let plane = Plane::start().await;
    let of_a_later_build = Change {
        key: Key {
            kind: "later".into(),
            name: "x".into(),
        },
        value: Some(Bytes::from_static(b"x")),
    };
    let revision = plane
        .store
        .commit(vec![of_a_later_build], Vec::new())
        .await
        .unwrap();
    plane
        .until("applied", |snapshot| snapshot.revision() >= revision)
        .await;
    let shown = async {
        loop {
            // The status follows the snapshot by a moment.
            let shown = plane.json("/v1/config").await;
            if shown["revision"] == revision.0 {
                break shown;
            }
        }
    };
    let shown = tokio::time::timeout(DEADLINE, shown).await.unwrap();
    assert_eq!(shown["source"], "store");
    assert_eq!(shown["refused"][0]["key"], "later/x");
    assert_eq!(
        shown["refused"][0]["reason"],
        "this build knows no kind `later`"
    );
    assert!(shown["age_seconds"].as_f64().unwrap() < 60.0);
}
