//! PURE. Header compression as a client needs it (RFC 7541): requests out, responses in. Each side of a
//! connection has one table, which every block changes: a block that can't be read ends the connection.

mod decoder;
mod encoder;
mod huffman;
mod integer;
mod table;

pub(crate) use decoder::Decoder;
pub(crate) use encoder::Encoder;

use http::{HeaderName, HeaderValue, StatusCode};

/// What the table may hold unless its reader says otherwise, as RFC 7541 §4.1 counts.
pub(crate) const TABLE: usize = 4096;

/// What an entry is counted for beside its strings (RFC 7541 §4.1).
const ENTRY: usize = 32;

/// One field of a response.
#[derive(Clone, Debug)]
pub(crate) enum Field {
    /// `:status`.
    Status(StatusCode),
    /// Any other.
    Regular(HeaderName, HeaderValue),
    /// What no response may have, with the length of its name; its message is malformed, its connection
    /// isn't.
    Malformed(usize),
}

impl Field {
    /// Bytes of its name.
    fn name(&self) -> usize {
        match self {
            Self::Status(_) => ":status".len(),
            Self::Regular(name, _) => name.as_str().len(),
            Self::Malformed(length) => *length,
        }
    }
}

/// The block can't be read, and no later one either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken;
