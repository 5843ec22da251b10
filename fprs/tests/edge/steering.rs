//! Promise: no program can make the edge do anything, and what the edge writes down of a request says
//! how fprs ended it.

use fprs_testkit::until;

use crate::SOON;
use crate::plane::{Edged, WEB};

#[tokio::test]
async fn an_answer_that_tells_the_edge_to_give_up_fprs_is_not_heard() {
    let Some(edged) = Edged::raw().await else {
        return;
    };
    let client = edged.h2().await;
    for _ in 0..5 {
        let answer = client.get(WEB, "/steer").await.unwrap();
        assert_eq!(answer.status, 200);
        for name in answer.headers.keys() {
            let inside = ["x-envoy-", "x-fprs-", "x-internal-"];
            let inside = inside.iter().any(|start| name.as_str().starts_with(start));
            assert!(!inside, "{name}");
        }
    }
    // Nor does the edge get to see it: fprs has removed it.
    let direct = edged.plane.h2().await.get(WEB, "/steer").await.unwrap();
    assert_eq!(direct.header("x-internal-host"), Some("a"));
    for name in direct.headers.keys() {
        assert!(!name.as_str().starts_with("x-envoy-"), "{name}");
    }
    // Else a fleet would be without this proxy until its readiness is looked at again.
    for _ in 0..50 {
        assert_eq!(client.get(WEB, "/").await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn the_access_log_has_the_request_id_and_the_reason_and_no_query() {
    let Some(edged) = Edged::raw().await else {
        return;
    };
    let client = edged.h2().await;
    let served = client.get(WEB, "/head?token=secret").await.unwrap();
    let refused = client.get("nobody.region.localhost", "/").await.unwrap();
    assert_eq!(refused.status, 401);
    // The edge writes it down within a second.
    let log = until("both lines", SOON, async || {
        let log = edged.access_log();
        (log.len() >= 2).then_some(log)
    })
    .await;
    for (answer, reason) in [(served, None), (refused, Some("unauthenticated"))] {
        let id = answer.header("x-request-id").unwrap();
        let line = log.iter().find(|line| line["id"] == id).unwrap();
        assert_eq!(line["reason"].as_str(), reason, "{line}");
        assert_eq!(line["status"], answer.status, "{line}");
        assert_eq!(line["up_proto"], "HTTP/2", "{line}");
        assert!(!line.to_string().contains("secret"), "{line}");
    }
}
