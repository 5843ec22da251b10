//! Bytes as they are, both ways: what no HTTP client would send, and exactly what comes back.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::ClientError;

/// What a peer answered to some bytes.
#[derive(Clone, Debug)]
pub struct RawHttp {
    /// Everything it sent.
    pub bytes: Vec<u8>,
    /// How it ended.
    pub ending: Ending,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Closed (FIN).
    Closed,
    /// Still open at the deadline.
    Open,
    /// Reset (RST).
    Reset,
}

impl RawHttp {
    /// Connects, sends `bytes` and reads until the peer ends the connection or `deadline` passes.
    ///
    /// # Errors
    /// When the connection can't be made. A peer that closes while it is being sent to is not an
    /// error: what it answered counts.
    pub async fn exchange(
        address: SocketAddr,
        bytes: impl AsRef<[u8]>,
        deadline: Duration,
    ) -> Result<Self, ClientError> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (mut reader, mut writer) = stream.into_split();
        let mut received = Vec::new();
        let end = async {
            // A failed write is for the reader to explain.
            let sent = async {
                writer.write_all(bytes.as_ref()).await.ok();
                std::future::pending().await
            };
            let read = async {
                loop {
                    match reader.read_buf(&mut received).await {
                        Ok(0) => break Ending::Closed,
                        Ok(_) => {}
                        Err(_) => break Ending::Reset,
                    }
                }
            };
            tokio::select! {
                ending = read => ending,
                ending = sent => ending,
            }
        };
        let ending = tokio::time::timeout(deadline, end)
            .await
            .unwrap_or(Ending::Open);
        Ok(Self {
            bytes: received,
            ending,
        })
    }

    /// The first response's status; `None` when no status line came.
    pub fn status(&self) -> Option<u16> {
        let line = self.bytes.strip_prefix(b"HTTP/1.1 ")?;
        std::str::from_utf8(line.get(..3)?).ok()?.parse().ok()
    }

    /// What came as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}
