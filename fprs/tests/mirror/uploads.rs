//! Large uploads: copied at the shadow's pace while there is room, and cut with a reset beyond. What a
//! shadow takes for whole is whole.

use std::time::Duration;

use fprs_config::Mirror;
use fprs_testkit::origin::{Body, Intake, Origin, Outcome, Script};
use fprs_testkit::{Pattern, until};
use http::Method;
use serde_json::{Value, json};

use crate::scene::{DEADLINE, LIMIT, Scene, mirror, request};
use crate::size;

/// Bytes uploaded.
fn upload() -> u64 {
    size(64 << 20, 2 << 30)
}

/// Uploads to `prod`; with `paced`, no faster than the shadow there takes its copy.
async fn upload_mirrored_to(shadow: &Origin, paced: bool) -> Scene {
    let prod = Origin::by_path();
    let scene = Scene::start(prod.address()).await;
    let mirror = Mirror {
        exchange_bytes: 1 << 20,
        deadline: Duration::from_secs(600),
        ..mirror()
    };
    scene.mirror(mirror, Some(shadow.address())).await;
    let client = scene.client().await.deadline(Duration::from_secs(600));
    let request = request(Method::POST, "/count", &[]);
    let mut stream = client.open(request, false).await.unwrap();
    let mut pattern = Pattern::new();
    while pattern.offset() < upload() {
        let rest = usize::try_from(upload() - pattern.offset()).unwrap();
        let piece = pattern.next(rest.min(PIECE));
        stream.sender.send(piece).await.unwrap();
        let held = scene.held();
        assert!(held <= LIMIT, "{held} bytes held");
        let sent = pattern.offset();
        until("the shadow to follow", DEADLINE, async || {
            let copies = shadow.record().exchanges();
            let taken = copies.first().map_or(0, |copy| copy.taken);
            (!paced || sent - taken < AHEAD).then_some(())
        })
        .await;
    }
    stream.sender.finish().unwrap();
    let answer = stream.receiver.response().await.unwrap();
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(answer, json!({ "bytes": upload(), "matches": true }));
    scene.settled().await;
    scene
}

/// Bytes sent at a time, and what the client may be ahead of the shadow where it waits for it.
const PIECE: usize = 64 << 10;
const AHEAD: u64 = 512 << 10;

#[tokio::test]
async fn a_large_upload_is_copied_whole_to_a_shadow_that_keeps_up() {
    let shadow = Origin::start(Script {
        body: Body::Count,
        ..Script::text("")
    });
    let scene = upload_mirrored_to(&shadow, true).await;
    assert_eq!(scene.ended("complete"), 1);
    let copies = shadow.record().exchanges();
    assert_eq!(copies[0].taken, upload());
    assert_eq!(shadow.record().ended(Outcome::Complete), 1);
}

#[tokio::test]
async fn a_large_upload_that_a_shadow_can_not_follow_is_cut_with_a_reset() {
    let shadow = Origin::start(Script {
        intake: Intake::Slow(2_000_000),
        ..Script::text("")
    });
    let scene = upload_mirrored_to(&shadow, false).await;
    assert_eq!(scene.ended("over_exchange_limit"), 1);
    until("the shadow to see a reset", DEADLINE, async || {
        (shadow.record().ended(Outcome::Aborted) == 1).then_some(())
    })
    .await;
    assert!(shadow.record().exchanges()[0].taken < upload());
    assert_eq!(shadow.record().ended(Outcome::Complete), 0);
}
