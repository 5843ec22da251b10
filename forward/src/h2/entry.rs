//! PURE. One stream of a connection: what came on it and wasn't taken yet, what each side may still send,
//! and how it ended. Whoever holds the stream is woken by what the connection changes here.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;

use crate::message::{Frame, Interim};

/// Pieces of a body that wait to be read before they are made one: a peer that sends byte by byte
/// would have us keep thirty bytes for each.
const PIECES: usize = 1024;

/// How the other side ended a stream before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It broke the protocol.
    Protocol,
    /// It says that it has processed nothing of it.
    Refused,
    /// It reset it or closed.
    Reset,
}

/// One stream, from its request's head until nobody holds it. A held exchange has two of these, so what
/// few streams have is boxed, and what all have for a moment is kept by their connection.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Its number on the wire.
    pub(super) id: u32,
    /// Where the connection keeps the response's head, until it is taken; a request's is handed over
    /// with its stream.
    pub(super) answer: Option<usize>,
    /// Bytes that may be sent; below 0 after the peer took some back.
    pub(super) room: i64,
    /// Bytes that the peer may send; below 0 after we took some back.
    pub(super) left: i64,
    /// Bytes that came and weren't passed on.
    pub(super) unread: usize,
    /// The answer to HEAD has a length and no content.
    pub(super) head: bool,
    /// Content that is to come, where its length was announced.
    pub(super) expected: Option<u64>,
    /// Responses before the response.
    #[expect(clippy::box_collection, reason = "few streams have any")]
    pub(super) interims: Option<Box<VecDeque<Interim>>>,
    /// The head said itself that nothing follows.
    pub(crate) bare: bool,
    /// Bytes that had gone out, or were to go out, before the stream's first.
    pub(super) from: u64,
    /// The head of what comes here is there; what follows is content.
    pub(crate) headed: bool,
    /// Content that wasn't taken.
    pub(super) body: Pieces,
    /// What ends it, if anything but its end does.
    pub(super) trailers: Option<Box<HeaderMap>>,
    /// What goes out has ended.
    pub(super) sent_end: bool,
    /// What comes in has ended.
    pub(crate) got_end: bool,
    /// What comes in ended before its time; what is there already is to be read first.
    pub(crate) failed: Option<Fault>,
    /// Neither side has anything to say any more, whatever was said.
    pub(crate) closed: bool,
    /// It waits in its connection's queue for room.
    pub(super) queued: bool,
    waker: Option<Waker>,
}

impl Entry {
    pub(super) fn new(id: u32, room: i64, left: i64) -> Self {
        Self {
            id,
            room,
            left,
            unread: 0,
            head: false,
            expected: None,
            interims: None,
            answer: None,
            bare: false,
            from: 0,
            headed: false,
            body: Pieces::default(),
            trailers: None,
            sent_end: false,
            got_end: false,
            failed: None,
            closed: false,
            queued: false,
            waker: None,
        }
    }

    /// Has this task woken by what comes next.
    pub(crate) fn wait(&mut self, cx: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.waker = Some(cx.waker().clone()),
        }
    }

    /// Wakes whoever holds it.
    pub(super) fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// It is over. What has come whole stays whole.
    pub(super) fn fail(&mut self, fault: Fault) {
        self.closed = true;
        self.sent_end = true;
        if !self.got_end {
            self.got_end = true;
            self.failed = Some(fault);
        }
        self.wake();
    }

    /// The next piece of what comes in; `None`: its whole end.
    pub(crate) fn poll_frame(&mut self, cx: &Context<'_>) -> Poll<Option<Result<Frame, Fault>>> {
        if let Some(piece) = self.body.pop() {
            return Poll::Ready(Some(Ok(Frame::Data(piece))));
        }
        if let Some(fault) = self.failed {
            return Poll::Ready(Some(Err(fault)));
        }
        if let Some(trailers) = self.trailers.take() {
            return Poll::Ready(Some(Ok(Frame::Trailers(*trailers))));
        }
        if self.got_end {
            return Poll::Ready(None);
        }
        self.wait(cx);
        Poll::Pending
    }

    /// Responses before the response that weren't taken.
    pub(super) fn interims(&self) -> usize {
        self.interims.as_ref().map_or(0, |interims| interims.len())
    }

    /// One more of them.
    pub(super) fn interim(&mut self, interim: Interim) {
        self.interims.get_or_insert_default().push_back(interim);
    }

    /// The next of them.
    pub(crate) fn next_interim(&mut self) -> Option<Interim> {
        self.interims.as_mut()?.pop_front()
    }

    /// What comes in has been read to its end, trailers included.
    pub(crate) const fn is_read(&self) -> bool {
        self.headed
            && self.got_end
            && self.failed.is_none()
            && self.body.is_empty()
            && self.trailers.is_none()
    }
}

/// Content that came and wasn't taken. Most bodies are in one piece, which costs no memory of its own.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    first: Option<Bytes>,
    #[expect(clippy::box_collection, reason = "few bodies have one")]
    rest: Option<Box<VecDeque<Bytes>>>,
    /// Of the first so many, each has its memory to itself.
    owned: usize,
}

impl Pieces {
    pub(super) fn push(&mut self, piece: Bytes) {
        if piece.is_empty() {
            return;
        }
        if self.first.is_none() {
            self.first = Some(piece);
            return;
        }
        let rest = self.rest.get_or_insert_default();
        rest.push_back(piece);
        if rest.len() >= PIECES {
            let length = rest.iter().map(Bytes::len).sum();
            let mut joined = BytesMut::with_capacity(length);
            for piece in rest.drain(..) {
                joined.extend_from_slice(&piece);
            }
            rest.push_back(joined.freeze());
            self.owned = self.owned.min(1);
        }
    }

    /// The next piece.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        self.owned = self.owned.saturating_sub(1);
        let next = self.rest.as_mut().and_then(|rest| rest.pop_front());
        std::mem::replace(&mut self.first, next)
    }

    /// Gives each piece memory of its own. One that waits long would keep all that was read with it.
    pub(super) fn own(&mut self) {
        let rest = self.rest.iter_mut().flat_map(|rest| rest.iter_mut());
        for piece in self.first.iter_mut().chain(rest).skip(self.owned) {
            *piece = Bytes::copy_from_slice(piece);
        }
        self.owned = self.len();
    }

    fn len(&self) -> usize {
        let rest = self.rest.as_ref().map_or(0, |rest| rest.len());
        rest + usize::from(self.first.is_some())
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.first.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_small() {
        // As they are kept: with a place's mark of being free.
        assert!(
            size_of::<Option<Entry>>() <= 168,
            "{}",
            size_of::<Option<Entry>>()
        );
    }

    #[test]
    fn pieces_come_out_as_they_went_in_however_small() {
        let mut pieces = Pieces::default();
        let content: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        for byte in &content {
            pieces.push(Bytes::copy_from_slice(&[*byte]));
            pieces.push(Bytes::new());
        }
        assert!(pieces.len() <= PIECES, "{}", pieces.len());
        pieces.own();
        assert_eq!(pieces.owned, pieces.len());
        let mut read = Vec::new();
        while let Some(piece) = pieces.pop() {
            read.extend_from_slice(&piece);
        }
        assert!(read == content && pieces.is_empty());
    }
}
