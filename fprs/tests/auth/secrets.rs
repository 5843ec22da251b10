//! Promise: no secret is in anything the plane writes or shows: its log with everything on, metrics,
//! the control API, the command line, and its data directory, where only hashes are.

use std::path::Path;

use fprs_testkit::client::H1;
use fprs_testkit::plane::Settings;
use fprs_testkit::signer::Signer;
use fprs_testkit::until;

use crate::stage::{HOST, Stage, claims, whole};
use crate::{FPRS, SOON};

/// Given to the plane, not made by it, so that no file has a reason to hold it.
const ADMIN: &str = "planted-admin-token-0123456789";

/// Presented as a secret that it isn't.
const WRONG: &str = "planted-wrong-secret-of-the-pair";

/// In a document that should have only public keys.
const PRIVATE: &str = "cGxhbnRlZC1wcml2YXRlLWtleQ";

/// Everything a plane shows to somebody with the admin token, and its log.
async fn shown(stage: &Stage) -> Vec<(String, String)> {
    let mut shown = Vec::new();
    for path in [
        "/metrics",
        "/readyz",
        "/v1/config",
        "/v1/servers",
        "/v1/servers/web",
        "/v1/workers",
        "/v1/servers/web/replicas?all=true",
        "/v1/servers/web/logs",
        "/v1/tokens",
        "/v1/tenants",
        "/v1/issuers",
        "/v1/nothing",
    ] {
        let mut client = H1::connect(stage.plane.admin()).await.unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: admin\r\nauthorization: Bearer {ADMIN}\r\n\
             connection: close\r\n\r\n"
        );
        let answer = client.exchange(request).await.unwrap();
        shown.push((
            path.to_owned(),
            format!("{:?} {}", answer.headers, answer.text()),
        ));
    }
    for args in [
        &["servers"][..],
        &["server", "web"],
        &["replicas", "web", "--all"],
        &["logs", "web"],
        &["token", "list"],
        &["token", "list", "--json"],
        &["tenant", "list"],
        &["issuer", "list"],
    ] {
        let ran = stage.cli.run(args).await;
        shown.push((args.join(" "), format!("{}{}", ran.stdout, ran.stderr)));
    }
    let log = std::fs::read_to_string(stage.plane.dir().join("log")).unwrap();
    shown.push(("the log".to_owned(), log));
    shown
}

/// Every file below, with its bytes.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if let Ok(bytes) = std::fs::read(&path) {
            found.push((path.display().to_string(), bytes));
        }
    }
    found
}

/// Adds an issuer by a document with a private key, which is refused.
async fn add_private_key(stage: &Stage) {
    let path = stage.plane.dir().join("private.json");
    let key = serde_json::json!({ "kty": "OKP", "crv": "Ed25519", "d": PRIVATE });
    let keys = serde_json::json!({ "keys": [key] });
    std::fs::write(&path, keys.to_string()).unwrap();
    let jwks = path.to_str().unwrap();
    let add = [
        "issuer", "add", "bad", "--iss", "x", "--aud", "y", "--jwks", jwks,
    ];
    let refused = stage.cli.run(&add).await.refused(1);
    assert!(!refused.stderr.contains(PRIVATE), "{}", refused.stderr);
    std::fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn no_secret_is_in_anything_the_plane_writes_or_shows() {
    let settings = Settings::new(FPRS)
        .env("FPRS_LOG", "trace")
        .env("FPRS_ADMIN_TOKEN", ADMIN)
        .env("FPRS_ACCESS_LOG", "-");
    let more = "auth_websocket = [\"subprotocol\", \"query\"]";
    let stage = Stage::set_with(settings, Some(ADMIN), more).await;
    let make = async |args: &[&str]| whole(&stage.cli.run(args).await.succeeded().json());
    let caller = make(&["token", "create", "--json"]).await;
    let deployer = make(&["token", "create", "--role", "deployer", "--json"]).await;
    let ticket = make(&["token", "mint", "--json"]).await;
    let signer = Signer::ed25519("k");
    stage.issuer("idp", &[&signer]).await;
    let jwt = signer.jwt(&claims("idp"));
    let forged = Signer::ed25519("k").jwt(&claims("idp"));
    stage.until_status(&caller, 200).await;
    stage.until_status(&jwt, 200).await;
    stage.until_status(&forged, 401).await;
    let (id, _) = caller.split_once('.').unwrap();
    stage
        .get(HOST, "/pair", &[("fprs-key", id), ("fprs-secret", WRONG)])
        .await;
    let offered = format!("sec-websocket-protocol: fprs.bearer.{caller}\r\n");
    let asked = format!("/socket?fprs_token={ticket}");
    for (path, more) in [(&*asked, ""), ("/socket", &*offered)] {
        assert_ne!(stage.open_socket(HOST, path, more).await, 401);
    }
    add_private_key(&stage).await;
    stage.cli.run(&["token", "revoke", id]).await.succeeded();
    stage.until_status(&caller, 401).await;
    let last = |dotted: &str| dotted.rsplit('.').next().unwrap().to_owned();
    let made = [&caller, &deployer, &ticket, &jwt, &forged].map(|credential| last(credential));
    let mut planted = made.to_vec();
    planted.extend([ADMIN, WRONG, PRIVATE].map(str::to_owned));
    let log = until("the log has what was done last", SOON, async || {
        let all = shown(&stage).await;
        let (_, log) = all.last()?;
        log.contains("revoke").then_some(all.clone())
    })
    .await;
    for (place, text) in &log {
        for secret in &planted {
            assert!(!text.contains(secret.as_str()), "{secret} in {place}");
        }
    }
    for (path, bytes) in files(&stage.plane.data_dir()) {
        for secret in &planted {
            let mut parts = bytes.windows(secret.len());
            assert!(
                !parts.any(|part| part == secret.as_bytes()),
                "{secret} in {path}"
            );
        }
    }
    let audit = std::fs::read_to_string(stage.plane.data_dir().join("audit.jsonl")).unwrap();
    assert!(
        audit.contains(id) && audit.contains("\"revoke\""),
        "{audit}"
    );
}
