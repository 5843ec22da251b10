//! Promise: WebSockets pass untouched: every frame, both ways, and how they end.

use bytes::{Bytes, BytesMut};
use h2::ext::Protocol;
use http::{Method, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::Client;
use crate::install;
use crate::stage::{Stage, here};

#[tokio::test]
async fn websockets_of_the_websockets_library_pass_untouched() {
    let Some(python) = install::python() else {
        return;
    };
    let stage = Stage::set(&python, &here("websockets_program.py"), "").await;
    stage
        .compare(&Client::python(&python, "websockets_client.py"))
        .await;
    stage.end().await;
}

#[tokio::test]
async fn websockets_of_ws_pass_untouched() {
    let (Some(python), Some(modules)) = (install::python(), install::node_modules()) else {
        return;
    };
    let stage = Stage::set(&python, &here("websockets_program.py"), "").await;
    stage.compare(&Client::node(&modules, "ws_client.js")).await;
    stage.end().await;
}

#[tokio::test]
async fn a_websocket_over_http2_talks_to_a_program_that_speaks_http1() {
    let Some(python) = install::python() else {
        return;
    };
    let stage = Stage::set(&python, &here("websockets_program.py"), "").await;
    let h2 = stage.plane.h2().await;
    // Its answer comes after the settings that allow extended CONNECT.
    h2.get("fprs.internal", "/readyz").await.unwrap();
    let uri = format!("http://{}/", stage.authority());
    let mut request = Request::get(uri).body(()).unwrap();
    *request.method_mut() = Method::CONNECT;
    let protocol = Protocol::from_static("websocket");
    request.extensions_mut().insert(protocol);
    let fields = request.headers_mut();
    fields.insert("sec-websocket-version", "13".parse().unwrap());
    fields.insert("sec-websocket-protocol", "echo.v2".parse().unwrap());
    let mut socket = h2.open(request, false).await.unwrap();
    let head = socket.receiver.head().await.unwrap();
    assert_eq!(head.status, 200);
    assert_eq!(head.header("sec-websocket-protocol"), Some("echo.v2"));
    // The answer to a key that the client never sent.
    assert_eq!(head.header("sec-websocket-accept"), None);

    // A mask of zeros leaves the payload as it is.
    let text = [&[0x81, 0x85, 0, 0, 0, 0][..], b"hello"].concat();
    let ping = [&[0x89, 0x82, 0, 0, 0, 0][..], b"hi"].concat();
    let close = vec![0x88, 0x82, 0, 0, 0, 0, 0x0f, 0xa1];
    let frames = [
        (text, [&[0x81, 0x05][..], b"hello"].concat()),
        (ping, [&[0x8a, 0x02][..], b"hi"].concat()),
        (close, vec![0x88, 0x02, 0x0f, 0xa1]),
    ];
    for (sent, expected) in frames {
        socket.sender.send(Bytes::from(sent)).await.unwrap();
        let mut seen = BytesMut::new();
        while seen.len() < expected.len() {
            let piece = socket.receiver.piece().await.unwrap();
            seen.extend_from_slice(&piece.expect("the socket is open"));
        }
        assert_eq!(seen, expected);
    }
    assert_eq!(socket.receiver.piece().await.unwrap(), None);
    drop(h2);
    stage.end().await;
}

#[tokio::test]
async fn a_client_that_says_all_and_ends_its_half_is_heard_and_answered_to_the_end() {
    let Some(python) = install::python() else {
        return;
    };
    let stage = Stage::set(&python, &here("websockets_program.py"), "").await;
    let mut answers = Vec::new();
    for address in [stage.direct(), stage.plane.listen()] {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let upgrade = format!(
            "GET / HTTP/1.1\r\nhost: {}\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
             sec-websocket-protocol: echo.v2\r\n\r\n",
            stage.authority()
        );
        socket.write_all(upgrade.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await.unwrap());
        }
        let ping = [&[0x89, 0x85, 0, 0, 0, 0][..], b"hello"].concat();
        let close = [0x88, 0x82, 0, 0, 0, 0, 0x0f, 0xa1];
        let all = [&ping[..], &close].concat();
        socket.write_all(&all).await.unwrap();
        socket.shutdown().await.unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.unwrap();
        answers.push(answer);
    }
    let expected = [&[0x8a, 0x05][..], b"hello", &[0x88, 0x02, 0x0f, 0xa1]].concat();
    assert_eq!(answers, [expected.clone(), expected]);
    stage.end().await;
}
