//! What every TCP connection of the data path is set to, on either side.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::{fmt, io};

use socket2::{SockRef, TcpKeepalive};
use tokio::io::Interest;
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

/// Sees that the peer reset a connection of whose bytes some are left unread, so that reading can't
/// tell. A peer that only closes is seen by nobody before all it sent was read.
pub struct ResetWatch {
    /// `None`: it was.
    reset: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl fmt::Debug for ResetWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("ResetWatch");
        debug.field("seen", &self.reset.is_none()).finish()
    }
}

impl ResetWatch {
    /// Costs a file descriptor: what is asked of the connection's own is whether it can be read.
    ///
    /// # Errors
    /// There are no more of them.
    pub(crate) fn new(stream: &TcpStream) -> io::Result<Self> {
        let socket = SockRef::from(stream).try_clone()?;
        let stream = TcpStream::from_std(socket.into())?;
        let reset = async move {
            // It fails with the runtime only, which takes the connection with it.
            stream.ready(Interest::ERROR).await.ok();
        };
        Ok(Self {
            reset: Some(Box::pin(reset)),
        })
    }

    /// Ready once the connection was reset.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(reset) = &mut self.reset {
            ready!(reset.as_mut().poll(cx));
            self.reset = None;
        }
        Poll::Ready(())
    }
}
