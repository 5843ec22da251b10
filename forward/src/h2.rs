//! PURE. HTTP/2 by its RFCs: frames (RFC 9113), header compression (RFC 7541), and a connection's state,
//! bytes in and bytes out. Nothing here knows of sockets or tasks, but for whom to wake.

mod core;
mod entry;
pub(crate) mod frame;
pub(crate) mod hpack;
mod message;
mod receive;
mod send;

pub(crate) use self::core::{Accepted, Core, Unread};
pub(crate) use self::entry::{Entry, Fault};
