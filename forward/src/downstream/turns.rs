//! One HTTP/2 connection's bytes, in turns, where the h2 crate would go on for as long as it can. What
//! was read is taken on before more is read: streams that were opened and reset would add up to the
//! end of the connection, however fast we are. What waits to be written is written before more is
//! taken: a client with wide windows that doesn't read its socket would have us keep it all.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::{Connection, SendResponse};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::limits;

/// A connection that is read and written one turn at a time.
#[derive(Debug)]
pub(super) struct Turns<T> {
    io: T,
    turn: Turn,
}

/// How far the turn is; shared by the connection and its streams.
#[derive(Clone, Debug)]
pub(super) struct Turn(Rc<State>);

#[derive(Debug)]
struct State {
    /// Bytes that may be read in this turn.
    left: Cell<usize>,
    /// Bytes of content that streams have sent since everything was last written.
    unwritten: Cell<usize>,
    /// The socket took no more when it was last tried.
    blocked: Cell<bool>,
    /// Streams that wait for that.
    waiting: RefCell<Vec<Waker>>,
}

impl Turn {
    fn new() -> Self {
        Self(Rc::new(State {
            left: Cell::new(limits::TURN_BYTES),
            unwritten: Cell::new(0),
            blocked: Cell::new(false),
            waiting: RefCell::default(),
        }))
    }

    /// A stream has sent that much.
    pub(super) fn sent(&self, bytes: usize) {
        self.0.unwritten.set(self.0.unwritten.get() + bytes);
    }

    /// Ready when a stream may send more; it is woken when it can.
    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        let limit = match self.0.blocked.get() {
            true => limits::BLOCKED_WRITE_BYTES,
            false => limits::CONNECTION_WRITE_BYTES,
        };
        if self.0.unwritten.get() < limit {
            return Poll::Ready(());
        }
        let mut waiting = self.0.waiting.borrow_mut();
        // An exchange asks again whenever anything happens to it.
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    fn written(&self) {
        self.0.unwritten.set(0);
        if !self.0.waiting.borrow().is_empty() {
            for waker in self.0.waiting.take() {
                waker.wake();
            }
        }
    }

    /// The next stream; once there is none left, the next turn begins.
    pub(super) fn poll_accept<T: AsyncRead + AsyncWrite + Unpin>(
        &self,
        connection: &mut Connection<T, Bytes>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Accepted>> {
        let accepted = connection.poll_accept(cx);
        if accepted.is_pending() && self.0.left.replace(limits::TURN_BYTES) == 0 {
            // There may be more to read that nobody will be woken for.
            cx.waker().wake_by_ref();
        }
        accepted
    }
}

/// A stream, or how the connection ended.
pub(super) type Accepted = Result<(Request<RecvStream>, SendResponse<Bytes>), h2::Error>;

impl<T> Turns<T> {
    pub(super) fn new(io: T) -> (Self, Turn) {
        let turn = Turn::new();
        let turns = Self {
            io,
            turn: turn.clone(),
        };
        (turns, turn)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Turns<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = self.turn.0.left.get();
        if left == 0 {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buffer))?;
        let read = buffer.filled().len() - before;
        self.turn.0.left.set(left.saturating_sub(read));
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Turns<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.turn.0.blocked.set(written.is_pending());
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.turn.0.blocked.set(written.is_pending());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The library flushes when it has handed over all that it could send, and a stream sends only
        // what its windows have room for.
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        self.turn.written();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;
    use crate::downstream::h2::builder;

    /// A client that has sent everything already, and reads nothing.
    struct Wire {
        sent: Vec<u8>,
        read: usize,
    }

    impl AsyncRead for Wire {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let rest = &self.sent[self.read..];
            let length = rest.len().min(buffer.remaining());
            buffer.put_slice(&rest[..length]);
            self.read += length;
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Wire {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// So many streams, each reset right behind its head, in the fewest bytes there are.
    fn resets(streams: u32) -> Vec<u8> {
        let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
        for stream in 0..streams {
            let stream = (2 * stream + 1).to_be_bytes();
            // GET, http, `/` and the authority `a`; END_STREAM and END_HEADERS.
            sent.extend(b"\0\0\x06\x01\x05");
            sent.extend(stream);
            sent.extend(b"\x82\x86\x84\x01\x01a");
            sent.extend(b"\0\0\x04\x03\0");
            sent.extend(stream);
            sent.extend(8_u32.to_be_bytes());
        }
        sent
    }

    #[tokio::test]
    async fn streams_that_are_reset_at_once_never_add_up() {
        const STREAMS: u32 = 20_000;
        let sent = resets(STREAMS);
        let (io, turn) = Turns::new(Wire { sent, read: 0 });
        let mut connection = builder().handshake(io).await.unwrap();
        let mut accepted = 0;
        while let Some(stream) = poll_fn(|cx| turn.poll_accept(&mut connection, cx)).await {
            stream.unwrap();
            accepted += 1;
        }
        assert_eq!(accepted, STREAMS);
    }
}
