//! PURE. The origin's side of an HTTP/2 connection: bytes in, bytes out, windows kept.

use std::collections::{BTreeMap, HashMap};

use super::{Answer, HIGH_WATER, Serve};
use crate::wire::{
    TINY,
    h2::{
        FIRST_WINDOW, Frame, MAX_DATA, flag, kind, put, put_reply, put_settings, put_window,
        setting,
    },
    hpack::{Block, TABLE_NEEDED},
    websocket::{Count, FROM_CLIENT, FROM_SERVER, put_server},
};

/// Never what limits a proxy.
const MAX_STREAMS: u32 = 16_384;
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 256 << 20;
const ZEROS: [u8; MAX_DATA] = [0; MAX_DATA];
/// Events that wait for a window; more are dropped, as a live source would.
const MAX_WAITING: usize = 64 * 1024;

/// A response whose body is not sent yet.
#[derive(Debug)]
struct Body {
    window: i64,
    bytes: Vec<u8>,
    zeros: u64,
    endless: bool,
}

#[derive(Debug)]
struct Socket {
    messages: Count,
    owed: u32,
    accepted: bool,
}

/// One connection.
#[derive(Debug)]
pub struct Server {
    window: i64,
    first_stream_window: i64,
    table: u32,
    blocks: Vec<(Answer, Block)>,
    sent_first: bool,
    bodies: BTreeMap<u32, Body>,
    /// Streams that are WebSockets; none unless such are served.
    sockets: Option<HashMap<u32, Socket>>,
    owed: u32,
    /// Whom the next round begins with, so that a connection window is shared by turns.
    turn: u32,
}

impl Server {
    /// Writes the server's settings to `out`.
    #[must_use]
    pub fn new(serve: Serve, out: &mut Vec<u8>) -> Self {
        let mut settings = vec![
            (setting::MAX_CONCURRENT_STREAMS, MAX_STREAMS),
            (setting::INITIAL_WINDOW_SIZE, STREAM_WINDOW),
        ];
        settings.extend((serve == Serve::Echo).then_some((setting::ENABLE_CONNECT_PROTOCOL, 1)));
        put_settings(out, &settings);
        put_window(out, 0, CONNECTION_WINDOW - FIRST_WINDOW as u32);
        let mut answers = vec![serve.answer(false)];
        answers.extend(Some(serve.answer(true)).filter(|answer| *answer != answers[0]));
        Self {
            window: FIRST_WINDOW,
            first_stream_window: FIRST_WINDOW,
            table: TABLE_NEEDED,
            blocks: answers
                .into_iter()
                .map(|answer| (answer, Block::ok(&serve.headers(answer))))
                .collect(),
            sent_first: false,
            bodies: BTreeMap::new(),
            sockets: (serve == Serve::Echo).then(HashMap::new),
            owed: 0,
            turn: 0,
        }
    }

    /// Adds each complete request to `requests` with whether it had a body; `None` when the peer
    /// ends the connection.
    pub fn ingest(
        &mut self,
        received: &[u8],
        out: &mut Vec<u8>,
        requests: &mut Vec<(u32, bool)>,
    ) -> Option<usize> {
        let mut used = 0;
        while let Some(frame) = Frame::cut(&received[used..]) {
            used += frame.size();
            match frame.kind {
                kind::HEADERS if frame.has(flag::END_STREAM) => {
                    requests.push((frame.stream, false))
                }
                kind::HEADERS if self.sockets.is_some() => {
                    self.open(frame.stream);
                    requests.push((frame.stream, false));
                }
                kind::DATA => {
                    self.owed += frame.payload.len() as u32;
                    if self.sockets.is_some() {
                        let messages = self.messages(&frame, out);
                        requests.extend((0..messages).map(|_| (frame.stream, true)));
                    } else if frame.has(flag::END_STREAM) {
                        requests.push((frame.stream, true));
                    } else if !frame.payload.is_empty() {
                        put_window(out, frame.stream, frame.payload.len() as u32);
                    }
                }
                kind::RST_STREAM => self.forget(frame.stream),
                kind::SETTINGS if !frame.has(flag::ACK) => self.settings(&frame),
                kind::WINDOW_UPDATE if frame.stream == 0 => {
                    self.window += i64::from(frame.increment())
                }
                kind::WINDOW_UPDATE => {
                    if let Some(body) = self.bodies.get_mut(&frame.stream) {
                        body.window += i64::from(frame.increment());
                    }
                }
                kind::GOAWAY if self.bodies.is_empty() => return None,
                _ => {}
            }
            put_reply(out, &frame);
        }
        if self.owed > CONNECTION_WINDOW / 4 {
            put_window(out, 0, self.owed);
            self.owed = 0;
        }
        Some(used)
    }

    fn open(&mut self, stream: u32) {
        if let Some(sockets) = &mut self.sockets {
            let socket = Socket {
                messages: Count::new(FROM_CLIENT),
                owed: 0,
                accepted: false,
            };
            sockets.insert(stream, socket);
        }
    }

    /// How many messages the frame completes. Windows are given back in large steps.
    fn messages(&mut self, frame: &Frame<'_>, out: &mut Vec<u8>) -> usize {
        let sockets = self.sockets.as_mut();
        let Some(socket) = sockets.and_then(|sockets| sockets.get_mut(&frame.stream)) else {
            return 0;
        };
        socket.owed += frame.payload.len() as u32;
        if socket.owed > STREAM_WINDOW / 2 {
            put_window(out, frame.stream, socket.owed);
            socket.owed = 0;
        }
        socket.messages.take(frame.data().len())
    }

    fn forget(&mut self, stream: u32) {
        self.bodies.remove(&stream);
        if let Some(sockets) = &mut self.sockets {
            sockets.remove(&stream);
        }
    }

    /// Accepts the WebSocket on `stream` the first time, answers a message each other time. One
    /// message is under way at a time and its answer was read by the peer, so that windows which the
    /// peer opens in any steps are never exceeded.
    fn message(&mut self, stream: u32, out: &mut Vec<u8>) {
        let sockets = self.sockets.as_mut();
        let Some(socket) = sockets.and_then(|sockets| sockets.get_mut(&stream)) else {
            return;
        };
        if std::mem::replace(&mut socket.accepted, true) {
            let mut message = Vec::with_capacity(FROM_SERVER);
            put_server(&mut message);
            put(out, kind::DATA, 0, stream, &message);
        } else {
            let block = Block::ok(&[]).plain;
            put(out, kind::HEADERS, flag::END_HEADERS, stream, &block);
        }
    }

    fn settings(&mut self, frame: &Frame<'_>) {
        for (id, value) in frame.settings() {
            match id {
                setting::HEADER_TABLE_SIZE => self.table = value,
                setting::INITIAL_WINDOW_SIZE => {
                    let change = i64::from(value) - self.first_stream_window;
                    self.first_stream_window += change;
                    self.bodies
                        .values_mut()
                        .for_each(|body| body.window += change);
                }
                _ => {}
            }
        }
    }

    /// Begins the answer on `stream`; a tiny one that fits the windows is whole at once.
    pub fn respond(&mut self, stream: u32, serve: Serve, answer: Answer, out: &mut Vec<u8>) {
        if answer == Answer::Message {
            return self.message(stream, out);
        }
        let known = self.blocks.iter().position(|(known, _)| *known == answer);
        let Some(place) = known else { return };
        // The table takes the headers of the connection's first answer; other answers stay plain.
        let block = &self.blocks[place].1;
        let block = if place > 0 || self.table < TABLE_NEEDED || self.blocks.len() > 1 {
            &block.plain
        } else if self.sent_first {
            &block.next
        } else {
            self.sent_first = true;
            &block.first
        };
        put(out, kind::HEADERS, flag::END_HEADERS, stream, block);
        let size = TINY.len() as i64;
        if answer == Answer::Tiny && self.window >= size && self.first_stream_window >= size {
            self.window -= size;
            put(out, kind::DATA, flag::END_STREAM, stream, TINY);
            return;
        }
        let window = self.first_stream_window;
        let (bytes, zeros, endless) = match answer {
            Answer::Tiny => (TINY.to_vec(), 0, false),
            Answer::Zeros(bytes) => (Vec::new(), bytes, false),
            Answer::Endless => (Vec::with_capacity(serve.event_size()), 0, true),
            Answer::Message => return,
        };
        self.bodies.insert(
            stream,
            Body {
                window,
                bytes,
                zeros,
                endless,
            },
        );
    }

    /// The streams whose answers are not complete.
    #[must_use]
    pub fn streams(&self) -> Vec<u32> {
        self.bodies.keys().copied().collect()
    }

    /// Queues one event; `false` when the stream is gone.
    pub fn event(&mut self, stream: u32, event: Vec<u8>, out: &mut Vec<u8>) -> bool {
        let Some(body) = self.bodies.get_mut(&stream) else {
            return false;
        };
        if body.bytes.len() < MAX_WAITING {
            body.bytes.extend_from_slice(&event);
        }
        body.send(stream, &mut self.window, out);
        true
    }

    /// Writes bodies as far as windows allow and fewer than the limit wait to be sent; returns
    /// whether more could be written.
    pub fn pump(&mut self, unsent: usize, out: &mut Vec<u8>) -> bool {
        let mut room = HIGH_WATER.saturating_sub(unsent);
        loop {
            let open = |body: &Body| body.window > 0 && (body.zeros > 0 || !body.bytes.is_empty());
            let mut later = self
                .bodies
                .range_mut(self.turn..)
                .filter(|(_, body)| open(body));
            let next = match later.next() {
                Some(next) => Some(next),
                None => self.bodies.iter_mut().find(|(_, body)| open(body)),
            };
            let Some((&stream, body)) = next.filter(|_| self.window > 0) else {
                return false;
            };
            if room == 0 {
                return true;
            }
            let before = out.len();
            let ended = body.send(stream, &mut self.window, out);
            room = room.saturating_sub(out.len() - before);
            self.turn = stream + 1;
            if ended {
                self.bodies.remove(&stream);
            }
        }
    }
}

impl Body {
    /// Writes at most one frame; returns whether the body is complete.
    fn send(&mut self, stream: u32, connection: &mut i64, out: &mut Vec<u8>) -> bool {
        let window = self.window.min(*connection).clamp(0, MAX_DATA as i64) as usize;
        let size = if self.zeros > 0 {
            window.min(usize::try_from(self.zeros).unwrap_or(usize::MAX))
        } else {
            window.min(self.bytes.len())
        };
        if size == 0 {
            return false;
        }
        self.window -= size as i64;
        *connection -= size as i64;
        let ended = if self.zeros > 0 {
            self.zeros -= size as u64;
            self.zeros == 0
        } else {
            size == self.bytes.len() && !self.endless
        };
        let flags = if ended { flag::END_STREAM } else { 0 };
        if self.bytes.is_empty() {
            put(out, kind::DATA, flags, stream, &ZEROS[..size]);
        } else {
            put(out, kind::DATA, flags, stream, &self.bytes[..size]);
            self.bytes.drain(..size);
        }
        ended
    }
}
