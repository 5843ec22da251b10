//! The HTTP/1.1 wire (RFC 9112), strict in and canonical out: `head` and `body` turn bytes into
//! checked heads and body frames and back, without I/O; `buffer` moves the bytes.

pub mod body;
pub mod buffer;
pub mod head;
