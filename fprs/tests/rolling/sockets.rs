//! WebSockets, numbered messages that are echoed. A proxy that drains may close one with code 1001,
//! between two frames; nothing else ends it but the client.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use fprs_testkit::client::{H2Stream, get};
use h2::ext::Protocol;
use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::load::Client;
use crate::world::ECHO;

const PACE: Duration = Duration::from_millis(15);
/// An echo takes a millisecond.
const PATIENCE: Duration = Duration::from_secs(10);
/// A close frame of a server, code 1001.
const GOING_AWAY: [u8; 4] = [0x88, 0x02, 0x03, 0xe9];

/// A close frame of a client, code 1000.
const CLOSE: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];

enum Wire {
    H1(TcpStream),
    H2(Box<H2Stream>),
}

pub(crate) async fn over_h1(client: &Client) -> Result<(), String> {
    let address = client.edge.pick().await;
    let connected = TcpStream::connect(address).await;
    let mut stream = connected.map_err(|error| format!("no connection: {error}"))?;
    client.begins();
    let request = format!(
        "GET /echo HTTP/1.1\r\nhost: {ECHO}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    let opened = async {
        stream.write_all(request.as_bytes()).await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        std::io::Result::Ok(head)
    };
    let head = timeout(PATIENCE, opened).await;
    match head {
        Ok(Ok(head)) if head.starts_with(b"HTTP/1.1 101") => {}
        other => return Err(format!("not opened: {other:?}")),
    }
    talk(client, Wire::H1(stream)).await
}

pub(crate) async fn over_h2(client: &Client) -> Result<(), String> {
    let (connection, _) = client.h2().await?;
    // Its answer comes after the settings that allow extended CONNECT.
    let ready = client.open(&connection, get(ECHO, "/"), true).await?;
    let Some(ready) = ready else { return Ok(()) };
    if let Err(error) = ready.response().await {
        return client.broken(&error);
    }
    let mut request = get(ECHO, "/echo");
    *request.method_mut() = Method::CONNECT;
    let protocol = Protocol::from_static("websocket");
    request.extensions_mut().insert(protocol);
    let stream = client.open(&connection, request, false).await?;
    let Some(mut stream) = stream else {
        return Ok(());
    };
    match stream.receiver.head().await {
        Ok(head) if head.status == 200 => {}
        Ok(head) => return Err(format!("not opened: {head:?}")),
        Err(error) => return client.broken(&error),
    }
    talk(client, Wire::H2(Box::new(stream))).await
}

/// Says numbers and hears them again until one side goes away.
async fn talk(client: &Client, mut wire: Wire) -> Result<(), String> {
    let mut heard = BytesMut::new();
    let mut number = 0_u32;
    while client.goes_on() {
        let frame = frame(number);
        let at = |error| format!("message {number}: {error}");
        wire.send(&frame).await.map_err(at)?;
        while heard.len() < frame.len() {
            match timeout(PATIENCE, wire.receive()).await {
                Ok(Ok(Some(piece))) => heard.extend_from_slice(&piece),
                Ok(Ok(None)) if heard[..] == GOING_AWAY => return Ok(()),
                other => return Err(at(format!("{other:?} after {heard:?}"))),
            }
        }
        // The close frame may come instead of an echo, or right behind it.
        let echo = heard.split_to(frame.len());
        if echo != frame {
            return Err(at(format!("heard {echo:?}")));
        }
        number += 1;
        client.whole();
        tokio::time::sleep(PACE).await;
    }
    // The program echoes the close frame too.
    wire.send(&Bytes::from_static(&CLOSE)).await?;
    loop {
        match timeout(PATIENCE, wire.receive()).await {
            Ok(Ok(Some(piece))) => heard.extend_from_slice(&piece),
            Ok(Ok(None)) if heard[..] == GOING_AWAY => return Ok(()),
            other => return Err(format!("no close: {other:?} after {heard:?}")),
        }
        if heard[..] == CLOSE {
            return wire.finish();
        }
    }
}

/// A binary frame, masked with zeros, which leave it as it is.
fn frame(number: u32) -> Bytes {
    let mut frame = vec![0x82, 0x84, 0, 0, 0, 0];
    frame.extend_from_slice(&number.to_be_bytes());
    frame.into()
}

impl Wire {
    async fn send(&mut self, bytes: &Bytes) -> Result<(), String> {
        let sent = match self {
            Self::H1(stream) => stream
                .write_all(bytes)
                .await
                .map_err(|error| error.to_string()),
            Self::H2(stream) => {
                let sent = stream.sender.send(bytes.clone()).await;
                sent.map_err(|error| format!("{error:?}"))
            }
        };
        // One that was closed while we spoke says so when it is read.
        drop(sent);
        Ok(())
    }

    async fn receive(&mut self) -> Result<Option<Bytes>, String> {
        match self {
            Self::H1(stream) => {
                let mut bytes = BytesMut::with_capacity(1024);
                let read = stream.read_buf(&mut bytes).await;
                let read = read.map_err(|error| error.to_string())?;
                Ok((read > 0).then(|| bytes.freeze()))
            }
            Self::H2(stream) => {
                let piece = stream.receiver.piece().await;
                piece.map_err(|error| format!("{error:?}"))
            }
        }
    }

    fn finish(self) -> Result<(), String> {
        match self {
            Self::H1(_) => Ok(()),
            Self::H2(mut stream) => {
                let ended = stream.sender.finish();
                ended.map_err(|error| format!("{error:?}"))
            }
        }
    }
}
