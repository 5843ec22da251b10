//! PURE. One HTTP/2 connection, of a client or of a server (RFC 9113): which streams there are,
//! what may be sent on them, and how each ends. What comes in is read by [`super::receive`], what goes
//! out is written by [`super::send`]. A stream is there until whoever holds it lets go, and no longer.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::task::{Context, Waker};

use bytes::BytesMut;
use http::{Request, Response};
use slab::Slab;

use super::entry::{Entry, Fault};
use super::frame::{self, Code, kind, setting};
use super::hpack::{Decoder, Encoder};
use crate::h1::buffer::WriteBuffer;
use crate::limits;

/// Heads that arrive together and whose memory is kept for the next; more is given back.
const HEADS_KEPT: usize = 64;

/// What a server asks before it says which stream was the last.
pub(super) const GOODBYE: [u8; 8] = *b"goodbye?";

/// One connection.
#[derive(Debug)]
pub(crate) struct Core {
    /// What is to go out.
    pub(crate) out: WriteBuffer,
    pub(super) side: Side,
    pub(super) encoder: Encoder,
    pub(super) decoder: Decoder,
    /// The stream that a client opened last and that nobody has begun to serve: nothing more is read
    /// before.
    pub(super) accepted: Option<Accepted>,
    /// A header block of which more is to come.
    pub(super) block: Option<Block>,
    pub(super) streams: Slab<Entry>,
    /// Heads of responses that nobody has taken.
    pub(super) heads: Slab<Response<()>>,
    /// Those that the other side may still say something of.
    pub(super) by_id: HashMap<u32, usize, foldhash::fast::RandomState>,
    /// Bytes that may be sent on all streams together.
    pub(super) room: i64,
    /// What the other side lets a new stream send, and in one frame.
    pub(super) stream_room: i64,
    pub(super) frame: usize,
    /// Streams the other side allows; `None`: it hasn't said anything yet.
    pub(super) allows: Option<usize>,
    /// What the other side may send on a new stream.
    pub(super) granted: i64,
    /// What it was told to keep to from now on, until it agrees.
    pub(super) offered: Option<i64>,
    /// Bytes that came and were not returned to the connection's window.
    pub(super) unreturned: usize,
    /// Bytes of answers to SETTINGS and PING since everything was last written.
    pub(super) answers: usize,
    /// No stream is begun any more.
    pub(super) leaving: bool,
    over: bool,
    driver: Option<Waker>,
    /// The driver was woken and hasn't looked yet.
    called: bool,
    /// Streams that wait for the connection's room, or for bytes to be written.
    pub(super) waiting: VecDeque<usize>,
}

/// Who opens streams.
#[derive(Debug)]
pub(super) enum Side {
    /// We do.
    Client { next: u32 },
    Server {
        /// The last one that was opened.
        last: u32,
        /// The client was told to go, and asked for a sign that it knows.
        asked: bool,
    },
}

/// A stream that a client opened.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// Where it is kept; whoever takes it releases it.
    pub(crate) key: usize,
    /// The request's head.
    pub(crate) request: Request<()>,
    /// And nothing follows.
    pub(crate) ended: bool,
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
    /// A client's, whose first words wait to be written.
    pub(crate) fn client() -> Self {
        let mut core = Self::new(Side::Client { next: 1 });
        core.out.tail().extend_from_slice(frame::PREFACE);
        core.greet(&[(setting::ENABLE_PUSH, 0)]);
        core
    }

    /// A server's, whose first words wait to be written.
    pub(crate) fn server() -> Self {
        let mut core = Self::new(Side::Server {
            last: 0,
            asked: false,
        });
        core.greet(&[
            (
                setting::MAX_CONCURRENT_STREAMS,
                limits::STREAMS_PER_CONNECTION,
            ),
            (setting::ENABLE_CONNECT_PROTOCOL, 1),
        ]);
        core
    }

    fn new(side: Side) -> Self {
        Self {
            out: WriteBuffer::default(),
            side,
            encoder: Encoder::default(),
            decoder: Decoder::default(),
            accepted: None,
            block: None,
            streams: Slab::new(),
            heads: Slab::new(),
            by_id: HashMap::default(),
            room: i64::from(frame::DEFAULT_WINDOW),
            stream_room: i64::from(frame::DEFAULT_WINDOW),
            frame: frame::DEFAULT_FRAME,
            allows: None,
            granted: i64::from(limits::STREAM_WINDOW),
            offered: None,
            unreturned: 0,
            answers: 0,
            leaving: false,
            over: false,
            driver: None,
            called: false,
            waiting: VecDeque::new(),
        }
    }

    /// SETTINGS, a side's own and those of both, and a connection's window.
    fn greet(&mut self, own: &[(u16, u32)]) {
        let both = [
            (setting::INITIAL_WINDOW_SIZE, limits::STREAM_WINDOW),
            (setting::MAX_FRAME_SIZE, limits::FRAME_BYTES),
            (setting::MAX_HEADER_LIST_SIZE, limits::HEADER_LIST_BYTES),
        ];
        frame::settings(self.out.tail(), &[own, &both].concat());
        let more = limits::CONNECTION_WINDOW - frame::DEFAULT_WINDOW;
        frame::word(self.out.tail(), kind::WINDOW_UPDATE, 0, more);
    }

    /// The other side has said what it allows.
    pub(crate) const fn is_settled(&self) -> bool {
        self.allows.is_some()
    }

    /// Streams that a client may have open at a time; `None`: it may open none, ever again.
    pub(crate) fn allowed(&self) -> Option<usize> {
        let Side::Client { next } = self.side else {
            return None;
        };
        let open = !self.leaving && !self.over && next <= frame::LAST_STREAM;
        open.then(|| self.allows.unwrap_or(0))
    }

    /// That number was never used.
    pub(super) const fn is_idle(&self, stream: u32) -> bool {
        let unused = match self.side {
            Side::Client { next } => stream >= next,
            Side::Server { last, .. } => stream > last,
        };
        stream.is_multiple_of(2) || unused
    }

    /// No stream is open.
    pub(crate) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// What is known of a stream.
    pub(crate) fn stream(&mut self, key: usize) -> Option<&mut Entry> {
        self.streams.get_mut(key)
    }

    /// The stream that a client opened with the last frame that was read.
    pub(crate) const fn accept(&mut self) -> Option<Accepted> {
        self.accepted.take()
    }

    /// The head of a stream's response, once.
    pub(crate) fn take_answer(&mut self, key: usize) -> Option<Response<()>> {
        let answer = self.streams.get_mut(key)?.answer.take()?;
        let head = self.heads.try_remove(answer);
        if self.heads.is_empty() && self.heads.capacity() > HEADS_KEPT {
            self.heads = Slab::new();
        }
        head
    }

    /// Nobody holds the stream any more: what hasn't ended is cancelled. A client whose answer was whole
    /// is told that nobody wants the rest of its request (RFC 9113 §8.1).
    pub(crate) fn release(&mut self, key: usize) {
        drop(self.take_answer(key));
        let Some(entry) = self.streams.try_remove(key) else {
            return;
        };
        self.by_id.remove(&entry.id);
        let answered = entry.sent_end && matches!(self.side, Side::Server { .. });
        if !(entry.closed || (entry.sent_end && entry.got_end)) {
            let code = if answered {
                Code::NO_ERROR
            } else {
                Code::CANCEL
            };
            self.reset(entry.id, code);
        }
        if self.leaving && self.streams.is_empty() {
            self.call();
        }
    }

    /// Ends a stream at once, whatever was said on it.
    pub(crate) fn abort(&mut self, key: usize, code: Code) {
        let Some(entry) = self.streams.get_mut(key).filter(|entry| !entry.closed) else {
            return;
        };
        entry.fail(Fault::Reset);
        let id = entry.id;
        self.by_id.remove(&id);
        self.reset(id, code);
    }

    /// Resets a stream.
    pub(super) fn reset(&mut self, id: u32, code: Code) {
        if !self.over {
            frame::word(self.out.tail(), kind::RST_STREAM, id, code.0);
            self.call();
        }
    }

    /// Has the other side keep to another window on each stream, unless it has yet to agree to the last.
    pub(crate) fn offer(&mut self, window: u32) {
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

    /// The other side lets every stream send so much more, or less.
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

    /// The other side's table of headers.
    pub(super) fn resize_table(&mut self, bytes: usize) {
        self.encoder.resize(bytes);
    }

    /// Tells a client to open no more streams. Which was the last is said once it knows: what it sent
    /// meanwhile is served.
    pub(crate) fn shut_down(&mut self) {
        if let Side::Server { asked, .. } = &mut self.side
            && !std::mem::replace(asked, true)
            && !self.over
        {
            frame::goaway(self.out.tail(), frame::LAST_STREAM, Code::NO_ERROR);
            frame::ping(self.out.tail(), 0, GOODBYE);
        }
    }

    /// Ends the connection and all its streams.
    pub(crate) fn end(&mut self, code: Option<Code>) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        if let Some(code) = code {
            let last = match self.side {
                Side::Client { .. } => 0,
                Side::Server { last, .. } => last,
            };
            frame::goaway(self.out.tail(), last, code);
        }
        let client = matches!(self.side, Side::Client { .. });
        for (_, entry) in &mut self.streams {
            // Of some, not a byte has left.
            let kept = client && entry.from >= self.out.written();
            entry.fail(if kept { Fault::Refused } else { Fault::Reset });
        }
        self.by_id.clear();
    }

    /// Nobody will open a stream any more.
    pub(crate) fn leave(&mut self) {
        self.leaving = true;
        self.call();
    }

    /// No stream is there, and none will be.
    pub(crate) fn is_done(&self) -> bool {
        self.leaving && self.streams.is_empty()
    }

    /// So much waits to be written that nothing more is to be read: it would add to it.
    pub(crate) fn is_choked(&self) -> bool {
        self.out.len() > 2 * limits::CONNECTION_WRITE_BYTES
    }

    /// The driver looks: has it woken by what happens next.
    pub(crate) fn attend(&mut self, cx: &Context<'_>) {
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
}

/// The bytes that came on one stream and weren't passed on.
#[derive(Debug)]
pub(crate) struct Unread {
    core: Rc<RefCell<Core>>,
    key: usize,
}

impl Unread {
    /// Of that stream.
    pub(crate) fn new(core: &Rc<RefCell<Core>>, key: usize) -> Self {
        Self {
            core: Rc::clone(core),
            key,
        }
    }

    /// How many they are.
    pub(crate) fn bytes(&self) -> usize {
        let core = self.core.borrow();
        core.streams.get(self.key).map_or(0, |entry| entry.unread)
    }

    /// They wait for long: they are to keep no more memory than they are.
    pub(crate) fn settle(&self) {
        if let Some(entry) = self.core.borrow_mut().streams.get_mut(self.key) {
            entry.body.own();
        }
    }
}
