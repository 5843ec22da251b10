//! PURE. The generator's side of WebSockets: each is opened once and then carries one message at a
//! time, which is what an exchange is here.

use std::collections::HashMap;

use super::{
    Plan,
    session::{Broken, Sink},
};
use crate::wire::{
    h1::Unreadable,
    h2::{flag, kind, put, put_window},
    hpack::Block,
    websocket::{Count, FROM_SERVER, PATH, h1_request, put_client},
};

/// An HTTP/1.1 connection that is one WebSocket.
#[derive(Debug)]
pub struct Upgraded {
    open: bool,
    slot: Option<u32>,
    answered: Count,
}

impl Upgraded {
    /// Writes the request that opens it to `out`.
    #[must_use]
    pub fn new(plan: &Plan, out: &mut Vec<u8>) -> Self {
        out.extend_from_slice(&h1_request(&plan.headers));
        Self {
            open: false,
            slot: None,
            answered: Count::new(FROM_SERVER),
        }
    }

    /// Whether messages may be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Sends a message.
    pub fn start(&mut self, slot: u32, out: &mut Vec<u8>) {
        self.slot = Some(slot);
        put_client(out);
    }

    /// Understands `received`; returns the bytes used.
    ///
    /// # Errors
    /// When the target refuses to open a WebSocket.
    pub fn ingest(&mut self, received: &[u8], sink: &mut impl Sink) -> Result<usize, Broken> {
        let mut used = 0;
        if !self.open {
            let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
            let mut response = httparse::Response::new(&mut headers);
            match response.parse(received) {
                Ok(httparse::Status::Complete(size)) => used = size,
                Ok(httparse::Status::Partial) => return Ok(0),
                Err(_) => return Err(Unreadable::Syntax("the answer to an upgrade").into()),
            }
            if response.code != Some(101) {
                return Err(Unreadable::Status(response.code.unwrap_or_default()).into());
            }
            self.open = true;
        }
        let body = &received[used..];
        if let Some(slot) = self.slot {
            sink.data(slot, body);
        }
        if self.answered.take(body.len()) > 0
            && let Some(slot) = self.slot.take()
        {
            sink.done(slot);
        }
        Ok(received.len())
    }
}

/// More than any peer adds to a 101.
const MAX_HEADERS: usize = 32;

/// The WebSockets of one HTTP/2 connection, a stream each.
#[derive(Debug)]
pub struct Streams {
    wanted: u32,
    block: Vec<u8>,
    sockets: HashMap<u32, Socket>,
    idle: Vec<u32>,
    opened: u32,
}

#[derive(Debug)]
struct Socket {
    slot: Option<u32>,
    answered: Count,
    owed: u32,
}

impl Streams {
    /// As many as the plan has streams on a connection.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        Self {
            wanted: plan.streams,
            block: Block::connect(&plan.authority, PATH, &plan.headers),
            sockets: HashMap::new(),
            idle: Vec::new(),
            opened: 0,
        }
    }

    /// Asks for all of them; only the first call does anything.
    pub fn open(&mut self, out: &mut Vec<u8>) {
        for place in 0..self.wanted.saturating_sub(self.sockets.len() as u32) {
            let stream = 2 * place + 1;
            put(out, kind::HEADERS, flag::END_HEADERS, stream, &self.block);
            let socket = Socket {
                slot: None,
                answered: Count::new(FROM_SERVER),
                owed: 0,
            };
            self.sockets.insert(stream, socket);
        }
    }

    /// Whether all of them are open.
    #[must_use]
    pub fn are_open(&self) -> bool {
        self.opened == self.wanted
    }

    /// The target has answered a request to open one.
    pub fn accepted(&mut self, stream: u32) {
        self.opened += 1;
        self.idle.push(stream);
    }

    /// Sends a message on an idle one.
    pub fn start(&mut self, slot: u32, out: &mut Vec<u8>) {
        let Some(stream) = self.idle.pop() else {
            return;
        };
        if let Some(socket) = self.sockets.get_mut(&stream) {
            socket.slot = Some(slot);
        }
        let mut message = Vec::with_capacity(FROM_SERVER * 2);
        put_client(&mut message);
        put(out, kind::DATA, 0, stream, &message);
    }

    /// Takes bytes of one of them and gives their window back in large steps.
    pub fn data(&mut self, stream: u32, body: &[u8], out: &mut Vec<u8>, sink: &mut impl Sink) {
        let Some(socket) = self.sockets.get_mut(&stream) else {
            return;
        };
        socket.owed += body.len() as u32;
        if socket.owed > super::h2::STREAM_WINDOW / 4 {
            put_window(out, stream, socket.owed);
            socket.owed = 0;
        }
        if let Some(slot) = socket.slot {
            sink.data(slot, body);
        }
        if socket.answered.take(body.len()) > 0
            && let Some(slot) = socket.slot.take()
        {
            self.idle.push(stream);
            sink.done(slot);
        }
    }

    /// One of them ended, which none should.
    pub fn ended(&mut self, stream: u32, why: &str, sink: &mut impl Sink) {
        if let Some(slot) = self.sockets.remove(&stream).and_then(|socket| socket.slot) {
            sink.failed(slot, why);
        }
    }
}
