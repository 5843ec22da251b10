//! Reads of one HTTP/2 connection, in turns: what was read is taken on before more is. The h2 crate
//! reads for as long as there is something to read, and meanwhile nobody accepts what came: streams
//! that were opened and reset would add up to the end of the connection, however fast we are.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::{Connection, SendResponse};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::limits;

/// A connection that is read one turn at a time.
#[derive(Debug)]
pub(super) struct Turns<T> {
    io: T,
    turn: Turn,
}

/// How much may be read before the next turn begins.
#[derive(Clone, Debug)]
pub(super) struct Turn(Rc<Cell<usize>>);

impl Turn {
    /// The next stream; once there is none left, the next turn begins.
    pub(super) fn poll_accept<T: AsyncRead + AsyncWrite + Unpin>(
        &self,
        connection: &mut Connection<T, Bytes>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Accepted>> {
        let accepted = connection.poll_accept(cx);
        if accepted.is_pending() && self.0.replace(limits::TURN_BYTES) == 0 {
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
        let turn = Turn(Rc::new(Cell::new(limits::TURN_BYTES)));
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
        let left = self.turn.0.get();
        if left == 0 {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buffer))?;
        let read = buffer.filled().len() - before;
        self.turn.0.set(left.saturating_sub(read));
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Turns<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
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
