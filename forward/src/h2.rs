//! PURE. HTTP/2 as a client speaks it: frames (RFC 9113) and header compression (RFC 7541), bytes in
//! and bytes out. Nothing here knows of sockets, streams or tasks.

pub(crate) mod frame;
pub(crate) mod hpack;
