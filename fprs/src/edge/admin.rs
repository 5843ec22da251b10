//! What Envoy is told while it runs, over its own operators' interface.

use std::io;
use std::time::Duration;

use fprs_envoy::Admin;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

/// It answers at once, or not at all.
const ANSWER_TIME: Duration = Duration::from_secs(1);

/// All of an answer that is looked at: its first line.
const ANSWER_BYTES: usize = 64;

/// Tells it.
///
/// # Errors
/// It can't be reached, or doesn't obey.
pub(super) async fn post(admin: &Admin, path: &str) -> io::Result<()> {
    let told = async {
        match admin {
            Admin::Loopback(port) => {
                ask(TcpStream::connect(("127.0.0.1", *port)).await?, path).await
            }
            Admin::Socket(socket) => ask(UnixStream::connect(socket).await?, path).await,
        }
    };
    tokio::time::timeout(ANSWER_TIME, told).await?
}

async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, path: &str) -> io::Result<()> {
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = [0; ANSWER_BYTES];
    let length = stream.read(&mut answer).await?;
    let answer = answer.get(..length).unwrap_or_default();
    if answer.starts_with(b"HTTP/1.1 200 ") {
        return Ok(());
    }
    Err(io::Error::other(
        String::from_utf8_lossy(answer).into_owned(),
    ))
}
