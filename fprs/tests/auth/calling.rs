//! Promise: only callers with good credentials reach a protected server; its program is told who they
//! are, and never sees the credentials.

use fprs_testkit::signer::Signer;
use fprs_testkit::until;

use crate::SOON;
use crate::stage::{HOST, Stage, claims, reason, whole};

#[tokio::test]
async fn a_program_is_told_who_calls_and_sees_no_credentials() {
    let stage = Stage::set("").await;
    let token = stage.token(&[]).await;
    let (id, secret) = (
        token["id"].as_str().unwrap(),
        token["secret"].as_str().unwrap(),
    );
    let bearer = format!("bearer {id}.{secret}");
    let spoofed = [("x-fprs-tenant", "root"), ("x-fprs-token-id", "root")];
    let by_bearer = [&[("authorization", &*bearer)][..], &spoofed].concat();
    let by_pair = [
        &[
            ("fprs-key", id),
            ("fprs-secret", secret),
            ("authorization", "Bearer own"),
        ][..],
        &spoofed,
    ]
    .concat();
    until("the proxy has heard of the token", SOON, async || {
        (stage.get(HOST, "/first", &by_bearer).await.status == 200).then_some(())
    })
    .await;
    for (path, fields, own) in [("/bearer", by_bearer, false), ("/pair", by_pair, true)] {
        assert_eq!(stage.get(HOST, path, &fields).await.status, 200);
        let seen = stage.seen(path).await;
        assert!(seen.contains("x-fprs-tenant: default"), "{seen}");
        assert!(seen.contains(&format!("x-fprs-token-id: {id}")), "{seen}");
        assert_eq!(seen.contains("authorization: bearer own"), own, "{seen}");
        for gone in [&secret.to_lowercase(), "fprs-key", "fprs-secret", "root"] {
            assert!(!seen.contains(gone), "{gone} in {seen}");
        }
    }
}

#[tokio::test]
async fn without_good_credentials_a_request_ends_at_the_proxy() {
    let stage = Stage::set("").await;
    stage
        .cli
        .run(&["tenant", "create", "acme"])
        .await
        .succeeded();
    let own = stage.caller().await;
    let others = whole(&stage.token(&["--tenant", "acme"]).await);
    let of_another = whole(&stage.token(&["--server", "other"]).await);
    stage.until_status(&own, 200).await;
    let before = stage.requests();
    for (credential, answer) in [
        (&*others, (403, "forbidden")),
        (&of_another, (403, "forbidden")),
        ("tk-0.wrong", (401, "unauthenticated")),
        (&own[..own.len() - 1], (401, "unauthenticated")),
    ] {
        let said = stage.call(credential).await;
        assert_eq!(reason(&said), (answer.0, Some(answer.1.to_owned())));
    }
    let bare = stage.get(HOST, "/", &[]).await;
    assert_eq!(reason(&bare), (401, Some("unauthenticated".to_owned())));
    assert_eq!(
        bare.header("www-authenticate"),
        Some("Bearer realm=\"fprs\"")
    );
    assert_eq!(stage.requests(), before);
    let unknown = format!("Bearer {own}");
    let unknown = stage
        .get(
            "nobody.region.localhost",
            "/",
            &[("authorization", &unknown)],
        )
        .await;
    assert_eq!(reason(&unknown), (503, Some("no_replica".to_owned())));
}

#[tokio::test]
async fn a_token_is_rotated_without_a_gap_and_expires() {
    let stage = Stage::set("").await;
    let token = stage.token(&[]).await;
    let (id, old) = (token["id"].as_str().unwrap(), whole(&token));
    stage.until_status(&old, 200).await;
    let rotate = ["token", "rotate", id, "--json"];
    let new = whole(&stage.cli.run(&rotate).await.succeeded().json());
    stage.until_status(&new, 200).await;
    assert_eq!(stage.call(&old).await.status, 200);
    stage
        .cli
        .run(&["token", "rotate", id, "--finish"])
        .await
        .succeeded();
    stage.until_status(&old, 401).await;
    assert_eq!(stage.call(&new).await.status, 200);
    let short = whole(&stage.token(&["--ttl", "2s"]).await);
    stage.until_status(&short, 200).await;
    stage.until_status(&short, 401).await;
}

#[tokio::test]
async fn jwts_are_believed_as_long_as_their_issuer_is() {
    let stage = Stage::set("").await;
    let signers = [Signer::ed25519("a"), Signer::p256("b"), Signer::rsa("c")];
    stage.issuer("idp", &signers.each_ref()).await;
    for signer in &signers {
        let jwt = signer.jwt(&claims("idp"));
        stage.until_status(&jwt, 200).await;
    }
    let bearer = format!("Bearer {}", signers[0].jwt(&claims("idp")));
    let fields = [("authorization", &*bearer)];
    assert_eq!(stage.get(HOST, "/jwt", &fields).await.status, 200);
    let seen = stage.seen("/jwt").await;
    assert!(seen.contains("x-fprs-token-id: idp/alice"), "{seen}");
    assert!(!seen.contains("authorization"), "{seen}");
    let old = signers[0].jwt(&claims("idp"));
    stage.issuer("idp", &[&signers[1]]).await;
    stage.until_status(&old, 401).await;
    let jwt = signers[1].jwt(&claims("idp"));
    assert_eq!(stage.call(&jwt).await.status, 200);
    stage
        .cli
        .run(&["issuer", "remove", "idp"])
        .await
        .succeeded();
    stage.until_status(&jwt, 401).await;
}
