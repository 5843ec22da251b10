//! Promise: a client that leaves is gone at the program too, however it leaves.

use std::time::Duration;

use fprs_testkit::client::get;
use fprs_testkit::until;
use h2::Reason;

use crate::SOON;
use crate::plane::{ECHO, Edged, WEB};

/// Far above what it takes, which is milliseconds; machines of tests are busy.
const PROMPT: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug)]
enum Leaves {
    ClosesH1,
    ResetsH1,
    ResetsStream,
    ClosesH2,
}

#[tokio::test]
async fn a_client_that_leaves_is_gone_at_the_program_however_it_leaves() {
    let Some(edged) = Edged::start().await else {
        return;
    };
    let ways = [
        Leaves::ClosesH1,
        Leaves::ResetsH1,
        Leaves::ResetsStream,
        Leaves::ClosesH2,
    ];
    // A program that takes nothing notices over HTTP/2 alone.
    for (host, path) in [(WEB, "/sse?n=1000000&ms=5"), (ECHO, "/never")] {
        for way in ways {
            leave(&edged, way, host, path).await;
            ended(&edged, &format!("{way:?} of {path}")).await;
        }
    }
}

async fn leave(edged: &Edged, way: Leaves, host: &str, path: &str) {
    let (before, _) = counts(edged);
    let began = async || {
        until("its beginning", SOON, async || {
            (counts(edged).0 > before).then_some(())
        })
        .await;
    };
    match way {
        Leaves::ClosesH1 | Leaves::ResetsH1 => {
            let mut client = edged.h1().await;
            let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n");
            client.writer.send(request).await.unwrap();
            began().await;
            if matches!(way, Leaves::ResetsH1) {
                client.reset();
            }
        }
        Leaves::ResetsStream => {
            let client = edged.h2().await;
            let stream = client.open(get(host, path), true).await.unwrap();
            began().await;
            stream.reset(Reason::CANCEL);
            ended(edged, "a reset stream").await;
            assert!(client.is_open());
        }
        Leaves::ClosesH2 => {
            let client = edged.h2().await;
            let _stream = client.open(get(host, path), true).await.unwrap();
            began().await;
        }
    }
}

/// The program has seen the end of all that it saw begin.
async fn ended(edged: &Edged, what: &str) {
    until(&format!("the end after {what}"), PROMPT, async || {
        let (begun, ended) = counts(edged);
        (begun == ended).then_some(())
    })
    .await;
}

/// Exchanges that programs saw begin, and end.
fn counts(edged: &Edged) -> (usize, usize) {
    let events = edged.seen();
    let begun = events.iter().filter(|event| event["event"] == "begin");
    let begun = begun.count();
    (begun, events.len() - begun)
}
