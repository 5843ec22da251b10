//! PURE. One stream of a connection to a peer: what came for it and wasn't taken yet, what each side may
//! still send, and how it ended. Whoever holds the stream is woken by what the connection changes here.

use std::collections::VecDeque;
use std::task::{Context, Waker};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response};

use crate::message::Interim;
use crate::upstream::Failure;

/// Pieces of a body that wait to be read before they are made one: a peer that sends byte by byte
/// would have us keep thirty bytes for each.
const PIECES: usize = 1024;

/// One stream, from its request's head until nobody holds it.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its number on the wire.
    pub(super) id: u32,
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
    pub(super) interims: VecDeque<Interim>,
    /// The final head, until it is taken.
    pub(super) answer: Option<Response<()>>,
    /// The final head has come.
    pub(super) answered: bool,
    pub(super) body: Pieces,
    pub(super) trailers: Option<Box<HeaderMap>>,
    /// The request has ended.
    pub(super) sent_end: bool,
    /// The response has ended.
    pub(super) got_end: bool,
    /// What came is to be read first.
    pub(super) failed: Option<Failure>,
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
            interims: VecDeque::new(),
            answer: None,
            answered: false,
            body: Pieces::default(),
            trailers: None,
            sent_end: false,
            got_end: false,
            failed: None,
            waker: None,
        }
    }

    /// Has this task woken by what comes next.
    pub(super) fn wait(&mut self, cx: &Context<'_>) {
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

    /// It is over, unless its response is whole already.
    pub(super) fn fail(&mut self, failure: Failure) {
        self.sent_end = true;
        if !self.got_end {
            self.got_end = true;
            self.failed = Some(failure);
        }
        self.wake();
    }

    /// Nothing more will come or go.
    pub(super) const fn is_over(&self) -> bool {
        self.sent_end && self.got_end
    }

    /// The response has been read to its end, trailers included.
    pub(super) const fn is_read(&self) -> bool {
        self.answered
            && self.got_end
            && self.failed.is_none()
            && self.body.is_empty()
            && self.trailers.is_none()
    }
}

/// Content that came and wasn't taken. Most bodies are in one piece, which costs no memory of its own.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    first: Option<Bytes>,
    rest: VecDeque<Bytes>,
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
        self.rest.push_back(piece);
        if self.rest.len() >= PIECES {
            let length = self.rest.iter().map(Bytes::len).sum();
            let mut joined = BytesMut::with_capacity(length);
            for piece in self.rest.drain(..) {
                joined.extend_from_slice(&piece);
            }
            self.rest.push_back(joined.freeze());
        }
    }

    pub(super) fn pop(&mut self) -> Option<Bytes> {
        std::mem::replace(&mut self.first, self.rest.pop_front())
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.first.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_out_as_they_went_in_however_small() {
        let mut pieces = Pieces::default();
        let content: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        for byte in &content {
            pieces.push(Bytes::copy_from_slice(&[*byte]));
            pieces.push(Bytes::new());
        }
        assert!(pieces.rest.len() <= PIECES, "{}", pieces.rest.len());
        let mut read = Vec::new();
        while let Some(piece) = pieces.pop() {
            read.extend_from_slice(&piece);
        }
        assert!(read == content && pieces.is_empty());
    }
}
