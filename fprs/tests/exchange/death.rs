//! Promise: a program that dies in its answer gives its client an error, never a clean end; one that
//! dies before it, or can't be reached, gives 502 with the reason.

use fprs_testkit::client::{ClientError, Ending, Response};

use crate::call::{Speaks, Upload};
use crate::raw::{self, RAW};
use crate::world::{PAIRS, World};

#[tokio::test]
async fn an_answer_that_is_cut_never_ends_cleanly() {
    let world = World::start().await;
    for (speaks, server) in PAIRS {
        for (after, how) in [(0, "close"), (100_000, "close"), (100_000, "reset")] {
            let path = format!("/die/body?after={after}&how={how}");
            cut(&world, speaks, server, &path).await;
        }
    }
    world.end().await;
}

#[tokio::test]
async fn no_framing_of_http_1_lets_a_cut_answer_pass_for_whole() {
    let mut world = World::start().await;
    raw::deploy(&mut world).await;
    for speaks in [Speaks::H1, Speaks::H2] {
        for path in [
            "/chunked/cut",
            "/chunked/broken",
            "/length/cut",
            "/close/cut",
        ] {
            cut(&world, speaks, RAW, path).await;
        }
        // The one framing where the end of the connection is the end of the answer.
        let whole = world.get(speaks, RAW, "/close/whole").await;
        assert_eq!((whole.status, whole.text()), (200, "hello".to_owned()));
    }
    world.end().await;
}

#[tokio::test]
async fn a_client_of_http_1_0_can_tell_a_cut_answer_too() {
    let mut world = World::start().await;
    raw::deploy(&mut world).await;
    let host = world.plane.host(RAW);
    let ask = |path: &str| format!("GET {path} HTTP/1.0\r\nhost: {host}\r\n\r\n");
    let whole = world.raw(ask("/close/whole")).await;
    assert!(whole.text().ends_with("\r\n\r\nhello"), "{}", whole.text());
    assert_eq!(whole.ending, Ending::Closed);
    let cut = world.raw(ask("/close/cut")).await;
    assert_eq!(cut.ending, Ending::Reset);
    world.end().await;
}

/// Asks, and makes sure that what comes can't be taken for whole: it is reset, or replaced by 502
/// where not a byte had been passed on.
async fn cut(world: &World, speaks: Speaks, server: &str, path: &str) {
    let asked = format!("{speaks:?} to {server} {path}");
    let mut call = world.call(speaks, server, path, Upload::None).await;
    let error = match call.answer.head().await {
        Ok(head) if head.status == 502 => {
            assert_eq!(
                head.header("x-fprs-reason"),
                Some("upstream_reset"),
                "{asked}"
            );
            return;
        }
        Ok(head) => {
            assert_eq!(head.status, 200, "{asked}");
            loop {
                match call.answer.piece().await {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("a clean end: {asked}"),
                    Err(error) => break error,
                }
            }
        }
        Err(error) => error,
    };
    let reset = matches!(error, ClientError::Reset | ClientError::StreamReset(_));
    assert!(reset, "{asked}: {error:?}");
}

#[tokio::test]
async fn a_program_that_dies_before_its_answer_gives_502_with_the_reason() {
    let mut world = World::start().await;
    raw::deploy(&mut world).await;
    for (speaks, server) in PAIRS {
        for how in ["close", "reset"] {
            let path = format!("/die/head?how={how}");
            let answer = world.get(speaks, server, &path).await;
            refused(&answer, "upstream_reset");
        }
    }
    for speaks in [Speaks::H1, Speaks::H2] {
        for path in ["/head/none", "/head/reset", "/head/cut"] {
            refused(&world.get(speaks, RAW, path).await, "upstream_reset");
        }
        let answer = world.get(speaks, RAW, "/head/garbage").await;
        refused(&answer, "upstream_protocol");
    }
    world.end().await;
}

#[tokio::test]
async fn a_request_that_was_uploaded_to_a_dying_program_is_never_sent_twice() {
    let world = World::start().await;
    for (speaks, server) in PAIRS {
        let path = format!("/die/head?{speaks:?}");
        let mut call = world.call(speaks, server, &path, Upload::Stream).await;
        call.sender.send("some".into()).await.unwrap();
        call.sender.finish().await.unwrap();
        refused(&call.answer.response().await.unwrap(), "upstream_reset");
        assert_eq!(world.count(server, &path, "begin"), 1, "{speaks:?}");
    }
    world.end().await;
}

#[tokio::test]
async fn a_program_that_accepts_no_more_gives_502_with_the_reason() {
    let mut world = World::start().await;
    raw::deploy(&mut world).await;
    assert_eq!(world.get(Speaks::H1, RAW, "/deaf").await.status, 200);
    for speaks in [Speaks::H1, Speaks::H2] {
        let answer = world.get(speaks, RAW, "/length/empty").await;
        refused(&answer, "upstream_connect");
    }
    world.end().await;
}

fn refused(answer: &Response, reason: &str) {
    assert_eq!(answer.status, 502, "{answer:?}");
    assert_eq!(answer.header("x-fprs-reason"), Some(reason));
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
}
