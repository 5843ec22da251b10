//! PURE. What we say on a connection: heads, content and trailers of streams, no more of them than the
//! other side's windows allow (RFC 9113 §5.2), and who is woken once it allows more.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};

use super::core::{Core, Side};
use super::entry::{Entry, Fault};
use super::frame::{self, flag, kind};
use crate::limits;

/// Streams that wait for room and are woken at a time: about as many as can use it.
const WOKEN: usize = 8;

impl Core {
    /// Opens a stream with a request's head; where it is kept. `None`: none may be opened any more.
    pub(crate) fn open(&mut self, request: &Request<()>, end: bool) -> Option<usize> {
        self.allowed()?;
        let Side::Client { next } = &mut self.side else {
            return None;
        };
        let id = std::mem::replace(next, *next + 2);
        let mut entry = Entry::new(id, self.stream_room, self.granted);
        entry.from = self.out.added();
        let at = frame::reserve(self.out.tail());
        self.encoder.request(request, self.out.tail());
        self.seal(at, id, end);
        entry.head = *request.method() == Method::HEAD;
        entry.sent_end = end;
        let key = self.streams.insert(entry);
        self.by_id.insert(id, key);
        self.call();
        Some(key)
    }

    /// Sends a response's head.
    ///
    /// # Errors
    /// The stream is no longer there.
    pub(crate) fn respond(
        &mut self,
        key: usize,
        status: StatusCode,
        fields: &HeaderMap,
        end: bool,
    ) -> Result<(), Fault> {
        let entry = self.sending(key)?;
        entry.sent_end = end;
        let id = entry.id;
        self.send_response(id, status, fields, end);
        Ok(())
    }

    /// A response's head on a stream of which nothing more is known.
    pub(super) fn send_response(
        &mut self,
        id: u32,
        status: StatusCode,
        fields: &HeaderMap,
        end: bool,
    ) {
        let at = frame::reserve(self.out.tail());
        self.encoder.response(status, fields, self.out.tail());
        self.seal(at, id, end);
        self.call();
    }

    /// Makes frames of the header block that was written since `at`.
    fn seal(&mut self, at: usize, id: u32, end: bool) {
        let (most, tail) = (self.frame, self.out.tail());
        let end = if end { flag::END_STREAM } else { 0 };
        if tail.len() - at - frame::HEAD <= most {
            frame::seal(tail, at, kind::HEADERS, flag::END_HEADERS | end, id);
            return;
        }
        let mut rest = tail.split_off(at + frame::HEAD + most);
        frame::seal(tail, at, kind::HEADERS, end, id);
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(most));
            let flags = if rest.is_empty() {
                flag::END_HEADERS
            } else {
                0
            };
            frame::head(tail, piece.len(), kind::CONTINUATION, flags, id);
            tail.extend_from_slice(&piece);
        }
    }

    /// The stream, if anything can be sent on it.
    fn sending(&mut self, key: usize) -> Result<&mut Entry, Fault> {
        let entry = self.streams.get_mut(key).ok_or(Fault::Reset)?;
        match entry.sent_end {
            true => Err(entry.failed.unwrap_or(Fault::Reset)),
            false => Ok(entry),
        }
    }

    /// How many of `wanted` bytes may be sent on a stream now.
    pub(crate) fn poll_room(
        &mut self,
        key: usize,
        wanted: usize,
        cx: &Context<'_>,
    ) -> Poll<Result<usize, Fault>> {
        let entry = self.sending(key)?;
        if wanted == 0 {
            return Poll::Ready(Ok(0));
        }
        entry.wait(cx);
        let own = usize::try_from(entry.room).unwrap_or(0);
        if own == 0 {
            return Poll::Pending;
        }
        let shared = self.shared_room();
        if shared > 0 {
            return Poll::Ready(Ok(wanted.min(own).min(shared)));
        }
        if let Some(entry) = self.streams.get_mut(key)
            && !std::mem::replace(&mut entry.queued, true)
        {
            self.waiting.push_back(key);
        }
        Poll::Pending
    }

    /// What streams may send together: nothing while the socket takes no more.
    fn shared_room(&self) -> usize {
        match self.out.len() >= limits::CONNECTION_WRITE_BYTES || self.out.is_blocked() {
            true => 0,
            false => usize::try_from(self.room).unwrap_or(0),
        }
    }

    /// Sends content for which there is room.
    ///
    /// # Errors
    /// The stream is no longer there.
    pub(crate) fn send(&mut self, key: usize, mut data: Bytes, end: bool) -> Result<(), Fault> {
        let length = i64::try_from(data.len()).unwrap_or(i64::MAX);
        let entry = self.sending(key)?;
        entry.sent_end = end;
        entry.room -= length;
        let id = entry.id;
        self.room -= length;
        loop {
            let piece = data.split_to(data.len().min(self.frame));
            let last = data.is_empty();
            if !piece.is_empty() || end {
                let flags = if end && last { flag::END_STREAM } else { 0 };
                frame::head(self.out.tail(), piece.len(), kind::DATA, flags, id);
                self.out.push(piece);
            }
            if last {
                break;
            }
        }
        self.call();
        Ok(())
    }

    /// Ends a message with trailers.
    ///
    /// # Errors
    /// The stream is no longer there.
    pub(crate) fn send_trailers(&mut self, key: usize, fields: &HeaderMap) -> Result<(), Fault> {
        let entry = self.sending(key)?;
        entry.sent_end = true;
        let id = entry.id;
        let at = frame::reserve(self.out.tail());
        self.encoder.trailers(fields, self.out.tail());
        self.seal(at, id, true);
        self.call();
        Ok(())
    }

    /// So much content went on: the other side may send that much more, once it is worth a frame.
    pub(crate) fn consumed(&mut self, key: usize, bytes: usize) {
        let Some(entry) = self.streams.get_mut(key) else {
            return;
        };
        entry.unread = entry.unread.saturating_sub(bytes);
        if entry.got_end {
            return;
        }
        let unread = i64::try_from(entry.unread).unwrap_or(i64::MAX);
        let more = self.granted - entry.left - unread;
        if more < self.granted / 2 {
            return;
        }
        entry.left += more;
        let (id, more) = (entry.id, u32::try_from(more).unwrap_or(0));
        frame::word(self.out.tail(), kind::WINDOW_UPDATE, id, more);
        self.call();
    }

    /// Wakes some of those who wait, if there is room; `true`: more of them wait for this room.
    pub(crate) fn wake_waiting(&mut self) -> bool {
        if self.shared_room() == 0 {
            return false;
        }
        for _ in 0..WOKEN {
            let Some(key) = self.waiting.pop_front() else {
                return false;
            };
            if let Some(entry) = self.streams.get_mut(key) {
                entry.queued = false;
                entry.wake();
            }
        }
        !self.waiting.is_empty()
    }
}
