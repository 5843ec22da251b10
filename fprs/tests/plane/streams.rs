//! Long exchanges that go on while something happens to the plane: event streams that must come
//! whole, and WebSockets whose every message must come back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fprs_testkit::client::H2;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Events of one stream and messages of one WebSocket.
const LENGTH: usize = 20;
/// Between two of them.
const PACE: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(10);

/// Clients with one exchange at a time each, half of them event streams and half WebSockets.
#[derive(Debug)]
pub(crate) struct Streams {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Result<u64, String>>>,
}

impl Streams {
    /// The server's program must speak h2c, as that of tests does where the manifest says so.
    pub(crate) fn start(address: SocketAddr, host: &str, clients: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let clients = (0..clients).map(|number| {
            let (host, stop) = (host.to_owned(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut whole = 0;
                while !stop.load(Ordering::Relaxed) {
                    match number % 2 {
                        0 => events(address, &host).await?,
                        _ => messages(address, &host).await?,
                    }
                    whole += 1;
                }
                Ok(whole)
            })
        });
        Self {
            clients: clients.collect(),
            stop,
        }
    }

    /// Ends the load, each client after its exchange; how many exchanges there were. All were whole.
    pub(crate) async fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let mut whole = 0;
        for client in self.clients {
            whole += client.await.unwrap().unwrap();
        }
        assert!(whole > 0, "no exchange was whole");
        whole
    }
}

async fn events(address: SocketAddr, host: &str) -> Result<(), String> {
    let client = H2::connect(address).await;
    let client = client.map_err(|error| format!("no connection: {error:?}"))?;
    let path = format!("/sse?n={LENGTH}&ms={}", PACE.as_millis());
    let answer = client.get(host, &path).await;
    let answer = answer.map_err(|error| format!("events: {error:?}"))?;
    let heard = answer.text().matches("data:").count();
    if answer.status != 200 || heard != LENGTH {
        return Err(format!("events: {} with {heard} of them", answer.status));
    }
    Ok(())
}

async fn messages(address: SocketAddr, host: &str) -> Result<(), String> {
    let talk = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!(
            "GET /echo HTTP/1.1\r\nhost: {host}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        if !head.starts_with(b"HTTP/1.1 101") {
            let head = String::from_utf8_lossy(&head).into_owned();
            return Err(std::io::Error::other(head));
        }
        for number in 0..LENGTH {
            // A binary frame, masked with zeros, which leave it as it is.
            let mut frame = vec![0x82, 0x84, 0, 0, 0, 0];
            frame.extend_from_slice(&u32::try_from(number).unwrap().to_be_bytes());
            stream.write_all(&frame).await?;
            let mut heard = vec![0; frame.len()];
            stream.read_exact(&mut heard).await?;
            if heard != frame {
                return Err(std::io::Error::other(format!(
                    "message {number}: {heard:?}"
                )));
            }
            tokio::time::sleep(PACE).await;
        }
        Ok(())
    };
    match timeout(PATIENCE, talk).await {
        Ok(Ok(())) => Ok(()),
        other => Err(format!("messages: {other:?}")),
    }
}
