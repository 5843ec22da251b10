//! tonic: every kind of call, errors with trailers, metadata, deadlines; says what it saw.

use std::fmt::{Debug, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{KeyAndValueRef, MetadataMap, MetadataValue};
use tonic::{Code, Request, Status, Streaming};

use crate::echo::Echo;

/// The library's own fields and what differs from run to run.
const OWN: [&str; 3] = ["content-type", "date", "server"];

/// Far more than any call takes.
const DEADLINE: Duration = Duration::from_secs(20);

/// Talks to the program, and says what it saw.
pub(super) async fn talk(address: SocketAddr, authority: &str) -> String {
    let mut echo = Echo::connect(address, authority).await;
    let mut said = String::new();
    unary(&mut echo, &mut said).await;
    streams(&mut echo, &mut said).await;
    errors(&mut echo, &mut said).await;
    deadline(&mut echo, &mut said).await;
    at_once(&echo).await;
    said
}

async fn unary(echo: &mut Echo, said: &mut String) {
    for message in [Bytes::new(), "hello".into(), vec![7; 2_000_000].into()] {
        let mut request = Request::new(message.clone());
        request.set_timeout(DEADLINE);
        let fields = request.metadata_mut();
        fields.insert("x-sent", "one".parse().unwrap());
        fields.insert_bin("x-sent-bin", MetadataValue::from_bytes(&[0, 1, 255]));
        let answer = echo.unary("Unary", request).await.unwrap();
        assert!(*answer.get_ref() == message);
        say(said, "unary", metadata(answer.metadata()));
    }
}

async fn streams(echo: &mut Echo, said: &mut String) {
    let request = Request::new("1000".into());
    let mut counted = echo.server_streaming("Count", request).await.unwrap();
    let (pieces, end) = all(counted.get_mut()).await;
    say(said, "server streaming", (pieces.len(), pieces.concat()));
    say(said, "its end", end.unwrap());

    let pieces = (0..2000).map(|size| Bytes::from(vec![b'x'; size]));
    let total = echo
        .client_streaming("Total", tokio_stream::iter(pieces))
        .await
        .unwrap();
    say(said, "client streaming", total.get_ref());

    // Each message waits for the answer to the one before.
    let (requests, to_send) = mpsc::channel(1);
    let answers = echo.streaming("Echo", ReceiverStream::new(to_send));
    let (answers, ()) = tokio::join!(answers, async {
        requests.send(Bytes::from("0")).await.unwrap();
    });
    let mut answers = answers.unwrap().into_inner();
    for number in 0..300 {
        let answer = answers.message().await.unwrap().unwrap();
        assert_eq!(answer, number.to_string());
        let next = (number + 1).to_string();
        requests.send(next.into()).await.unwrap();
    }
    drop(requests);
    say(said, "bidi", all(&mut answers).await.0);

    // All at once, both ways.
    let many: Vec<Bytes> = (0..2000)
        .map(|number| number.to_string().repeat(50).into())
        .collect();
    let sent = tokio_stream::iter(many.clone());
    let mut answers = echo.streaming("Echo", sent).await.unwrap();
    let (pieces, end) = all(answers.get_mut()).await;
    assert!(pieces == many);
    say(said, "all at once", end.unwrap());
}

async fn errors(echo: &mut Echo, said: &mut String) {
    let request = Request::new("why ☃".into());
    let error = echo.unary("Fail", request).await.unwrap_err();
    say(said, "error", ended(&error));
    let mut late = echo
        .server_streaming("FailLate", Request::new(Bytes::new()))
        .await
        .unwrap();
    let (pieces, end) = all(late.get_mut()).await;
    say(said, "before", pieces);
    say(said, "late error", ended(&end.unwrap_err()));
    let error = echo
        .unary("Nothing", Request::new(Bytes::new()))
        .await
        .unwrap_err();
    say(said, "no method", ended(&error));
}

async fn deadline(echo: &mut Echo, said: &mut String) {
    let mut request = Request::new(Bytes::new());
    request.set_timeout(Duration::from_millis(500));
    let began = Instant::now();
    let mut hanging = echo.server_streaming("Hang", request).await.unwrap();
    let (pieces, end) = all(hanging.get_mut()).await;
    let took = began.elapsed();
    assert!(Duration::from_millis(200) < took && took < Duration::from_secs(2));
    // tonic keeps no deadline in mid-call itself: whoever is first, the program or fprs, ends it.
    let code = end.unwrap_err().code();
    assert!(matches!(code, Code::DeadlineExceeded | Code::Cancelled));
    say(said, "deadline", (pieces, code));
}

/// Many calls share the one connection.
async fn at_once(echo: &Echo) {
    let calls = (0..8).map(|name| {
        let mut echo = echo.clone();
        tokio::spawn(async move {
            for number in 0..20 {
                let message = Bytes::from(format!("{name} {number}").repeat(1000));
                let answer = echo.unary("Unary", Request::new(message.clone())).await;
                assert!(answer.unwrap().into_inner() == message);
            }
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
}

/// A stream to its end: its messages, and its trailers or why it failed.
async fn all(stream: &mut Streaming<Bytes>) -> (Vec<Bytes>, Result<Vec<String>, Status>) {
    let mut messages = Vec::new();
    while let Some(message) = stream.next().await {
        match message {
            Ok(message) => messages.push(message),
            Err(status) => return (messages, Err(status)),
        }
    }
    let trailers = stream.trailers().await;
    let fields = trailers.map(|fields| metadata(&fields.unwrap_or_default()));
    (messages, fields)
}

fn ended(status: &Status) -> impl Debug {
    let message = status.message().to_owned();
    (status.code(), message, metadata(status.metadata()))
}

fn metadata(fields: &MetadataMap) -> Vec<String> {
    let mut lines: Vec<String> = fields
        .iter()
        .map(|field| match field {
            KeyAndValueRef::Ascii(name, value) => (name.as_str(), format!("{value:?}")),
            KeyAndValueRef::Binary(name, value) => {
                (name.as_str(), format!("{:?}", value.to_bytes().unwrap()))
            }
        })
        .filter(|(name, _)| !OWN.contains(name) && *name != "x-request-id")
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    lines.sort();
    lines
}

fn say(said: &mut String, what: &str, seen: impl Debug) {
    writeln!(said, "{what} {seen:?}").unwrap();
}
