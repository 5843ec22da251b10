//! A program that answers with bytes as they are, some of them no server should send: by path, and
//! with an end of its own.

use std::sync::Arc;
use std::time::Duration;

use fprs_testkit::program;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::world::World;

/// The server's name.
pub(crate) const RAW: &str = "raw";

/// What follows an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// The next request.
    Next,
    /// The connection's end (FIN).
    Close,
    /// The connection's reset (RST).
    Reset,
    /// The connection's end, and no other connection is accepted from now on.
    Deaf,
}

const ANSWERS: &[(&str, &str, Then)] = &[
    ("/close/whole", "HTTP/1.0 200 OK\r\n\r\nhello", Then::Close),
    ("/close/cut", "HTTP/1.0 200 OK\r\n\r\nhello", Then::Reset),
    (
        "/chunked/cut",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        Then::Close,
    ),
    (
        "/chunked/broken",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nno size\r\n",
        Then::Next,
    ),
    (
        "/length/cut",
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello",
        Then::Close,
    ),
    ("/head/none", "", Then::Close),
    ("/head/reset", "", Then::Reset),
    ("/head/cut", "HTTP/1.1 200 OK\r\ncontent-le", Then::Close),
    ("/head/garbage", "no head at all\r\n\r\n", Then::Next),
    (
        "/status/204",
        "HTTP/1.1 204 No Content\r\nx-a: 1\r\n\r\n",
        Then::Next,
    ),
    (
        "/status/304",
        "HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\ncontent-length: 5\r\n\r\n",
        Then::Next,
    ),
    (
        "/length/head",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
        Then::Next,
    ),
    (
        "/length/empty",
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        Then::Next,
    ),
    (
        "/chunked/empty",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        Then::Next,
    ),
    (
        "/fields",
        "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\nx-fprs-lie: 1\r\n\r\n\
         HTTP/1.1 200 OK\r\nconnection: x-hop, keep-alive\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\n\
         upgrade: h2c\r\nproxy-authenticate: Basic\r\nx-fprs-in-flight: 99\r\n\
         x-fprs-reason: lies\r\nx-fprs-tenant: lies\r\nx-end: 2\r\ntrailer: x-sum\r\n\
         transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 7\r\nx-fprs-lie: 1\r\n\r\n",
        Then::Next,
    ),
    (
        "/deaf",
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        Then::Deaf,
    ),
];

/// Deploys the program.
pub(crate) async fn deploy(world: &mut World) {
    let mut command = program::command();
    for part in &mut command {
        if part == "program" {
            "raw_program".clone_into(part);
        }
    }
    let manifest = format!(
        "name = \"{RAW}\"\ncommand = {command:?}\nauth = \"public\"\n\
         min_replicas = 1\nmax_replicas = 1\nhold = \"10s\"\n"
    );
    world.deploy(RAW, &manifest).await;
}

/// Serves on `$PORT` until it is killed.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() {
    let port = std::env::var("PORT").unwrap();
    let listener = TcpListener::bind(format!("127.0.0.1:{port}"))
        .await
        .unwrap();
    let deaf = Arc::new(Notify::new());
    loop {
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => accepted.unwrap(),
            () = deaf.notified() => break,
        };
        let deaf = Arc::clone(&deaf);
        tokio::spawn(async move {
            if serve(stream).await == Then::Deaf {
                deaf.notify_one();
            }
        });
    }
    drop(listener);
    std::future::pending().await
}

async fn serve(mut stream: TcpStream) -> Then {
    let mut buffer = Vec::new();
    loop {
        while !buffer.ends_with(b"\r\n\r\n") {
            if matches!(stream.read_buf(&mut buffer).await, Ok(0) | Err(_)) {
                return Then::Close;
            }
        }
        let request = String::from_utf8(std::mem::take(&mut buffer)).unwrap();
        let path = request.split(' ').nth(1).unwrap();
        let (_, answer, then) = ANSWERS
            .iter()
            .find(|(known, _, _)| path == *known)
            .unwrap_or_else(|| panic!("no answer to {path}"));
        stream.write_all(answer.as_bytes()).await.unwrap();
        match then {
            Then::Next => {}
            Then::Close | Then::Deaf => return *then,
            Then::Reset => {
                // A reset discards what the other side has not read: let it.
                tokio::time::sleep(Duration::from_millis(50)).await;
                stream.set_zero_linger().unwrap();
                return *then;
            }
        }
    }
}
