//! Pings from both ends of one call at once, each answered; the client reads with pauses.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::echo::Echo;

/// What one game came to.
pub(super) struct Played {
    /// What the two ends saw, the same each time.
    pub(super) seen: String,
    /// Longest wait for a message while the reader waited.
    read: Duration,
    /// Longest wait to send a message.
    sent: Duration,
    took: Duration,
}

/// The reader's longest pause: windows and buffers on the way fill up.
pub(super) const LONGEST_LAG: Duration = Duration::from_millis(300);

/// Its other pauses, one every so many messages.
const LAG: Duration = Duration::from_millis(20);
const LAG_EVERY: u64 = 100;

/// Of one message, in bytes: a thousand of them are more than the windows on the way.
const SIZE: usize = 8_192;

/// Messages between the client's writers and its connection.
const QUEUE: usize = 4;

/// What the client's reader saw.
#[derive(Default)]
struct Read {
    pings: u64,
    pongs: u64,
    longest: Duration,
}

impl Played {
    /// Longest wait of all.
    pub(super) fn longest(&self) -> Duration {
        self.read.max(self.sent)
    }
}

impl fmt::Display for Played {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, took, .. } = self;
        write!(f, "{took:.1?}; waited for a message ")?;
        write!(f, "{:.1?}, to send one {sent:.1?} at most", self.read)
    }
}

/// Plays: each end sends `count` pings and answers those of the other.
pub(super) async fn play(address: SocketAddr, authority: &str, count: u64) -> Played {
    let mut echo = Echo::connect(address, authority).await;
    let began = Instant::now();
    let (requests, to_send) = mpsc::channel(QUEUE);
    requests.try_send(format!("{count} {SIZE}").into()).unwrap();
    let call = echo.streaming("PingPong", ReceiverStream::new(to_send));
    let mut answers = call.await.unwrap().into_inner();
    let pings = tokio::spawn(ping(requests.clone(), count));
    let read = read(&mut answers, requests, count).await;
    let saw = answers.message().await.unwrap().expect("a last message");
    assert!(answers.message().await.unwrap().is_none());
    let saw = String::from_utf8(saw.to_vec()).unwrap();
    Played {
        seen: format!(
            "the client saw {} {}, the program {saw}",
            read.pings, read.pongs
        ),
        read: read.longest,
        sent: pings.await.unwrap(),
        took: began.elapsed(),
    }
}

/// Sends the client's pings; the longest wait.
async fn ping(requests: mpsc::Sender<Bytes>, count: u64) -> Duration {
    let mut longest = Duration::ZERO;
    for number in 0..count {
        let began = Instant::now();
        requests.send(message("ping", number)).await.unwrap();
        longest = longest.max(began.elapsed());
    }
    longest
}

/// Reads until every ping has come and every pong, in their order, and answers the pings.
async fn read(answers: &mut Streaming<Bytes>, requests: mpsc::Sender<Bytes>, count: u64) -> Read {
    let mut read = Read::default();
    while read.pings < count || read.pongs < count {
        let began = Instant::now();
        let answer = answers.message().await.unwrap().expect("the call goes on");
        read.longest = read.longest.max(began.elapsed());
        if answer == message("ping", read.pings) {
            requests.send(message("pong", read.pings)).await.unwrap();
            read.pings += 1;
        } else {
            assert!(answer == message("pong", read.pongs), "not in order");
            read.pongs += 1;
        }
        let messages = read.pings + read.pongs;
        if messages == count {
            tokio::time::sleep(LONGEST_LAG).await;
        } else if messages.is_multiple_of(LAG_EVERY) {
            tokio::time::sleep(LAG).await;
        }
    }
    read
}

fn message(kind: &str, number: u64) -> Bytes {
    let mut message = format!("{kind} {number} ").into_bytes();
    message.resize(message.len() + SIZE, b'.');
    message.into()
}
