//! Promise: a renewed certificate is taken without a dropped connection.

use std::time::SystemTime;

use fprs::edge::certificates;
use fprs_testkit::client::get;
use fprs_testkit::until;

use crate::SOON;
use crate::plane::{Edged, WEB};

#[tokio::test]
async fn a_renewed_certificate_is_taken_without_a_dropped_connection() {
    let Some(edged) = Edged::start().await else {
        return;
    };
    let client = edged.h2().await;
    let stream = client.open(get(WEB, "/sse?n=1000000&ms=5"), true).await;
    let mut events = stream.unwrap();
    assert_eq!(events.receiver.head().await.unwrap().status, 200);
    let first = certificate(&edged).await;
    assert_eq!(certificate(&edged).await, first);

    let dir = edged.plane.data_dir().join("edge");
    // As if it were about to end.
    std::fs::remove_file(dir.join("wildcard.pem")).unwrap();
    assert!(certificates::keep(&dir, "region.localhost", SystemTime::now()).unwrap());
    until("the new certificate", SOON, async || {
        (certificate(&edged).await != first).then_some(())
    })
    .await;
    for _ in 0..20 {
        assert!(events.receiver.piece().await.unwrap().is_some());
        assert_eq!(client.get(WEB, "/").await.unwrap().status, 200);
    }
    assert!(client.is_open());
}

/// Which one a new client is shown; it trusts the authority of before.
async fn certificate(edged: &Edged) -> Vec<u8> {
    let stream = edged.trust.connect(WEB, &[b"h2"]).await.unwrap();
    let (_, session) = stream.get_ref();
    session.peer_certificates().unwrap()[0].to_vec()
}
