//! Opens connections. Takes addresses, never names: resolving one would block the request path.

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::net::TcpStream;

use crate::{limits, socket};

/// A TCP connection, without delay of small writes.
///
/// # Errors
/// Refused, unreachable, or not there within [`limits::CONNECT_TIMEOUT`].
pub(crate) async fn tcp(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = tokio::time::timeout(limits::CONNECT_TIMEOUT, dial(address))
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no answer to the dial"))??;
    socket::set_up(&stream)?;
    Ok(stream)
}

/// A peer whose accept queue is full drops the dial, and the kernel repeats it only after a second:
/// this asks anew, sooner, and with growing patience.
async fn dial(address: SocketAddr) -> io::Result<TcpStream> {
    let mut patience = limits::DIAL_PATIENCE;
    loop {
        match tokio::time::timeout(patience, TcpStream::connect(address)).await {
            Ok(dialled) => return dialled,
            Err(_) => patience *= 2,
        }
    }
}

/// An HTTP/2 connection with prior knowledge, and the future that drives it.
///
/// # Errors
/// As [`tcp`], or the peer does not speak HTTP/2.
pub(crate) async fn h2(
    address: SocketAddr,
) -> io::Result<(
    SendRequest<Bytes>,
    impl Future<Output = Result<(), h2::Error>>,
)> {
    let stream = tcp(address).await?;
    let mut builder = h2::client::Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(limits::STREAM_WINDOW)
        .initial_connection_window_size(limits::CONNECTION_WINDOW)
        .initial_max_send_streams(limits::STREAMS_PER_CONNECTION as usize)
        .max_frame_size(limits::FRAME_BYTES)
        .max_header_list_size(limits::HEADER_LIST_BYTES)
        .max_send_buffer_size(limits::SEND_BUFFER_BYTES)
        .max_concurrent_reset_streams(limits::REMEMBERED_RESETS)
        .max_local_error_reset_streams(None)
        .data_frame_budget(limits::DATA_FRAME_BUDGET);
    builder.handshake(stream).await.map_err(io::Error::other)
}
