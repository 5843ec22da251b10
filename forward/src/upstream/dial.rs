//! Opens connections. Takes addresses, never names: resolving one would block the request path.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;

use bytes::Bytes;
use h2::client::{Builder, Connection, SendRequest};
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

/// An HTTP/2 connection with prior knowledge whose peer has said what it allows, and the future that
/// drives it.
///
/// # Errors
/// As [`tcp`], or the peer does not speak HTTP/2 within [`limits::SETTINGS_TIME`].
pub(crate) async fn h2(
    address: SocketAddr,
    source: Option<&Source>,
) -> io::Result<(SendRequest<Bytes>, Connection<TcpStream, Bytes>)> {
    let stream = tcp(address, source).await?;
    let settled = async {
        let (send, mut driver) = builder()
            .handshake(stream)
            .await
            .map_err(io::Error::other)?;
        // No stream may be opened before the settings are there, or a peer that allows few would
        // refuse what it gets too much of.
        poll_fn(|cx| match Pin::new(&mut driver).poll(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(io::Error::other(error))),
            Poll::Ready(Ok(())) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            Poll::Pending if send.current_max_send_streams() == 0 => Poll::Pending,
            Poll::Pending => Poll::Ready(Ok(())),
        })
        .await?;
        Ok((send, driver))
    };
    tokio::time::timeout(limits::SETTINGS_TIME, settled)
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no HTTP/2 settings"))?
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(limits::STREAM_WINDOW)
        .initial_connection_window_size(limits::CONNECTION_WINDOW)
        // Until the peer has said how many it allows.
        .initial_max_send_streams(0)
        .max_frame_size(limits::FRAME_BYTES)
        .max_header_list_size(limits::HEADER_LIST_BYTES)
        .max_send_buffer_size(limits::SEND_BUFFER_BYTES)
        .max_concurrent_reset_streams(limits::REMEMBERED_RESETS)
        .max_local_error_reset_streams(None)
        .data_frame_budget(limits::DATA_FRAME_BUDGET);
    builder
}
