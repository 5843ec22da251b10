//! PURE. One HTTP/2 connection as its client sees it (RFC 9113): which streams there are, what may be
//! sent on them, and the bytes that are to go out. What comes in is read by [`super::receive`]. Sends
//! nothing that a window, a frame's size or the peer's end forbids.

use std::collections::HashMap;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request};
use slab::Slab;

use super::entry::Entry;
use crate::h1::buffer::WriteBuffer;
use crate::h2::frame::{self, Code, flag, kind, setting};
use crate::h2::hpack::{Decoder, Encoder};
use crate::limits;
use crate::upstream::Failure;

/// The last stream that a client can open.
const LAST_STREAM: u32 = 0x7fff_ffff;

/// One connection.
#[derive(Debug)]
pub(super) struct Core {
    /// What is to go out.
    pub(super) out: WriteBuffer,
    encoder: Encoder,
    pub(super) decoder: Decoder,
    /// A header block of which more is to come.
    pub(super) block: Option<Block>,
    pub(super) streams: Slab<Entry>,
    /// Those that the peer may still say something of.
    pub(super) by_id: HashMap<u32, usize, foldhash::fast::RandomState>,
    next: u32,
    /// Bytes that may be sent on all streams together.
    pub(super) room: i64,
    /// What the peer lets a new stream send, and in one frame.
    pub(super) stream_room: i64,
    pub(super) frame: usize,
    /// Streams the peer allows; `None`: it hasn't said anything yet.
    pub(super) allows: Option<usize>,
    /// What the peer may send on a new stream.
    pub(super) granted: i64,
    /// What it was told to keep to from now on, until it agrees.
    pub(super) offered: Option<i64>,
    /// Bytes that came and were not returned to the connection's window.
    pub(super) unreturned: usize,
    /// The peer takes no new streams.
    pub(super) leaving: bool,
    over: bool,
    /// Nobody can open a stream any more.
    unused: bool,
    driver: Option<Waker>,
    /// The driver was woken and hasn't looked yet.
    called: bool,
    /// Wait for the connection's room, or for bytes to be written.
    waiting: Vec<Waker>,
}

/// A header block that comes in several frames.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) stream: u32,
    pub(super) end: bool,
    pub(super) bytes: BytesMut,
    pub(super) frames: usize,
}

impl Core {
    /// A connection on which the client's first words wait to be written.
    pub(super) fn new() -> Self {
        let mut out = WriteBuffer::default();
        let tail = out.tail();
        tail.extend_from_slice(frame::PREFACE);
        let settings = [
            (setting::ENABLE_PUSH, 0),
            (setting::INITIAL_WINDOW_SIZE, limits::STREAM_WINDOW),
            (setting::MAX_FRAME_SIZE, limits::FRAME_BYTES),
            (setting::MAX_HEADER_LIST_SIZE, limits::HEADER_LIST_BYTES),
        ];
        frame::settings(tail, &settings);
        let more = limits::CONNECTION_WINDOW - frame::DEFAULT_WINDOW;
        frame::word(tail, kind::WINDOW_UPDATE, 0, more);
        Self {
            out,
            encoder: Encoder::default(),
            decoder: Decoder::default(),
            block: None,
            streams: Slab::new(),
            by_id: HashMap::default(),
            next: 1,
            room: i64::from(frame::DEFAULT_WINDOW),
            stream_room: i64::from(frame::DEFAULT_WINDOW),
            frame: frame::DEFAULT_FRAME,
            allows: None,
            granted: i64::from(limits::STREAM_WINDOW),
            offered: None,
            unreturned: 0,
            leaving: false,
            over: false,
            unused: false,
            driver: None,
            called: false,
            waiting: Vec::new(),
        }
    }

    /// The peer has said what it allows.
    pub(super) const fn is_settled(&self) -> bool {
        self.allows.is_some()
    }

    /// Streams that may be open at a time; `None`: no new one may be opened, ever.
    pub(super) fn allowed(&self) -> Option<usize> {
        let open = !self.leaving && !self.over && self.next <= LAST_STREAM;
        open.then(|| self.allows.unwrap_or(0))
    }

    /// That number was never used.
    pub(super) const fn is_idle(&self, stream: u32) -> bool {
        stream.is_multiple_of(2) || stream >= self.next
    }

    /// Opens a stream with a request's head; where it is kept.
    pub(super) fn open(
        &mut self,
        request: &Request<()>,
        protocol: Option<&str>,
        end: bool,
    ) -> usize {
        let id = self.next;
        self.next += 2;
        let at = frame::reserve(self.out.tail());
        self.encoder.request(request, protocol, self.out.tail());
        self.seal(at, id, end);
        let mut entry = Entry::new(id, self.stream_room, self.granted);
        entry.head = *request.method() == Method::HEAD;
        entry.sent_end = end;
        let key = self.streams.insert(entry);
        self.by_id.insert(id, key);
        self.call();
        key
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

    /// How many of `wanted` bytes may be sent on a stream now.
    pub(super) fn poll_room(
        &mut self,
        key: usize,
        wanted: usize,
        cx: &Context<'_>,
    ) -> Poll<Result<usize, Failure>> {
        let Some(entry) = self.streams.get_mut(key) else {
            return Poll::Ready(Err(Failure::Reset));
        };
        if entry.sent_end {
            return Poll::Ready(Err(entry.failed.unwrap_or(Failure::Reset)));
        }
        let own = usize::try_from(entry.room).unwrap_or(0);
        if wanted == 0 {
            return Poll::Ready(Ok(0));
        }
        entry.wait(cx);
        if own == 0 {
            return Poll::Pending;
        }
        let shared = usize::try_from(self.room).unwrap_or(0);
        if shared == 0 || self.out.is_full() {
            self.waiting.push(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(wanted.min(own).min(shared)))
    }

    /// Sends content for which there is room.
    pub(super) fn send(&mut self, key: usize, mut data: Bytes, end: bool) -> Result<(), Failure> {
        let entry = self.streams.get_mut(key).ok_or(Failure::Reset)?;
        if entry.sent_end {
            return Err(entry.failed.unwrap_or(Failure::Reset));
        }
        entry.sent_end = end;
        let length = i64::try_from(data.len()).unwrap_or(i64::MAX);
        entry.room -= length;
        self.room -= length;
        let id = entry.id;
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

    /// Ends a request with trailers.
    pub(super) fn send_trailers(&mut self, key: usize, fields: &HeaderMap) -> Result<(), Failure> {
        let entry = self.streams.get_mut(key).ok_or(Failure::Reset)?;
        if entry.sent_end {
            return Err(entry.failed.unwrap_or(Failure::Reset));
        }
        entry.sent_end = true;
        let id = entry.id;
        let at = frame::reserve(self.out.tail());
        self.encoder.fields(fields, self.out.tail());
        self.seal(at, id, true);
        self.call();
        Ok(())
    }

    /// So much of a response's content went on: the peer may send that much more, once it is worth a
    /// frame.
    pub(super) fn consumed(&mut self, key: usize, bytes: usize) {
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

    /// Nobody holds the stream any more: what hasn't ended is cancelled.
    pub(super) fn release(&mut self, key: usize) {
        let Some(entry) = self.streams.try_remove(key) else {
            return;
        };
        self.by_id.remove(&entry.id);
        if !entry.is_over() && !self.over {
            self.reset(entry.id, Code::CANCEL);
        }
        if self.leaving && self.streams.is_empty() {
            self.call();
        }
    }

    /// Has the peer keep to another window on each stream, unless it has yet to agree to the last one.
    pub(super) fn offer(&mut self, window: u32) {
        let told = [(setting::INITIAL_WINDOW_SIZE, window)];
        let window = i64::from(window);
        if self.offered.is_some() || self.granted == window || self.over {
            return;
        }
        frame::settings(self.out.tail(), &told);
        self.offered = Some(window);
        if window > self.granted {
            // It may use it as soon as it has read that.
            self.grant(window);
        }
    }

    /// From now on a stream's window is that large.
    pub(super) fn grant(&mut self, window: i64) {
        let more = window - self.granted;
        self.granted = window;
        for (_, entry) in &mut self.streams {
            entry.left += more;
        }
    }

    /// The peer lets every stream send so much more, or less.
    pub(super) fn widen(&mut self, window: i64) -> Result<(), Code> {
        let more = window - self.stream_room;
        self.stream_room = window;
        for (_, entry) in &mut self.streams {
            entry.room += more;
            if entry.room > frame::LARGEST_WINDOW {
                return Err(Code::FLOW_CONTROL_ERROR);
            }
            if more > 0 {
                entry.wake();
            }
        }
        Ok(())
    }

    /// The peer's table of headers.
    pub(super) fn resize_table(&mut self, bytes: usize) {
        self.encoder.resize(bytes);
    }

    /// Resets a stream.
    pub(super) fn reset(&mut self, id: u32, code: Code) {
        frame::word(self.out.tail(), kind::RST_STREAM, id, code.0);
        self.call();
    }

    /// Ends the connection and all its streams.
    pub(super) fn end(&mut self, code: Option<Code>) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        if let Some(code) = code {
            frame::goaway(self.out.tail(), code);
        }
        for (_, entry) in &mut self.streams {
            entry.fail(Failure::Reset);
        }
        self.by_id.clear();
        self.wake_waiting();
    }

    /// Nobody will open a stream any more.
    pub(super) fn leave(&mut self) {
        self.unused = true;
        self.call();
    }

    /// No stream is there, and none will be.
    pub(super) fn is_done(&self) -> bool {
        (self.unused || self.leaving) && self.streams.is_empty()
    }

    /// The driver looks: has it woken by what happens next.
    pub(super) fn attend(&mut self, cx: &Context<'_>) {
        self.called = false;
        match &mut self.driver {
            Some(driver) => driver.clone_from(cx.waker()),
            None => self.driver = Some(cx.waker().clone()),
        }
    }

    /// Has the driver look, once for all that its core does in a turn.
    pub(super) fn call(&mut self) {
        if !std::mem::replace(&mut self.called, true)
            && let Some(driver) = &self.driver
        {
            driver.wake_by_ref();
        }
    }

    /// Wakes those who wait for the connection's room.
    pub(super) fn wake_waiting(&mut self) {
        for waker in self.waiting.drain(..) {
            waker.wake();
        }
    }
}
