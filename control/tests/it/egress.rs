//! Egress pools over the API.

use http::Method;
use serde_json::{Value, json};

use crate::callers::with_tenants;
use crate::plane::Plane;

fn spec(ip: &str, tenant: &str) -> Value {
    json!({
        "static_ips": [ip], "tenant": tenant,
        "gateways": [
            { "name": "g1", "control": "203.0.113.1:8443" },
            { "name": "g2", "control": "203.0.113.2:8443" },
        ],
    })
}

async fn put(plane: &Plane, name: &str, spec: Value) -> (u16, String) {
    let path = format!("/v1/egress/pools/{name}");
    let (status, said) = plane.ask(Method::PUT, &path, &spec.to_string()).await;
    (status.as_u16(), said)
}

#[tokio::test]
async fn pools_are_admins_to_change_and_shown_to_those_who_may_use_them() {
    let (plane, one, two) = with_tenants().await;
    for (name, ip, tenant) in [
        ("shared", "203.0.113.101", ""),
        ("ones", "203.0.113.102", "one"),
    ] {
        let (status, said) = put(&plane, name, spec(ip, tenant)).await;
        assert_eq!(status, 200, "{said}");
    }
    let list = async |token: &str| {
        let path = "/v1/egress/pools";
        let (_, pools) = plane.say(token, Method::GET, path, json!({})).await;
        let names = pools.as_array().unwrap().iter();
        let names: Vec<String> = names
            .map(|pool| pool["name"].as_str().unwrap().to_owned())
            .collect();
        names.join(" ")
    };
    assert_eq!(list(&one).await, "ones shared");
    assert_eq!(list(&two).await, "shared");
    for (method, path) in [
        (Method::PUT, "/v1/egress/pools/shared"),
        (Method::DELETE, "/v1/egress/pools/shared"),
        (Method::POST, "/v1/egress/pools/shared/gateways/g1/drain"),
    ] {
        let body = spec("203.0.113.103", "");
        let (status, said) = plane.say(&one, method, path, body).await;
        assert_eq!(status, 403, "{path}: {said}");
    }
    let deploy = async |token: &str, pool: &str| {
        let manifest = json!({
            "name": "web", "command": ["serve"], "auth": "public", "egress": pool,
        });
        let path = "/v1/servers/web";
        plane.say(token, Method::PUT, path, manifest).await.0
    };
    assert_eq!(deploy(&two, "ones").await, 422);
    assert_eq!(deploy(&one, "ones").await, 200);
    let path = "/v1/egress/pools/ones";
    let (status, said) = plane.ask(Method::DELETE, path, "").await;
    assert_eq!(status.as_u16(), 409, "{said}");
    assert!(said.contains("`web`"), "{said}");
    assert_eq!(deploy(&one, "").await, 200);
    let (status, said) = plane.ask(Method::DELETE, path, "").await;
    assert_eq!(status.as_u16(), 200, "{said}");
}

#[tokio::test]
async fn a_pool_that_can_not_be_is_refused_with_what_is_wrong() {
    let plane = Plane::start().await;
    assert_eq!(put(&plane, "a", spec("203.0.113.101", "")).await.0, 200);
    let with = |key: &str, value: Value| {
        let mut spec = spec("203.0.113.102", "");
        spec[key] = value;
        spec
    };
    let elsewhere = json!([{ "name": "g1", "control": "203.0.113.9:8443" }]);
    for (spec, status, word) in [
        (spec("203.0.113.101", ""), 409, "`a`"),
        (with("gateways", elsewhere), 409, "`g1`"),
        (spec("127.0.0.1", ""), 422, "127.0.0.1"),
        (with("static_ips", json!([])), 422, "static_ips"),
        (with("static_ips", json!(["fd00::1"])), 422, "IPv4"),
        (with("gateways", json!([])), 422, "gateways"),
        (with("provider", json!("gcp")), 422, "gcp"),
        (with("policy", json!("prefer-available")), 422, "strict"),
        (with("megabits", json!(0)), 422, "megabits"),
        (with("shape", json!(1)), 422, "shape"),
    ] {
        let (answered, said) = put(&plane, "b", spec).await;
        assert_eq!(answered, status, "{said}");
        assert!(said.contains(word), "{word}: {said}");
    }
    let mut two = with("policy", json!("prefer-available"));
    two["static_ips"] = json!(["203.0.113.103", "203.0.113.104"]);
    let (status, said) = put(&plane, "two", two).await;
    assert_eq!(status, 200, "{said}");
    assert!(said.contains("\"policy\":\"prefer-available\""), "{said}");
    let drain = "/v1/egress/pools/a/gateways/g2/drain";
    let (status, said) = plane.ask(Method::POST, drain, "").await;
    assert_eq!(status.as_u16(), 200, "{said}");
    // An edit does not bring a drained gateway back.
    let (_, said) = put(&plane, "a", spec("203.0.113.101", "")).await;
    let pool: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(pool["gateways"][1]["draining"], true, "{said}");
    let unknown = "/v1/egress/pools/a/gateways/g3/drain";
    assert_eq!(plane.ask(Method::POST, unknown, "").await.0.as_u16(), 404);
}
