//! Moves a connection's bytes: what its core wants said to the socket, and what the socket says to the
//! core. Keeps neither peer nor connection: it ends with their last user, or with the socket.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Peer;
use crate::budget::Credit;
use crate::h1::buffer::ReadBuffer;
use crate::h2::Core;
use crate::h2::frame::Code;
use crate::upstream::dial;
use crate::upstream::source::Source;
use crate::{limits, turn};

/// Reads of one turn, before what they woke gets its own.
const READS_PER_TURN: usize = 4;

/// One connection's bytes.
#[derive(Debug)]
pub(super) struct Driver {
    io: TcpStream,
    read: ReadBuffer,
    core: Rc<RefCell<Core>>,
    credit: Rc<Credit>,
    /// What it was told last of the credit.
    told: Option<u32>,
    /// Streams that the peer allowed when it was looked at last.
    allowed: usize,
    /// The socket takes nothing any more; what the peer said before is still to be read.
    broken: bool,
}

impl Driver {
    /// An HTTP/2 connection with prior knowledge whose peer has said what it allows: no stream may be
    /// opened before, or a peer that allows few would refuse what it gets too much of.
    ///
    /// # Errors
    /// As [`dial::tcp`], or the peer does not speak HTTP/2 within [`limits::SETTINGS_TIME`].
    pub(super) async fn dial(
        address: SocketAddr,
        source: Option<&Source>,
        credit: &Rc<Credit>,
    ) -> io::Result<Self> {
        let mut driver = Self {
            io: dial::tcp(address, source).await?,
            read: ReadBuffer::default(),
            core: Rc::new(RefCell::new(Core::client())),
            credit: Rc::clone(credit),
            told: None,
            allowed: 0,
            broken: false,
        };
        let settled = poll_fn(|cx| driver.poll_settled(cx));
        tokio::time::timeout(limits::SETTINGS_TIME, settled)
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no HTTP/2 settings"))??;
        Ok(driver)
    }

    fn poll_settled(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let core = &mut *self.core.borrow_mut();
        loop {
            if core.out.poll_flush(&mut self.io, cx)?.is_ready() && core.is_settled() {
                return Poll::Ready(Ok(()));
            }
            let Poll::Ready(read) = self.read.poll_read(&mut self.io, cx)? else {
                return Poll::Pending;
            };
            if read == 0 {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            if core.receive(self.read.bytes()).is_err() {
                return Poll::Ready(Err(io::Error::other("it does not speak HTTP/2")));
            }
        }
    }

    /// What it moves bytes for.
    pub(super) fn core(&self) -> Rc<RefCell<Core>> {
        Rc::clone(&self.core)
    }

    /// Goes on to the connection's end.
    pub(super) async fn run(mut self, peer: &Weak<Peer>) {
        let ended = poll_fn(|cx| self.poll(peer, cx)).await;
        self.core.borrow_mut().end(None);
        if let Err(error) = ended {
            tracing::debug!(%error, "upstream connection ended");
            return;
        }
        // The peer closes its half when it has read that; it is not waited for.
        self.io.shutdown().await.ok();
    }

    fn poll(&mut self, peer: &Weak<Peer>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        turn::look();
        self.credit.wake_on_change(&mut self.told, cx);
        let core = &mut *self.core.borrow_mut();
        core.attend(cx);
        core.offer(self.credit.window());
        let mut reads = 0;
        while let Poll::Ready(read) = self.read.poll_read(&mut self.io, cx)? {
            if read == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            if let Err(code) = core.receive(self.read.bytes()) {
                return end(core, code, &mut self.io, cx);
            }
            reads += 1;
            if reads == READS_PER_TURN {
                cx.waker().wake_by_ref();
                break;
            }
        }
        if core.is_empty() {
            self.read.release();
        }
        let allowed = core.allowed().unwrap_or(0);
        if allowed > std::mem::replace(&mut self.allowed, allowed)
            && let Some(peer) = peer.upgrade()
        {
            peer.widened();
        }
        if core.is_done() {
            core.end(Some(Code::NO_ERROR));
        }
        if self.broken {
            // Its end is read sooner or later, and a GOAWAY before that says what was looked at.
            return match core.is_done() {
                true => Poll::Ready(Ok(())),
                false => Poll::Pending,
            };
        }
        let flushed = core.out.poll_flush(&mut self.io, cx);
        if let Poll::Ready(Err(_)) = flushed {
            self.broken = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if core.wake_waiting() {
            cx.waker().wake_by_ref();
        }
        match core.is_done() {
            true => flushed,
            false => Poll::Pending,
        }
    }
}

/// Tells a peer that broke the protocol why its connection ends, if it still listens.
fn end<T: AsyncWrite + Unpin>(
    core: &mut Core,
    code: Code,
    io: &mut T,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    core.end(Some(code));
    let _told_or_not = core.out.poll_flush(io, cx);
    let broken = format!("the peer broke the protocol: HTTP/2 error {}", code.0);
    Poll::Ready(Err(io::Error::other(broken)))
}
