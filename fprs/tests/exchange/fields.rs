//! Promise: fields of one hop stay there, and ours are ours: no client or program speaks in our name.

use fprs_testkit::client::get;
use http::HeaderMap;

use crate::call::{Speaks, Upload};
use crate::raw::{self, RAW};
use crate::world::{ONE, PAIRS, TWO, World};

#[tokio::test]
async fn what_a_client_says_in_our_name_or_to_its_own_hop_never_reaches_the_program() {
    let world = World::start().await;
    for server in [ONE, TWO] {
        let host = world.plane.host(server);
        let mut client = world.plane.h1().await;
        let request = format!(
            "GET /h1 HTTP/1.1\r\nHost: {host}\r\nConnection: x-hop, keep-alive\r\nX-Hop: 1\r\n\
             Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nUpgrade: h2c\r\n\
             Proxy-Authorization: Basic x\r\nTE: gzip, trailers\r\nX-Fprs-Replica: other\r\n\
             X-Fprs-Tenant: lies\r\nX-End: 2\r\nfprs-session-id: s\r\n\r\n"
        );
        assert_eq!(client.exchange(request).await.unwrap().status, 200);
        let mut request = get(&host, "/h2");
        for (name, value) in [
            ("proxy-authorization", "Basic x"),
            ("te", "trailers"),
            ("x-fprs-replica", "other"),
            ("x-fprs-tenant", "lies"),
            ("x-end", "2"),
            ("fprs-session-id", "s"),
        ] {
            let value = http::HeaderValue::from_static(value);
            request.headers_mut().insert(name, value);
        }
        let client = world.plane.h2().await;
        let stream = client.open(request, true).await.unwrap();
        assert_eq!(stream.response().await.unwrap().status, 200);
        for target in ["/h1", "/h2"] {
            let noted = world.noted(server, target, "begin").await;
            let head = noted["head"].as_str().unwrap().to_lowercase();
            for gone in [
                "x-fprs-",
                "x-hop",
                "\nconnection",
                "keep-alive",
                "proxy-",
                "upgrade",
                "gzip",
            ] {
                assert!(!head.contains(gone), "{gone} in {head}");
            }
            for stays in ["x-end: 2", "te: trailers", "fprs-session-id: s", &host] {
                assert!(head.contains(stays), "no {stays} in {head}");
            }
        }
    }
    world.end().await;
}

#[tokio::test]
async fn what_a_program_says_in_our_name_or_to_its_own_hop_never_reaches_the_client() {
    let mut world = World::start().await;
    raw::deploy(&mut world).await;
    for speaks in [Speaks::H1, Speaks::H2] {
        let answer = world.get(speaks, RAW, "/fields").await;
        assert_eq!((answer.status, answer.text()), (200, "hello".to_owned()));
        let mut seen = vec![("answer", &answer.headers), ("trailers", &answer.trailers)];
        seen.extend(
            answer
                .informational
                .iter()
                .map(|head| ("103", &head.headers)),
        );
        assert_eq!(seen.len(), 3, "{answer:?}");
        for (place, fields) in seen {
            let ours = fields
                .keys()
                .find(|name| name.as_str().starts_with("x-fprs-"));
            assert_eq!(ours, None, "{speaks:?}: in the {place}");
            for gone in [
                "connection",
                "x-hop",
                "keep-alive",
                "upgrade",
                "proxy-authenticate",
            ] {
                assert!(
                    !fields.contains_key(gone),
                    "{speaks:?}: {gone} in the {place}"
                );
            }
        }
        assert_eq!(answer.header("x-end"), Some("2"));
        assert_eq!(answer.header("trailer"), Some("x-sum"));
        assert_eq!(answer.trailer("x-sum"), Some("7"));
        assert_eq!(answer.informational[0].header("link"), Some("</a>"));
    }
    world.end().await;
}

#[tokio::test]
async fn what_a_client_says_in_our_name_in_its_trailers_never_reaches_the_program() {
    let world = World::start().await;
    for (speaks, server) in PAIRS {
        let mut call = world.call(speaks, server, "/echo", Upload::Stream).await;
        let mut trailers = HeaderMap::new();
        trailers.insert("x-fprs-tenant", "lies".parse().unwrap());
        trailers.insert("x-sum", "7".parse().unwrap());
        call.sender.finish_with(trailers).await.unwrap();
        let answer = call.answer.response().await.unwrap();
        // It echoes what it gets. What comes back is filtered too, so count what there is.
        assert_eq!(
            answer.trailers.len(),
            1,
            "{speaks:?} to {server}: {answer:?}"
        );
        assert_eq!(answer.trailer("x-sum"), Some("7"));
    }
    world.end().await;
}

#[tokio::test]
async fn the_load_a_relay_tells_never_reaches_a_client() {
    let world = World::start().await;
    for (speaks, server) in PAIRS {
        for path in ["/", "/status/404", "/die/head"] {
            let answer = world.get(speaks, server, path).await;
            assert_eq!(
                answer.header("x-fprs-in-flight"),
                None,
                "{speaks:?} {server} {path}"
            );
        }
    }
    world.end().await;
}
