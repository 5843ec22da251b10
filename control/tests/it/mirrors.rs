//! Mirrors over the API.

use http::Method;
use serde_json::{Value, json};

use crate::callers::with_tenants;
use crate::plane::Plane;

/// Two tenants' deployers, with servers of theirs.
async fn with_servers() -> (Plane, String, String) {
    let (plane, one, two) = with_tenants().await;
    for (token, server) in [(&one, "prod"), (&one, "next"), (&two, "other")] {
        let manifest = json!({ "name": server, "command": ["serve"], "auth": "public" });
        let path = format!("/v1/servers/{server}");
        let (status, said) = plane.say(token, Method::PUT, &path, manifest).await;
        assert_eq!(status, 200, "{said}");
    }
    (plane, one, two)
}

async fn put(plane: &Plane, token: &str, name: &str, spec: Value) -> (u16, Value) {
    let path = format!("/v1/mirrors/{name}");
    plane.say(token, Method::PUT, &path, spec).await
}

#[tokio::test]
async fn a_deployer_mirrors_its_own_tenants_servers_to_its_own_only() {
    let (plane, one, two) = with_servers().await;
    let spec = |server: &str, shadow: &str| json!({ "server": server, "shadow": shadow });
    let status = async |token: &str, name: &str, spec| put(&plane, token, name, spec).await.0;
    assert_eq!(status(&one, "m", spec("prod", "next")).await, 200);
    assert_eq!(status(&one, "n", spec("prod", "other")).await, 404);
    assert_eq!(status(&one, "n", spec("prod", "none")).await, 404);
    assert_eq!(status(&two, "n", spec("prod", "other")).await, 404);
    assert_eq!(status(&two, "m", spec("other", "other")).await, 422);
    let baseline = json!({ "server": "other", "shadow": "other", "compare": {} });
    assert_eq!(status(&two, "baseline", baseline).await, 200);
    assert_eq!(status(&two, "n", spec("other", "next")).await, 404);
    let taken = spec("other", "other2");
    assert_eq!(status(&two, "m", taken).await, 409, "the name is taken");
    let path = "/v1/mirrors/m";
    for (method, path) in [
        (Method::DELETE, path.to_owned()),
        (Method::POST, format!("{path}/pause")),
        (Method::POST, format!("{path}/resume")),
    ] {
        let (status, _) = plane.say(&two, method, &path, json!({})).await;
        assert_eq!(status, 404, "{path}");
    }
    let (_, seen) = plane.say(&two, Method::GET, "/v1/mirrors", json!({})).await;
    assert_eq!(seen.as_array().unwrap().len(), 1, "{seen}");
    assert_eq!(seen[0]["name"], "baseline");
    // Nor does the plane's own token carry requests from one tenant to another.
    let across = spec("prod", "other").to_string();
    let (status, said) = plane.ask(Method::PUT, "/v1/mirrors/n", &across).await;
    assert_eq!(status.as_u16(), 422, "{said}");
}

#[tokio::test]
async fn a_mirror_is_written_paused_edited_resumed_and_removed() {
    let (plane, one, _) = with_servers().await;
    let spec = |percent: f64| {
        json!({
            "server": "prod", "shadow": "next", "percent": percent, "key": "header:X-User",
            "compare": { "headers": ["Content-Type"], "ignore": ["/id"] },
        })
    };
    let (status, made) = put(&plane, &one, "m", spec(2.5)).await;
    assert_eq!(status, 200, "{made}");
    let expected = json!({
        "name": "m", "server": "prod", "shadow": "next", "percent": 2.5, "key": "header:x-user",
        "paused": false, "exchange_bytes": 1 << 20, "copies": 100, "deadline_ms": 60_000,
        "compare": { "headers": ["content-type"], "ignore": ["/id"] },
        "not_copied": { "websockets": fprs_config::record::NO_WEBSOCKETS },
    });
    assert_eq!(made, expected);
    let order = async |order: &str| {
        let path = format!("/v1/mirrors/m/{order}");
        plane.say(&one, Method::POST, &path, json!({})).await.1["paused"].clone()
    };
    assert_eq!(order("pause").await, true);
    let (_, edited) = put(&plane, &one, "m", spec(10.0)).await;
    assert_eq!(
        (&edited["percent"], &edited["paused"]),
        (&json!(10.0), &json!(true))
    );
    assert_eq!(order("resume").await, false);
    for wrong in [0.0, 0.001, 100.01, -1.0] {
        assert_eq!(
            put(&plane, &one, "m", spec(wrong)).await.0,
            422,
            "{wrong} %"
        );
    }
    let (status, _) = plane
        .say(&one, Method::DELETE, "/v1/mirrors/m", json!({}))
        .await;
    assert_eq!(status, 200);
    assert_eq!(plane.json("/v1/mirrors").await, json!([]));
}

#[tokio::test]
async fn a_split_is_written_paused_and_removed_and_is_no_mirror() {
    let (plane, one, two) = with_servers().await;
    let put = async |token: &str, name: &str, spec: Value| {
        let path = format!("/v1/splits/{name}");
        plane.say(token, Method::PUT, &path, spec).await
    };
    let spec = |variant: &str, salt: &str| {
        json!({
            "server": "prod", "variant": variant, "percent": 10, "key": "header:X-User",
            "salt": salt,
        })
    };
    let (status, made) = put(&one, "s", spec("next", "")).await;
    assert_eq!(status, 200, "{made}");
    let expected = json!({
        "name": "s", "server": "prod", "variant": "next", "percent": 10.0,
        "key": "header:x-user", "paused": false,
    });
    assert_eq!(made, expected);
    assert_eq!(put(&one, "o", spec("other", "")).await.0, 404);
    assert_eq!(put(&two, "t", spec("next", "")).await.0, 404);
    assert_eq!(put(&one, "p", spec("prod", "")).await.0, 422);
    let (status, same) = put(&one, "same", spec("next", "")).await;
    assert_eq!(status, 422, "{same}");
    assert_eq!(put(&one, "salted", spec("next", "pepper")).await.0, 200);
    let mirror = json!({ "server": "prod", "shadow": "next" });
    let taken = plane.say(&one, Method::PUT, "/v1/mirrors/s", mirror).await;
    assert_eq!(taken.0, 409, "{}", taken.1);
    assert_eq!(plane.json("/v1/mirrors").await, json!([]));
    let order = async |token: &str, method: Method, path: &str| {
        plane.say(token, method, path, json!({})).await
    };
    assert_eq!(
        order(&one, Method::POST, "/v1/mirrors/s/pause").await.0,
        404
    );
    assert_eq!(order(&two, Method::POST, "/v1/splits/s/pause").await.0, 404);
    let (_, paused) = order(&one, Method::POST, "/v1/splits/s/pause").await;
    assert_eq!(paused["paused"], true);
    let (_, goes_on) = order(&one, Method::POST, "/v1/splits/s/resume").await;
    assert_eq!(goes_on["paused"], false);
    for name in ["s", "salted"] {
        let path = format!("/v1/splits/{name}");
        assert_eq!(order(&one, Method::DELETE, &path).await.0, 200);
    }
    assert_eq!(plane.json("/v1/splits").await, json!([]));
}

#[tokio::test]
async fn the_mirrors_of_a_server_go_with_it() {
    let (plane, one, _) = with_servers().await;
    let spec = json!({ "server": "prod", "shadow": "next" });
    assert_eq!(put(&plane, &one, "m", spec).await.0, 200);
    let (status, _) = plane
        .say(&one, Method::DELETE, "/v1/servers/prod", json!({}))
        .await;
    assert_eq!(status, 200);
    assert_eq!(plane.json("/v1/mirrors").await, json!([]));
}

#[tokio::test]
async fn a_report_is_for_those_who_see_the_mirrored_server() {
    let (plane, one, two) = with_servers().await;
    let spec = json!({ "server": "prod", "shadow": "next" });
    for name in ["m", "unseen"] {
        assert_eq!(put(&plane, &one, name, spec.clone()).await.0, 200);
    }
    let report = async |token: &str, name: &str| {
        let path = format!("/v1/mirrors/{name}/report");
        plane.say(token, Method::GET, &path, json!({})).await.0
    };
    assert_eq!(report(&one, "m").await, 200);
    assert_eq!(report(&one, "unseen").await, 404);
    assert_eq!(report(&one, "none").await, 404);
    assert_eq!(report(&two, "m").await, 404);
}
