//! PURE. Header compression (RFC 7541). Each direction of a connection has one table, which every block
//! changes: a block that can't be read ends the connection.

mod decoder;
mod encoder;
mod huffman;
mod integer;
mod table;

pub(crate) use decoder::Decoder;
pub(crate) use encoder::Encoder;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue, Method, StatusCode};

use crate::websocket::Protocol;

/// What the table may hold unless its reader says otherwise, as RFC 7541 §4.1 counts.
pub(crate) const TABLE: usize = 4096;

/// What an entry is counted for beside its strings (RFC 7541 §4.1).
const ENTRY: usize = 32;

/// One field of a message. Its own parts are kept as what they mean: one that comes again isn't read
/// again.
#[derive(Clone, Debug)]
pub(crate) enum Field {
    /// `:status`.
    Status(StatusCode),
    /// `:method`.
    Method(Method),
    /// `:scheme`.
    Scheme(Scheme),
    /// `:authority`.
    Authority(Authority),
    /// `:path`.
    Path(PathAndQuery),
    /// `:protocol` (RFC 8441 §4).
    Protocol(Protocol),
    /// Any other.
    Regular(HeaderName, HeaderValue),
    /// What no message may have, under which name; its message is malformed, its connection isn't.
    Malformed(Name),
}

/// A field's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Status,
    Method,
    Scheme,
    Authority,
    Path,
    Protocol,
    Regular(HeaderName),
    /// None that may be, of that length.
    Malformed(usize),
}

impl Field {
    fn name(&self) -> Name {
        match self {
            Self::Status(_) => Name::Status,
            Self::Method(_) => Name::Method,
            Self::Scheme(_) => Name::Scheme,
            Self::Authority(_) => Name::Authority,
            Self::Path(_) => Name::Path,
            Self::Protocol(_) => Name::Protocol,
            Self::Regular(name, _) => Name::Regular(name.clone()),
            Self::Malformed(name) => name.clone(),
        }
    }
}

impl Name {
    /// How it is written; of one that may not be, nothing is kept.
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Status => b":status",
            Self::Method => b":method",
            Self::Scheme => b":scheme",
            Self::Authority => b":authority",
            Self::Path => b":path",
            Self::Protocol => b":protocol",
            Self::Regular(name) => name.as_str().as_bytes(),
            Self::Malformed(_) => b"",
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Malformed(length) => *length,
            _ => self.as_bytes().len(),
        }
    }
}

/// The block can't be read, and no later one either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken;
