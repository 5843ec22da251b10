//! What every TCP connection of the data path is set to, on either side.

use std::io;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

use crate::limits;

/// Small writes go at once, and a peer whose machine is gone is noticed.
///
/// # Errors
/// The connection is gone already.
pub(crate) fn set_up(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(limits::KEEPALIVE)
        .with_interval(limits::KEEPALIVE_RETRY)
        .with_retries(3);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}
