//! PURE. The generator's side of an HTTP/2 connection: bytes in, bytes out.

use std::collections::HashMap;

use super::{
    Plan,
    session::{Broken, Sink},
    websocket::Streams,
};
use crate::wire::{
    h2::{
        FIRST_WINDOW, Frame, PREFACE, flag, kind, put, put_reply, put_settings, put_window, setting,
    },
    hpack::{Block, TABLE_NEEDED},
};

/// What a stream may send before it hears from us: no reader in these cases is slow.
pub(super) const STREAM_WINDOW: u32 = 4 << 20;
/// The same for the connection.
const CONNECTION_WINDOW: u32 = 256 << 20;
/// A client that stopped reading never opened its windows either.
const STALLED_WINDOW: u32 = 65_535;

#[derive(Debug)]
struct Stream {
    slot: u32,
    owed: u32,
}

/// One connection.
#[derive(Debug)]
pub struct Client {
    streams: HashMap<u32, Stream>,
    next: u32,
    block: Block,
    sent_first: bool,
    table: Option<u32>,
    owed: u32,
    post: bool,
    stall: bool,
    /// Streams that are WebSockets instead of requests.
    sockets: Option<Streams>,
}

impl Client {
    /// Writes the preface to `out`.
    #[must_use]
    pub fn new(plan: &Plan, out: &mut Vec<u8>) -> Self {
        let window = if plan.stall {
            STALLED_WINDOW
        } else {
            STREAM_WINDOW
        };
        out.extend_from_slice(PREFACE);
        put_settings(
            out,
            &[
                (setting::ENABLE_PUSH, 0),
                (setting::INITIAL_WINDOW_SIZE, window),
            ],
        );
        put_window(out, 0, CONNECTION_WINDOW - FIRST_WINDOW as u32);
        Self {
            streams: HashMap::new(),
            next: 1,
            block: Block::request(plan.post, &plan.authority, &plan.headers),
            sent_first: false,
            table: None,
            owed: 0,
            post: plan.post,
            stall: plan.stall,
            sockets: plan.websocket.then(|| Streams::new(plan)),
        }
    }

    /// Whether the peer's settings have arrived, and its word on every WebSocket.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.table.is_some() && self.sockets.as_ref().is_none_or(Streams::are_open)
    }

    /// Writes a request for `slot` to `out`.
    pub fn start(&mut self, slot: u32, out: &mut Vec<u8>) {
        if let Some(sockets) = &mut self.sockets {
            return sockets.start(slot, out);
        }
        let stream = self.next;
        self.next += 2;
        self.streams.insert(stream, Stream { slot, owed: 0 });
        let block = if self.table.is_none_or(|size| size < TABLE_NEEDED) {
            &self.block.plain
        } else if self.sent_first {
            &self.block.next
        } else {
            self.sent_first = true;
            &self.block.first
        };
        let end = if self.post { 0 } else { flag::END_STREAM };
        put(out, kind::HEADERS, flag::END_HEADERS | end, stream, block);
        if self.post {
            put(out, kind::DATA, flag::END_STREAM, stream, b"x");
        }
    }

    /// Understands every whole frame in `received`; returns the bytes used.
    ///
    /// # Errors
    /// When the peer ends the connection.
    pub fn ingest(
        &mut self,
        received: &[u8],
        out: &mut Vec<u8>,
        sink: &mut impl Sink,
    ) -> Result<usize, Broken> {
        let mut used = 0;
        while let Some(frame) = Frame::cut(&received[used..]) {
            used += frame.size();
            self.frame(&frame, out, sink)?;
        }
        if self.owed > CONNECTION_WINDOW / 4 && !self.stall {
            put_window(out, 0, self.owed);
            self.owed = 0;
        }
        Ok(used)
    }

    fn frame(
        &mut self,
        frame: &Frame<'_>,
        out: &mut Vec<u8>,
        sink: &mut impl Sink,
    ) -> Result<(), Broken> {
        match frame.kind {
            kind::DATA => {
                let size = frame.payload.len() as u32;
                self.owed += size;
                if let Some(sockets) = &mut self.sockets {
                    sockets.data(frame.stream, frame.data(), out, sink);
                }
                if let Some(stream) = self.streams.get_mut(&frame.stream) {
                    sink.data(stream.slot, frame.data());
                    stream.owed += size;
                    let ending = frame.has(flag::END_STREAM);
                    if stream.owed > STREAM_WINDOW / 4 && !ending && !self.stall {
                        put_window(out, frame.stream, stream.owed);
                        stream.owed = 0;
                    }
                }
            }
            kind::HEADERS if !frame.has(flag::END_STREAM) => {
                if let Some(sockets) = &mut self.sockets {
                    sockets.accepted(frame.stream);
                }
            }
            kind::RST_STREAM => {
                if let Some(sockets) = &mut self.sockets {
                    sockets.ended(frame.stream, "a WebSocket was reset", sink);
                }
                if let Some(stream) = self.streams.remove(&frame.stream) {
                    let code = frame
                        .payload
                        .first_chunk()
                        .map_or(0, |code| u32::from_be_bytes(*code));
                    sink.failed(stream.slot, &format!("stream reset, error code {code}"));
                }
            }
            kind::SETTINGS if !frame.has(flag::ACK) => {
                let sent = frame
                    .settings()
                    .find(|(id, _)| *id == setting::HEADER_TABLE_SIZE);
                let before = self.table.unwrap_or(TABLE_NEEDED);
                self.table = Some(sent.map_or(before, |(_, size)| size));
                if let Some(sockets) = &mut self.sockets {
                    sockets.open(out);
                }
            }
            kind::GOAWAY => {
                let code = frame.payload.get(4..).and_then(|rest| rest.first_chunk());
                return Err(Broken::GoAway(
                    code.map_or(0, |code| u32::from_be_bytes(*code)),
                ));
            }
            _ => {}
        }
        put_reply(out, frame);
        let ends = matches!(frame.kind, kind::DATA | kind::HEADERS) && frame.has(flag::END_STREAM);
        if ends && let Some(stream) = self.streams.remove(&frame.stream) {
            sink.done(stream.slot);
        }
        Ok(())
    }
}
