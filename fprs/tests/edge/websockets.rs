//! Promise: a WebSocket opens through the edge as the first thing on a fresh connection, whichever
//! version of HTTP its client speaks.

use bytes::{Bytes, BytesMut};
use fprs_testkit::client::get;
use h2::ext::Protocol;
use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::plane::{ECHO, Edged, WEB};

/// A binary frame of a client, masked with zeros, which leave it as it is (RFC 6455 §5.2).
const HELLO: &[u8] = &[0x82, 0x85, 0, 0, 0, 0, b'h', b'e', b'l', b'l', b'o'];

#[tokio::test]
async fn the_first_request_of_all_may_be_a_websocket_over_http1() {
    let Some(edged) = Edged::start().await else {
        return;
    };
    for host in [ECHO; 2] {
        let mut stream = TcpStream::connect(edged.tunnel()).await.unwrap();
        let upgrade = format!(
            "GET /echo HTTP/1.1\r\nhost: {host}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(upgrade.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        assert!(head.starts_with("http/1.1 101 "), "{host}: {head}");
        // RFC 6455 §1.3 has the answer to this key; clients insist on it.
        let accept = "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=";
        assert!(head.contains(accept), "{host}: {head}");
        stream.write_all(HELLO).await.unwrap();
        let mut echoed = vec![0; HELLO.len()];
        stream.read_exact(&mut echoed).await.unwrap();
        assert_eq!(echoed, HELLO);
    }
}

#[tokio::test]
async fn websockets_over_http2_share_a_connection_with_requests() {
    let Some(edged) = Edged::start().await else {
        return;
    };
    let client = edged.h2().await;
    // Its answer comes after the settings that allow extended CONNECT.
    assert_eq!(client.get(WEB, "/").await.unwrap().status, 200);
    let mut sockets = Vec::new();
    for host in [ECHO; 3] {
        let mut request = get(host, "/echo");
        *request.method_mut() = Method::CONNECT;
        let protocol = Protocol::from_static("websocket");
        request.extensions_mut().insert(protocol);
        request
            .headers_mut()
            .insert("sec-websocket-version", "13".parse().unwrap());
        let mut socket = client.open(request, false).await.unwrap();
        let head = socket.receiver.head().await.unwrap();
        assert_eq!(head.status, 200);
        // It sent no key.
        assert_eq!(head.header("sec-websocket-accept"), None);
        sockets.push(socket);
    }
    for socket in &mut sockets {
        let hello = Bytes::from_static(HELLO);
        socket.sender.send(hello).await.unwrap();
    }
    for socket in &mut sockets {
        let mut echoed = BytesMut::new();
        while echoed.len() < HELLO.len() {
            echoed.extend_from_slice(&socket.receiver.piece().await.unwrap().unwrap());
        }
        assert_eq!(echoed, HELLO);
    }
    assert_eq!(client.get(WEB, "/").await.unwrap().status, 200);
}
