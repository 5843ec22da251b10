//! Tokens, tenants and issuers over the API.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::plane::Plane;

impl Plane {
    /// One request as the holder of that token; the answer's status and JSON.
    pub(crate) async fn say(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Value,
    ) -> (u16, Value) {
        let (status, text) = self
            .ask_as(Some(token), method, path, &body.to_string())
            .await;
        (status.as_u16(), serde_json::from_str(&text).unwrap())
    }

    /// Makes a token and returns it whole.
    async fn made(&self, wish: Value) -> String {
        let (status, text) = self
            .ask(Method::POST, "/v1/tokens", &wish.to_string())
            .await;
        assert_eq!(status, StatusCode::CREATED, "{text}");
        let made: Value = serde_json::from_str(&text).unwrap();
        let (id, secret) = (&made["id"], &made["secret"]);
        let whole = format!("{}.{}", id.as_str().unwrap(), secret.as_str().unwrap());
        assert_eq!(made["token"], whole.as_str());
        whole
    }
}

fn issuer(tenant: &str, aud: &str) -> Value {
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    json!({
        "tenant": tenant, "iss": "https://idp", "aud": aud,
        "jwks": { "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "k", "x": x }] },
    })
}

pub(crate) async fn with_tenants() -> (Plane, String, String) {
    let plane = Plane::start().await;
    for name in ["one", "two"] {
        let path = format!("/v1/tenants/{name}");
        let (status, text) = plane.ask(Method::PUT, &path, "{}").await;
        assert_eq!(status, StatusCode::OK, "{text}");
    }
    let deployer = async |tenant: &str| {
        let wish = json!({ "role": "deployer", "tenant": tenant });
        plane.made(wish).await
    };
    let (one, two) = (deployer("one").await, deployer("two").await);
    (plane, one, two)
}

#[tokio::test]
async fn nobody_can_speak_for_another_tenants_issuer() {
    let (plane, one, two) = with_tenants().await;
    let put = async |token: &str, name: &str, spec: Value| {
        plane
            .say(token, Method::PUT, &format!("/v1/issuers/{name}"), spec)
            .await
            .0
    };
    assert_eq!(put(&one, "idp", issuer("one", "a")).await, 200);
    assert_eq!(
        put(&two, "idp", issuer("two", "b")).await,
        409,
        "the name is taken"
    );
    assert_eq!(
        put(&two, "other", issuer("two", "a")).await,
        409,
        "so is what it says"
    );
    assert_eq!(put(&two, "other", issuer("one", "b")).await, 403);
    assert_eq!(put(&two, "other", issuer("two", "b")).await, 200);
    assert_eq!(
        put(&one, "idp", issuer("one", "c")).await,
        200,
        "one's own is edited"
    );
    let names = async |token: &str| {
        let (_, issuers) = plane
            .say(token, Method::GET, "/v1/issuers", Value::Null)
            .await;
        let issuers = issuers.as_array().unwrap().clone();
        issuers
            .iter()
            .map(|issuer| issuer["name"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&one).await, ["idp"]);
    assert_eq!(names(&two).await, ["other"]);
    let delete = async |token: &str| {
        plane
            .say(token, Method::DELETE, "/v1/issuers/idp", Value::Null)
            .await
            .0
    };
    assert_eq!(delete(&two).await, 404);
    assert_eq!(delete(&one).await, 200);
}

#[tokio::test]
async fn a_token_of_another_tenant_is_as_if_it_did_not_exist() {
    let (plane, one, two) = with_tenants().await;
    let id = one.split_once('.').unwrap().0;
    let path = format!("/v1/tokens/{id}");
    let rotate = format!("{path}/rotate");
    assert_eq!(
        plane.say(&two, Method::DELETE, &path, Value::Null).await.0,
        404
    );
    assert_eq!(
        plane.say(&two, Method::POST, &rotate, json!({})).await.0,
        404
    );
    // A deployer's token is not for deployers to change, their own neither.
    assert_eq!(
        plane.say(&one, Method::POST, &rotate, json!({})).await.0,
        403
    );
    let (_, tokens) = plane
        .say(&two, Method::GET, "/v1/tokens", Value::Null)
        .await;
    assert_eq!(tokens.as_array().unwrap().len(), 1);
    let (status, _) = plane.ask(Method::DELETE, &path, "").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        plane
            .say(&one, Method::GET, "/v1/tokens", Value::Null)
            .await
            .0,
        401
    );
}

#[tokio::test]
async fn what_a_token_can_not_be_is_refused_by_name() {
    let (plane, one, _) = with_tenants().await;
    for (token, wish, status, word) in [
        (&*one, json!({ "role": "king" }), 422, "`king`"),
        (&one, json!({ "rolle": "caller" }), 422, "`rolle`"),
        (&one, json!({ "server": "A B" }), 422, "`server`"),
        (&one, json!({ "ttl_ms": 0 }), 422, "`expires`"),
        (&one, json!({ "role": "admin" }), 403, "may not"),
        (
            &one,
            json!({ "role": "viewer", "tenant": "one" }),
            403,
            "may not",
        ),
        (&one, json!({ "tenant": "two" }), 403, "may not"),
        (
            "a-test-token",
            json!({ "tenant": "nobody" }),
            422,
            "`nobody`",
        ),
        (
            "a-test-token",
            json!({ "role": "worker", "tenant": "one" }),
            422,
            "`tenant`",
        ),
        (
            "a-test-token",
            json!({ "role": "ticket" }),
            422,
            "`expires`",
        ),
    ] {
        let (said, problem) = plane
            .say(token, Method::POST, "/v1/tokens", wish.clone())
            .await;
        assert_eq!(said, status, "{wish}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(word), "{wish}: {detail}");
    }
    let (_, text) = plane.ask(Method::GET, "/v1/tokens", "").await;
    assert!(!text.contains("secret\""), "{text}");
}

#[tokio::test]
async fn tickets_that_have_ended_go_with_the_making_of_others() {
    let plane = Plane::start().await;
    let mint = async |ttl_ms: u64| {
        let wish = json!({ "ttl_ms": ttl_ms }).to_string();
        let (status, text) = plane.ask(Method::POST, "/v1/tickets", &wish).await;
        assert_eq!(status, StatusCode::CREATED, "{text}");
    };
    for _ in 0..5 {
        mint(1).await;
    }
    let (_, list) = plane.ask(Method::GET, "/v1/tokens", "").await;
    assert_eq!(list, "[]", "tickets are not listed");
    let deadline = tokio::time::Instant::now() + crate::plane::DEADLINE;
    loop {
        mint(60_000).await;
        let snapshot = plane.view.load();
        if snapshot.tokens().all(|ticket| !ticket.is_expired(now())) {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "ended tickets stay");
    }
}

fn now() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    u64::try_from(since.as_millis()).unwrap()
}
