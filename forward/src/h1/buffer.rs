//! The bytes on their way in and out of one HTTP/1.1 socket. What waits to be written is bounded by
//! its users, who ask [`WriteBuffer::is_full`] first; an idle connection holds no memory here.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::limits;
use crate::socket::ResetWatch;

/// A byte stream to a peer that can be ended so that the peer sees an error, not an end.
pub trait Socket: AsyncRead + AsyncWrite + Unpin + 'static {
    /// Closing from now on resets the connection.
    fn reset_on_close(&self);

    /// Watches for a reset that reading doesn't come to; `None`: it can't be.
    fn watch_reset(&self) -> Option<ResetWatch>;
}

impl Socket for tokio::net::TcpStream {
    fn reset_on_close(&self) {
        // Fails only on a socket that is gone already.
        self.set_zero_linger().ok();
    }

    fn watch_reset(&self) -> Option<ResetWatch> {
        ResetWatch::new(self).ok()
    }
}

impl Socket for tokio::io::DuplexStream {
    fn reset_on_close(&self) {}

    fn watch_reset(&self) -> Option<ResetWatch> {
        None
    }
}

/// What was read and not yet taken. Reads grow while they come back full, and shrink again.
#[derive(Debug)]
pub struct ReadBuffer {
    bytes: BytesMut,
    next_read: usize,
    /// Bytes of the last piece of content that were not passed on.
    piece: usize,
}

impl Default for ReadBuffer {
    fn default() -> Self {
        Self {
            bytes: BytesMut::new(),
            next_read: limits::FIRST_READ_BYTES,
            piece: 0,
        }
    }
}

impl ReadBuffer {
    /// What was read and not yet taken.
    pub const fn bytes(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    /// Nothing is left.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes that are left.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Gives the memory back while nothing is left.
    pub fn release(&mut self) {
        if self.bytes.is_empty() {
            *self = Self::default();
        }
    }

    /// A piece of content of that size was taken.
    pub const fn hand_on(&mut self, piece: usize) {
        self.piece = piece;
    }

    /// So much of it has been passed on. Whoever can pass on only a part has no use for larger pieces.
    pub fn passed(&mut self, bytes: usize) {
        if bytes < self.piece {
            self.next_read = self.next_read.min(bytes.max(limits::FIRST_READ_BYTES));
        }
        self.piece = self.piece.saturating_sub(bytes);
    }

    /// Reads once; 0: the peer will send no more.
    ///
    /// # Errors
    /// The socket's.
    pub fn poll_read<T: AsyncRead + Unpin>(
        &mut self,
        io: &mut T,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let spare = self.bytes.capacity() - self.bytes.len();
        if spare < self.next_read / 2 {
            self.bytes.reserve(self.next_read);
        }
        let room = self.bytes.capacity() - self.bytes.len();
        let read = ready!(tokio_util::io::poll_read_buf(
            Pin::new(io),
            cx,
            &mut self.bytes
        ))?;
        if read == room {
            self.next_read = (self.next_read * 2).min(limits::READ_BYTES);
        } else if read < self.next_read / 4 {
            self.next_read = (self.next_read / 2).max(limits::FIRST_READ_BYTES);
        }
        Poll::Ready(Ok(read))
    }
}

/// What waits to be written.
#[derive(Debug, Default)]
pub struct WriteBuffer {
    /// In order, before `tail`.
    queue: VecDeque<Bytes>,
    tail: BytesMut,
    queued: usize,
    /// Bytes that the socket took.
    written: u64,
    /// The socket took no more when it was last tried.
    blocked: bool,
}

impl WriteBuffer {
    /// Where small pieces are appended.
    pub const fn tail(&mut self) -> &mut BytesMut {
        &mut self.tail
    }

    /// Appends content: small pieces by copy, large ones as they are.
    pub fn push(&mut self, data: Bytes) {
        if data.len() < limits::COALESCE_BYTES {
            self.tail.extend_from_slice(&data);
            return;
        }
        if !self.tail.is_empty() {
            let tail = self.tail.split().freeze();
            self.queued += tail.len();
            self.queue.push_back(tail);
        }
        self.queued += data.len();
        self.queue.push_back(data);
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.queued + self.tail.len()
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that the socket took.
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// Bytes that were ever added.
    pub fn added(&self) -> u64 {
        self.written + self.len() as u64
    }

    /// The socket took no more when it was last tried.
    pub fn is_blocked(&self) -> bool {
        self.blocked && !self.is_empty()
    }

    /// More may only be added after some was written.
    pub fn is_full(&self) -> bool {
        self.len() >= limits::WRITE_BYTES
    }

    /// Writes until nothing waits.
    pub fn poll_flush<T: AsyncWrite + Unpin>(
        &mut self,
        io: &mut T,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            ready!(self.poll_write(io, cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes until it isn't full, and the socket takes more: what is added before that only waits.
    pub fn poll_room<T: AsyncWrite + Unpin>(
        &mut self,
        io: &mut T,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.is_full() || self.is_blocked() {
            ready!(self.poll_write(io, cx))?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write<T: AsyncWrite + Unpin>(
        &mut self,
        io: &mut T,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let mut slices: [IoSlice<'_>; 16] = std::array::from_fn(|_| IoSlice::new(&[]));
        let mut used = 0;
        let pieces = self
            .queue
            .iter()
            .map(Bytes::as_ref)
            .chain([self.tail.as_ref()]);
        for (slot, piece) in slices.iter_mut().zip(pieces) {
            *slot = IoSlice::new(piece);
            used += 1;
        }
        let slices = slices.get(..used).unwrap_or_default();
        let polled = Pin::new(io).poll_write_vectored(cx, slices);
        self.blocked = polled.is_pending();
        let written = ready!(polled)?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.written += written as u64;
        self.advance(written);
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, mut written: usize) {
        while let Some(front) = self.queue.front_mut() {
            let taken = front.len().min(written);
            front.advance(taken);
            written -= taken;
            self.queued -= taken;
            if !front.is_empty() {
                return;
            }
            self.queue.pop_front();
        }
        self.tail.advance(written.min(self.tail.len()));
        if self.tail.is_empty() && self.tail.capacity() > limits::COALESCE_BYTES {
            self.tail = BytesMut::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn pieces_small_and_large_come_out_in_order() {
        let (mut near, mut far) = tokio::io::duplex(1000);
        let mut buffer = WriteBuffer::default();
        let mut expected = Vec::new();
        for size in [1, 5000, 10, 20, 70_000, 3] {
            let piece = vec![u8::try_from(size % 251).unwrap(); size];
            expected.extend_from_slice(&piece);
            buffer.push(piece.into());
        }
        assert_eq!(buffer.len(), expected.len());
        let write = async move {
            std::future::poll_fn(|cx| buffer.poll_flush(&mut near, cx))
                .await
                .unwrap();
            assert!(buffer.is_empty());
        };
        let read = async move {
            let mut read = Vec::new();
            far.read_to_end(&mut read).await.unwrap();
            read
        };
        let ((), read) = tokio::join!(write, read);
        assert!(read == expected);
    }
}
