//! Callers of a protected server, over the wire.

use fprs_config::{Auth, Server};
use fprs_testkit::client::get;
use http::HeaderMap;

use super::*;
use crate::proxy::auth::tests::hostile;

/// A proxy whose protected server `s` has a replica at that relay; each request comes from an address
/// of its own.
async fn protected(relay: &Relay, more: Vec<fprs_config::Change>) -> Scene {
    let server = Server {
        auth: Auth::Required,
        tenant: "acme".into(),
        ..samples::server("s")
    };
    let replica = fprs_config::Replica {
        address: Some(relay.address),
        ..samples::replica("r", "s", ReplicaState::Ready)
    };
    let mut changes = vec![
        Record::Server(server).change(),
        Record::Replica(replica).change(),
    ];
    changes.extend(more);
    Scene::of(changes, &["127.0.0.0/8"]).await
}

async fn ask(
    scene: &Scene,
    number: u16,
    credentials: &HeaderMap,
) -> fprs_testkit::client::Response {
    let mut request = get(&format!("s.{ZONE}"), "/");
    let fields = request.headers_mut();
    for (name, value) in credentials {
        fields.append(name, value.clone());
    }
    let [a, b] = number.to_be_bytes();
    fields.insert("x-forwarded-for", format!("10.0.{a}.{b}").parse().unwrap());
    let stream = scene.client.open(request, true).await.unwrap();
    stream.response().await.unwrap()
}

#[tokio::test]
async fn every_hostile_credential_is_answered_401_in_the_same_words() {
    let (records, table) = hostile::table();
    let relay = Relay::start(Does::Echoes(StatusCode::OK)).await;
    let scene = protected(&relay, records).await;
    let bare = ask(&scene, 0, &HeaderMap::new()).await;
    let answer = (bare.status, bare.header("x-fprs-reason").map(str::to_owned));
    assert_eq!(answer, (401, Some("unauthenticated".to_owned())));
    let mut sent = 0;
    for (number, (name, credentials)) in (1..).zip(table) {
        // What is larger than a head may be never gets so far.
        if credentials.values().map(HeaderValue::len).sum::<usize>() > 100_000 {
            continue;
        }
        let said = ask(&scene, number, &credentials).await;
        sent += 1;
        // HTTP/2 has no such field (RFC 9113 §8.2.1).
        if credentials
            .values()
            .any(|value| value.as_bytes().ends_with(b" "))
        {
            assert_eq!(
                (said.status, said.header("x-fprs-reason")),
                (400, Some("bad_request"))
            );
            continue;
        }
        let words = (said.status, &said.headers, &said.body);
        assert_eq!(words, (bare.status, &bare.headers, &bare.body), "{name}");
    }
    assert!(sent >= 100, "{sent}");
    assert_eq!(relay.requests(), 0);
    assert_eq!(ask(&scene, u16::MAX, &hostile::good()).await.status, 200);
    assert_eq!(relay.requests(), 1);
    scene.settled().await;
}

#[tokio::test]
async fn a_source_of_too_many_wrong_credentials_is_told_when_to_come_back() {
    let (records, _) = hostile::table();
    let relay = Relay::start(Does::Echoes(StatusCode::OK)).await;
    let scene = protected(&relay, records).await;
    let mut wrong = HeaderMap::new();
    wrong.insert("authorization", "Bearer t1.wrong".parse().unwrap());
    let mut statuses = Vec::new();
    for _ in 0..150 {
        let said = ask(&scene, 1, &wrong).await;
        if said.status == 429 {
            assert_eq!(said.header("x-fprs-reason"), Some("tenant_limit"));
            assert_eq!(said.header("retry-after"), Some("10"));
        }
        statuses.push(said.status);
    }
    assert_eq!((statuses[0], statuses[149]), (401, 429));
    assert_eq!(ask(&scene, 2, &wrong).await.status, 401, "another source");
    assert_eq!(
        ask(&scene, 1, &HeaderMap::new()).await.status,
        401,
        "without any"
    );
    assert_eq!(
        ask(&scene, 1, &hostile::good()).await.status,
        200,
        "with a good one"
    );
    scene.settled().await;
}
