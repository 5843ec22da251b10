//! The origin: one thread that answers every request the same way, over HTTP/1.1 or HTTP/2 on
//! one port, at so little cost that the proxy in front of it is what gets measured.

pub mod h1;
pub mod h2;
pub mod timers;

use std::{
    collections::HashMap,
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use socket2::{Domain, Socket, Type};

use crate::{
    clock,
    poll::{Link, Poller},
    wire::{TINY, event, h2::PREFACE},
};
use timers::{Timers, Wake};

/// A peer that reads slowly makes the origin keep at most about this much for it.
pub const HIGH_WATER: usize = 256 * 1024;
const LISTENER: u64 = 0;
const TICKS: u64 = 1;
/// Asks for the next event, on a port of its own and past the proxy: whoever counts wants each event
/// by itself, however slow the proxy is.
pub const TICK: u8 = b'!';

/// What the origin answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serve {
    /// 13 bytes at once.
    Tiny,
    /// 13 bytes after a delay.
    Sleep {
        /// The delay.
        after: Duration,
    },
    /// 13 bytes after a delay out of step with whoever asks by a clock: answers would meet later requests
    /// always at the same point, or never.
    Around {
        /// The delay, on average: it varies by a third of it, a sixth each way.
        about: Duration,
    },
    /// An endless stream of events.
    Events {
        /// From one event to the next of a stream.
        every: Duration,
        /// Bytes of each event.
        size: usize,
    },
    /// One event and then nothing: an exchange that is held open.
    Hold {
        /// Bytes of the event.
        size: usize,
    },
    /// A body of zeros.
    Bulk {
        /// Its length.
        bytes: u64,
    },
    /// A message to each message of a WebSocket.
    Echo,
    /// 13 bytes to a request without a body, a body of zeros to one with a body.
    Mixed {
        /// Its length.
        bytes: u64,
    },
}

/// The answer to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// [`TINY`].
    Tiny,
    /// Zeros.
    Zeros(u64),
    /// A body without a length.
    Endless,
    /// The acceptance of a WebSocket, or a message on one.
    Message,
}

impl Serve {
    /// What a request is answered with, when its time has come.
    #[must_use]
    pub fn answer(self, has_body: bool) -> Answer {
        match self {
            Self::Tiny | Self::Sleep { .. } | Self::Around { .. } => Answer::Tiny,
            Self::Events { .. } | Self::Hold { .. } => Answer::Endless,
            Self::Echo => Answer::Message,
            Self::Mixed { .. } if !has_body => Answer::Tiny,
            Self::Bulk { bytes } | Self::Mixed { bytes } => Answer::Zeros(bytes),
        }
    }

    /// The headers of an answer.
    #[must_use]
    pub fn headers(self, answer: Answer) -> Vec<(String, String)> {
        let (kind, length) = match answer {
            Answer::Tiny => ("text/plain", Some(TINY.len() as u64)),
            Answer::Zeros(bytes) => ("application/octet-stream", Some(bytes)),
            Answer::Endless => ("text/event-stream", None),
            Answer::Message => return Vec::new(),
        };
        let mut headers = vec![("content-type".to_owned(), kind.to_owned())];
        headers.extend(length.map(|length| ("content-length".to_owned(), length.to_string())));
        headers
    }

    /// When the next event of a stream is due after one at `now`, and its size.
    fn next_event(self, now: u64) -> Option<u64> {
        match self {
            Self::Events { every, .. } => Some(now + every.as_nanos() as u64),
            _ => None,
        }
    }

    fn event_size(self) -> usize {
        match self {
            Self::Events { size, .. } | Self::Hold { size } => size.max(event::SMALLEST),
            _ => 0,
        }
    }
}

/// A listening origin.
#[derive(Debug)]
pub struct Backend {
    serve: Serve,
    listener: TcpListener,
    ticks: Option<TcpListener>,
    poller: Poller,
    connections: HashMap<u64, Connection>,
    next: u64,
    timers: Timers,
}

#[derive(Debug)]
struct Connection {
    link: Link,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Too few bytes to tell the version.
    New,
    H1(h1::Server),
    H2(h2::Server),
    /// Not HTTP: each [`TICK`] is a wish for an event on every stream of the others.
    Ticker,
}

impl Backend {
    /// Binds `address`; port 0 asks for a free one.
    ///
    /// # Errors
    /// When the address is taken or not ours.
    pub fn bind(address: SocketAddr, serve: Serve) -> io::Result<Self> {
        let listener = listen(address)?;
        let poller = Poller::new()?;
        poller.add(&listener, LISTENER)?;
        Ok(Self {
            serve,
            listener,
            ticks: None,
            poller,
            connections: HashMap::new(),
            next: TICKS + 1,
            timers: Timers::default(),
        })
    }

    /// Takes ticks at `address` too; returns where that is.
    ///
    /// # Errors
    /// When the address is taken or not ours.
    pub fn tick_at(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        let listener = listen(address)?;
        self.poller.add(&listener, TICKS)?;
        let bound = listener.local_addr()?;
        self.ticks = Some(listener);
        Ok(bound)
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the socket is gone.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the process ends.
    ///
    /// # Errors
    /// When waiting itself fails; a broken connection is only dropped.
    pub fn run(mut self) -> io::Result<()> {
        loop {
            for token in self.poller.wait(self.timers.next())?.to_vec() {
                if token == LISTENER || token == TICKS {
                    self.accept()?;
                } else if !self.serve_connection(token) {
                    self.connections.remove(&token);
                }
            }
            self.ring();
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        while let Ok((stream, _)) = self.listener.accept() {
            self.take(stream, State::New)?;
        }
        while let Some(Ok((stream, _))) = self.ticks.as_ref().map(TcpListener::accept) {
            self.take(stream, State::Ticker)?;
        }
        Ok(())
    }

    fn take(&mut self, stream: TcpStream, state: State) -> io::Result<()> {
        let token = self.next;
        self.next += 1;
        let link = Link::new(stream)?;
        self.poller.add(link.socket(), token)?;
        self.connections.insert(token, Connection { link, state });
        Ok(())
    }

    /// Reads and answers; `false` when the connection is over.
    fn serve_connection(&mut self, token: u64) -> bool {
        let Some(connection) = self.connections.get_mut(&token) else {
            return true;
        };
        let Ok(true) = connection.link.read() else {
            return false;
        };
        let ticks = connection.ticks();
        if ticks > 0 {
            (0..ticks).for_each(|_| self.tick());
            return true;
        }
        let mut requests = Vec::new();
        if !connection.ingest(self.serve, &mut requests) {
            return false;
        }
        let now = clock::now();
        for (stream, has_body) in requests {
            match self.serve {
                Serve::Sleep { after } => {
                    let due = now + after.as_nanos() as u64;
                    self.timers.add(due, Wake::Answer(token, stream, has_body));
                }
                Serve::Around { about } => {
                    let about = about.as_nanos() as u64;
                    let spread = now.wrapping_mul(PHASE_MIX) % (about / SPREAD).max(1);
                    let due = now + about - about / SPREAD / 2 + spread;
                    self.timers.add(due, Wake::Answer(token, stream, has_body));
                }
                Serve::Events { every, .. } => {
                    connection.respond(self.serve, stream, has_body);
                    // Streams are out of step with each other, as independent programs are.
                    let phase =
                        clock::now().wrapping_mul(PHASE_MIX) % every.as_nanos().max(1) as u64;
                    self.timers.add(now + phase, Wake::Event(token, stream));
                }
                _ => {
                    connection.respond(self.serve, stream, has_body);
                    if let Serve::Hold { .. } = self.serve {
                        connection.event(self.serve, stream, now);
                    }
                }
            }
        }
        connection.settle(&self.poller, token)
    }

    /// Sends an event on every stream that is held.
    fn tick(&mut self) {
        let now = clock::now();
        self.connections.retain(|token, connection| {
            for stream in connection.streams() {
                connection.event(self.serve, stream, now);
            }
            connection.settle(&self.poller, *token)
        });
    }

    /// Does what the timers have waited for.
    fn ring(&mut self) {
        let now = clock::now();
        while let Some((due, wake)) = self.timers.due(now) {
            let (Wake::Answer(token, stream, _) | Wake::Event(token, stream)) = wake;
            let Some(connection) = self.connections.get_mut(&token) else {
                continue;
            };
            let goes_on = match wake {
                Wake::Answer(_, _, has_body) => {
                    connection.respond(self.serve, stream, has_body);
                    false
                }
                Wake::Event(..) => connection.event(self.serve, stream, clock::now()),
            };
            if let Some(next) = self.serve.next_event(due).filter(|_| goes_on) {
                self.timers.add(next, Wake::Event(token, stream));
            }
            if !connection.settle(&self.poller, token) {
                self.connections.remove(&token);
            }
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// A proxy may open ten thousand connections at once; the kernel takes as much of this as it allows.
const BACKLOG: i32 = 16_384;

/// A delay varies by that part of it.
const SPREAD: u64 = 3;

/// Spreads the low bits of the clock over a whole period.
const PHASE_MIX: u64 = 0x9e37_79b9_7f4a_7c15;

impl Connection {
    /// How many ticks arrived, on a connection that has nothing else.
    fn ticks(&mut self) -> usize {
        let State::Ticker = self.state else { return 0 };
        let ticks = self.link.received().len();
        self.link.consume(ticks);
        ticks
    }

    fn streams(&self) -> Vec<u32> {
        match &self.state {
            State::New | State::Ticker => Vec::new(),
            State::H1(_) => vec![0],
            State::H2(server) => server.streams(),
        }
    }

    /// Understands what was received; `false` when the peer breaks the protocol.
    fn ingest(&mut self, serve: Serve, requests: &mut Vec<(u32, bool)>) -> bool {
        if let State::New = self.state {
            let start = self.link.received();
            let compared = start.len().min(PREFACE.len());
            if start[..compared] != PREFACE[..compared] {
                self.state = State::H1(h1::Server::default());
            } else if compared == PREFACE.len() {
                self.link.consume(PREFACE.len());
                self.state = State::H2(h2::Server::new(serve, &mut self.link.out));
            }
        }
        let (received, out) = self.link.parts();
        let used = match &mut self.state {
            State::New | State::Ticker => Some(0),
            State::H1(server) => server.ingest(received, requests),
            State::H2(server) => server.ingest(received, out, requests),
        };
        used.inspect(|used| self.link.consume(*used)).is_some()
    }

    fn respond(&mut self, serve: Serve, stream: u32, has_body: bool) {
        let answer = serve.answer(has_body);
        match &mut self.state {
            State::New | State::Ticker => {}
            State::H1(server) => server.respond(serve, answer, &mut self.link.out),
            State::H2(server) => server.respond(stream, serve, answer, &mut self.link.out),
        }
    }

    /// Sends an event; `false` when the stream is gone.
    fn event(&mut self, serve: Serve, stream: u32, now: u64) -> bool {
        let mut body = Vec::with_capacity(serve.event_size());
        event::put(&mut body, serve.event_size(), now);
        match &mut self.state {
            State::New | State::Ticker => false,
            State::H1(server) => server.event(&body, &mut self.link.out),
            State::H2(server) => server.event(stream, body, &mut self.link.out),
        }
    }

    /// Sends as much as fits; `false` when the connection broke.
    fn settle(&mut self, poller: &Poller, token: u64) -> bool {
        loop {
            let unsent = self.link.unsent();
            let more = match &mut self.state {
                State::New | State::Ticker => false,
                State::H1(server) => server.pump(unsent, &mut self.link.out),
                State::H2(server) => server.pump(unsent, &mut self.link.out),
            };
            if self.link.flush().is_err() {
                return false;
            }
            if !more || self.link.unsent() > 0 {
                return poller.follow(&mut self.link, token).is_ok();
            }
        }
    }
}
