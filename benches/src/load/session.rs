//! One connection of the generator, whichever version of HTTP it speaks.

use serde::{Deserialize, Serialize};

use super::{Plan, h2, websocket::Upgraded};
use crate::wire::h1::{Part, Reader, Unreadable};

/// How one side of a proxy speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1 with keep-alive, one exchange at a time.
    H1,
    /// HTTP/2 with prior knowledge.
    H2,
}

impl Protocol {
    /// As it is written in the names of cases.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::H1 => "h1",
            Self::H2 => "h2",
        }
    }
}

/// Where a session reports the progress of exchanges.
pub trait Sink {
    /// Body bytes arrived.
    fn data(&mut self, slot: u32, piece: &[u8]);
    /// The response is complete.
    fn done(&mut self, slot: u32);
    /// The exchange ended any other way.
    fn failed(&mut self, slot: u32, why: &str);
}

/// Why a connection can't go on.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The peer's HTTP/1.1 can't be read.
    #[error(transparent)]
    H1(#[from] Unreadable),
    /// The peer ended the HTTP/2 connection.
    #[error("the peer sent GOAWAY, error code {0}")]
    GoAway(u32),
}

/// One connection.
#[derive(Debug)]
pub enum Session {
    /// See [`Protocol::H1`].
    H1 {
        /// The request, ready to send.
        request: Vec<u8>,
        /// The exchange in progress.
        slot: Option<u32>,
        /// The response in progress.
        reader: Reader,
    },
    /// See [`Protocol::H2`].
    H2(h2::Client),
    /// HTTP/1.1 that became a WebSocket.
    Upgraded(Upgraded),
}

impl Session {
    /// Begins a connection: its first bytes go to `out`.
    #[must_use]
    pub fn new(plan: &Plan, out: &mut Vec<u8>) -> Self {
        match plan.protocol {
            Protocol::H1 if plan.websocket => Self::Upgraded(Upgraded::new(plan, out)),
            Protocol::H1 => Self::H1 {
                request: h1_request(plan),
                slot: None,
                reader: Reader::default(),
            },
            Protocol::H2 => Self::H2(h2::Client::new(plan, out)),
        }
    }

    /// Whether requests may be sent.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        match self {
            Self::H1 { .. } => true,
            Self::H2(client) => client.is_ready(),
            Self::Upgraded(socket) => socket.is_open(),
        }
    }

    /// Begins an exchange; the caller keeps to the number of streams it was made for.
    pub fn start(&mut self, exchange: u32, out: &mut Vec<u8>) {
        match self {
            Self::H1 { request, slot, .. } => {
                *slot = Some(exchange);
                out.extend_from_slice(request);
            }
            Self::H2(client) => client.start(exchange, out),
            Self::Upgraded(socket) => socket.start(exchange, out),
        }
    }

    /// Understands `received`, answers what needs an answer, and returns the bytes used.
    ///
    /// # Errors
    /// When the connection can't be used any more.
    pub fn ingest(
        &mut self,
        received: &[u8],
        out: &mut Vec<u8>,
        sink: &mut impl Sink,
    ) -> Result<usize, Broken> {
        match self {
            Self::H1 { slot, reader, .. } => h1_ingest(received, slot, reader, sink),
            Self::H2(client) => client.ingest(received, out, sink),
            Self::Upgraded(socket) => socket.ingest(received, sink),
        }
    }
}

fn h1_request(plan: &Plan) -> Vec<u8> {
    let method = if plan.post { "POST" } else { "GET" };
    let mut text = format!("{method} / HTTP/1.1\r\nhost: {}\r\n", plan.authority);
    for (name, value) in &plan.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(if plan.post {
        "content-length: 1\r\n\r\nx"
    } else {
        "\r\n"
    });
    text.into_bytes()
}

fn h1_ingest(
    received: &[u8],
    slot: &mut Option<u32>,
    reader: &mut Reader,
    sink: &mut impl Sink,
) -> Result<usize, Broken> {
    let mut used = 0;
    while let Some(exchange) = *slot {
        let (size, part) = reader.step(&received[used..])?;
        used += size;
        match part {
            Part::Body(piece) => sink.data(exchange, piece),
            Part::End => {
                *slot = None;
                sink.done(exchange);
            }
            Part::More => break,
            Part::Framing => {}
        }
    }
    Ok(used)
}
