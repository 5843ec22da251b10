//! gRPC calls that stream both ways, numbered: each message is answered before the next is sent.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use fprs_testkit::client::{ClientError, H2Stream, get};
use http::{HeaderValue, Method};

use crate::load::Client;
use crate::world::ECHO;

const MESSAGES: u32 = 25;
const PACE: Duration = Duration::from_millis(15);

pub(crate) async fn over_h2(client: &Client) -> Result<(), String> {
    let (connection, address) = client.h2().await?;
    while client.goes_on() && client.edge.is_ready(address) {
        let mut request = get(ECHO, "/echo");
        *request.method_mut() = Method::POST;
        let grpc = HeaderValue::from_static("application/grpc");
        request.headers_mut().insert("content-type", grpc);
        request
            .headers_mut()
            .insert("te", HeaderValue::from_static("trailers"));
        let Some(mut stream) = client.open(&connection, request, false).await? else {
            break;
        };
        match call(&mut stream).await {
            Ok(()) => client.whole(),
            Err((0, error)) => return client.broken(&error),
            Err((number, error)) => return Err(format!("message {number}: {error:?}")),
        }
    }
    Ok(())
}

/// With the number of the message at which it failed.
async fn call(stream: &mut H2Stream) -> Result<(), (u32, ClientError)> {
    let mut heard = BytesMut::new();
    for number in 0..MESSAGES {
        let at = |error| (number, error);
        let message = message(number);
        stream.sender.send(message.clone()).await.map_err(at)?;
        if number == 0 {
            let head = stream.receiver.head().await.map_err(at)?;
            if head.status != 200 || head.headers.contains_key("grpc-status") {
                return Err(at(other(&head)));
            }
        }
        while heard.len() < message.len() {
            let piece = stream.receiver.piece().await.map_err(at)?;
            heard.extend_from_slice(&piece.ok_or((number, ClientError::Truncated))?);
        }
        let echo = heard.split_to(message.len());
        if echo != message {
            return Err(at(other(&echo)));
        }
        tokio::time::sleep(PACE).await;
    }
    let at = |error| (MESSAGES, error);
    stream.sender.finish().map_err(at)?;
    match stream.receiver.piece().await.map_err(at)? {
        None if heard.is_empty() => Ok(()),
        more => Err(at(other(&more))),
    }
}

/// What came is not what was to come.
fn other(came: &impl std::fmt::Debug) -> ClientError {
    ClientError::Malformed(format!("{came:?}"))
}

/// Not compressed, four bytes long.
fn message(number: u32) -> Bytes {
    let mut message = vec![0, 0, 0, 0, 4];
    message.extend_from_slice(&number.to_be_bytes());
    message.into()
}
