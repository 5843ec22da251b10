//! PURE. What flows through an exchange: body frames, interim responses, and the two words for why
//! a side is no longer there.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

/// One piece of a body.
#[derive(Debug)]
pub enum Frame {
    /// Bytes of content.
    Data(Bytes),
    /// Trailers; nothing follows.
    Trailers(HeaderMap),
}

impl Frame {
    /// Bytes of content.
    pub const fn content(&self) -> usize {
        match self {
            Self::Data(data) => data.len(),
            Self::Trailers(_) => 0,
        }
    }
}

/// How a message's body is delimited where it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// There is none.
    None,
    /// Exactly this many bytes.
    Length(u64),
    /// Until its own end mark.
    Stream,
    /// Bytes of another protocol, both ways, until either side ends: a WebSocket.
    Tunnel,
}

impl Body {
    /// There is none, or it is empty.
    pub const fn is_none(self) -> bool {
        matches!(self, Self::None)
    }
}

/// A response before the response (RFC 9110 §15.2), 101 excepted.
#[derive(Debug)]
pub struct Interim {
    /// 100, 102, 103 …
    pub status: StatusCode,
    /// Its fields.
    pub fields: HeaderMap,
}

/// The client is no longer there, or can't be understood any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// It closed or reset.
    Left,
    /// It broke the protocol in the middle of a body.
    Broken,
    /// It neither sent nor took a byte in time.
    Stalled,
}
