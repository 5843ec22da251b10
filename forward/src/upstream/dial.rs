//! Opens connections. Takes addresses, never names: resolving one would block the request path.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpSocket, TcpStream};

use crate::upstream::source::Source;
use crate::{limits, socket};

/// A TCP connection, without delay of small writes.
///
/// # Errors
/// Refused, unreachable, or not there within [`limits::CONNECT_TIMEOUT`].
pub(crate) async fn tcp(address: SocketAddr, source: Option<&Source>) -> io::Result<TcpStream> {
    let stream = tokio::time::timeout(limits::CONNECT_TIMEOUT, dial(address, source))
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no answer to the dial"))??;
    socket::set_up(&stream)?;
    Ok(stream)
}

/// A peer whose accept queue is full drops the dial, and the kernel repeats it only after a second:
/// this asks anew, sooner, and with growing patience.
async fn dial(address: SocketAddr, source: Option<&Source>) -> io::Result<TcpStream> {
    let mut patience = limits::DIAL_PATIENCE;
    loop {
        match tokio::time::timeout(patience, connect(address, source)).await {
            Ok(dialled) => return dialled,
            Err(_) => patience *= 2,
        }
    }
}

async fn connect(address: SocketAddr, source: Option<&Source>) -> io::Result<TcpStream> {
    let Some(source) = source else {
        return TcpStream::connect(address).await;
    };
    let from = source.address().ok_or_else(|| {
        let pool = source.pool();
        io::Error::other(format!(
            "no agent on this machine has the egress pool `{pool}`"
        ))
    })?;
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((from, 0)))?;
    socket.connect(address).await
}
