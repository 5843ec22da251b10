//! HTTP/1.1 connections of one core to one program: one exchange at a time each; a connection is
//! reused only when the last exchange ended whole on both sides and the program didn't close it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http::header::SEC_WEBSOCKET_ACCEPT;
use http::{HeaderMap, Method, Request, StatusCode};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::fields::strip_hop_by_hop;
use crate::h1::body::{Decoded, Decoder, Encoder, Framing};
use crate::h1::buffer::{ReadBuffer, Socket, WriteBuffer};
use crate::h1::head;
use crate::limits;
use crate::message::{Body, Frame, Interim};
use crate::upstream::{Failure, Head, Upstream, dial};
use crate::websocket;

/// The idle connections of one core to one program.
#[derive(Debug)]
pub struct Pool {
    address: SocketAddr,
    idle: RefCell<VecDeque<Idle>>,
}

#[derive(Debug)]
struct Idle {
    io: TcpStream,
    since: Instant,
}

impl Pool {
    /// A pool without a connection.
    pub fn new(address: SocketAddr) -> Rc<Self> {
        Rc::new(Self {
            address,
            idle: RefCell::default(),
        })
    }

    /// The connection that was used last, if it is still good.
    pub fn idle(self: &Rc<Self>) -> Option<Connection> {
        Some(Connection {
            io: self.take()?,
            reused: true,
            pool: Rc::clone(self),
        })
    }

    /// A new connection.
    ///
    /// # Errors
    /// [`Failure::Connect`]; nothing was sent.
    pub async fn connect(self: &Rc<Self>) -> Result<Connection, Failure> {
        let dialled = dial::tcp(self.address, None).await;
        Ok(Connection {
            io: dialled.map_err(|_| Failure::Connect)?,
            reused: false,
            pool: Rc::clone(self),
        })
    }

    /// Closes what is idle.
    pub fn clear(&self) {
        self.idle.borrow_mut().clear();
    }

    fn take(&self) -> Option<TcpStream> {
        let mut idle = self.idle.borrow_mut();
        while idle
            .front()
            .is_some_and(|oldest| oldest.since.elapsed() > limits::H1_IDLE)
        {
            idle.pop_front();
        }
        while let Some(mut latest) = idle.pop_back() {
            // A program that closed, or said something unasked, is seen here and not by a request.
            let mut cx = Context::from_waker(Waker::noop());
            if ReadBuffer::default()
                .poll_read(&mut latest.io, &mut cx)
                .is_pending()
            {
                return Some(latest.io);
            }
        }
        None
    }

    fn put(&self, io: TcpStream) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < limits::H1_IDLE_CONNECTIONS {
            idle.push_back(Idle {
                io,
                since: Instant::now(),
            });
        }
    }
}

/// A connection without an exchange on it.
#[derive(Debug)]
pub struct Connection {
    io: TcpStream,
    reused: bool,
    pool: Rc<Pool>,
}

impl Connection {
    /// It has carried an exchange before: the program may be closing it this moment.
    pub const fn is_reused(&self) -> bool {
        self.reused
    }

    /// Begins an exchange: queues the request's head. `request` has an absolute URI and no
    /// hop-by-hop fields.
    pub fn send(self, request: &Request<()>, body: Body) -> Stream<TcpStream> {
        Stream::new(self.io, Some(self.pool), request, body)
    }
}

/// One exchange on an HTTP/1.1 connection. Dropped before its whole end, it closes the connection.
#[derive(Debug)]
pub struct Stream<T: Socket = TcpStream> {
    /// Taken when the connection goes back to its pool.
    io: Option<T>,
    pool: Option<Rc<Pool>>,
    read: ReadBuffer,
    searched: usize,
    write: WriteBuffer,
    method: Method,
    encoder: Encoder,
    request_done: bool,
    decoder: Option<Decoder>,
    keep_alive: bool,
    tunnel: Option<Tunnel>,
}

/// A WebSocket that was asked for.
#[derive(Clone, Copy, Debug, Default)]
struct Tunnel {
    /// The key is ours, and so is the answer to it.
    own_key: bool,
    /// The program agreed.
    open: bool,
    /// Our half has ended: the program is to see that once all was written.
    ended: bool,
}

impl<T: Socket> Stream<T> {
    fn new(io: T, pool: Option<Rc<Pool>>, request: &Request<()>, body: Body) -> Self {
        let mut write = WriteBuffer::default();
        let mut own_key = false;
        if body == Body::Tunnel {
            let mut upgrade = Request::new(());
            *upgrade.uri_mut() = request.uri().clone();
            *upgrade.headers_mut() = request.headers().clone();
            own_key = websocket::upgrade_fields(upgrade.headers_mut(), fastrand::u128(..));
            head::write_request(&upgrade, body, write.tail());
        } else {
            head::write_request(request, body, write.tail());
        }
        let framing = match body {
            Body::None => Framing::None,
            Body::Length(length) => Framing::Length(length),
            Body::Stream => Framing::Chunked,
            Body::Tunnel => Framing::UntilClose,
        };
        Self {
            io: Some(io),
            pool,
            read: ReadBuffer::default(),
            searched: 0,
            write,
            method: request.method().clone(),
            encoder: Encoder::new(framing),
            request_done: body.is_none(),
            decoder: None,
            keep_alive: false,
            tunnel: (body == Body::Tunnel).then_some(Tunnel {
                own_key,
                open: false,
                ended: false,
            }),
        }
    }

    fn poll_final_or_interim(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, Failure>> {
        let Some(io) = &mut self.io else {
            return Poll::Ready(Err(Failure::Reset));
        };
        loop {
            let found = head::take_head(self.read.bytes(), &mut self.searched)
                .map_err(|_| Failure::Protocol)?;
            if let Some(bytes) = found {
                let head =
                    head::parse_response(&bytes, &self.method).map_err(|_| Failure::Protocol)?;
                return Poll::Ready(self.head(head));
            }
            match ready!(self.read.poll_read(io, cx)) {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Poll::Ready(Err(Failure::Reset)),
            }
        }
    }

    fn head(&mut self, head: head::ResponseHead) -> Result<Head, Failure> {
        let (mut parts, ()) = head.response.into_parts();
        strip_hop_by_hop(&mut parts.headers);
        if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            return self.switched(parts.headers);
        }
        if parts.status.is_informational() {
            let interim = Interim {
                status: parts.status,
                fields: parts.headers,
            };
            return Ok(Head::Interim(interim));
        }
        self.keep_alive = head.keep_alive;
        self.decoder = Some(Decoder::new(head.framing));
        let body = match head.framing {
            Framing::None | Framing::Length(0) => Body::None,
            Framing::Length(length) => Body::Length(length),
            Framing::Chunked | Framing::UntilClose => Body::Stream,
        };
        Ok(Head::Final(http::Response::from_parts(parts, ()), body))
    }
}

impl<T: Socket> Stream<T> {
    /// The program agreed to a WebSocket, which HTTP/2 says with 200; or it agrees to what nobody
    /// asked for.
    fn switched(&mut self, mut fields: HeaderMap) -> Result<Head, Failure> {
        let Some(tunnel) = &mut self.tunnel else {
            return Err(Failure::Protocol);
        };
        tunnel.open = true;
        if tunnel.own_key {
            fields.remove(SEC_WEBSOCKET_ACCEPT);
        }
        self.decoder = Some(Decoder::new(Framing::UntilClose));
        let mut response = http::Response::new(());
        *response.headers_mut() = fields;
        Ok(Head::Final(response, Body::Tunnel))
    }
}

impl<T: Socket> Upstream for Stream<T> {
    fn poll_room(&mut self, wanted: usize, cx: &mut Context<'_>) -> Poll<Result<usize, Failure>> {
        let Some(io) = &mut self.io else {
            return Poll::Ready(Err(Failure::Reset));
        };
        self.write
            .poll_room(io, cx)
            .map(|room| room.map(|()| wanted).map_err(|_| Failure::Reset))
    }

    fn send_data(&mut self, data: Bytes, end: bool) -> Result<(), Failure> {
        let length = data.len();
        self.encoder
            .before(length, self.write.tail())
            .map_err(|_| Failure::Protocol)?;
        self.write.push(data);
        self.encoder.after(length, self.write.tail());
        if end {
            self.encoder
                .end(None, self.write.tail())
                .map_err(|_| Failure::Protocol)?;
            self.request_done = true;
            if let Some(tunnel) = &mut self.tunnel {
                tunnel.ended = true;
            }
        }
        Ok(())
    }

    fn send_trailers(&mut self, trailers: HeaderMap) -> Result<(), Failure> {
        self.encoder
            .end(Some(&trailers), self.write.tail())
            .map_err(|_| Failure::Protocol)?;
        self.request_done = true;
        Ok(())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let Some(io) = &mut self.io else {
            return Poll::Ready(Ok(()));
        };
        ready!(self.write.poll_flush(io, cx)).map_err(|_| Failure::Reset)?;
        match &mut self.tunnel {
            Some(tunnel) if tunnel.ended => {
                ready!(Pin::new(io).poll_shutdown(cx)).map_err(|_| Failure::Reset)?;
                tunnel.ended = false;
            }
            _ => {}
        }
        Poll::Ready(Ok(()))
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, Failure>> {
        // The head is written before its answer is looked for; a full socket is no reason not to
        // read, for the answer may come early.
        let _failed_or_not = self.poll_flush(cx);
        self.poll_final_or_interim(cx)
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Failure>>> {
        let (Some(decoder), Some(io)) = (&mut self.decoder, &mut self.io) else {
            return Poll::Ready(Some(Err(Failure::Reset)));
        };
        loop {
            match decoder.decode(self.read.bytes()) {
                Ok(Decoded::Frame(frame)) => {
                    self.read.hand_on(frame.content());
                    return Poll::Ready(Some(Ok(frame)));
                }
                Ok(Decoded::End) => return Poll::Ready(None),
                Ok(Decoded::More) => {}
                Err(_) => return Poll::Ready(Some(Err(Failure::Protocol))),
            }
            match ready!(self.read.poll_read(io, cx)) {
                Ok(1..) => {}
                Ok(0) if decoder.may_end_by_close() => return Poll::Ready(None),
                Ok(0) | Err(_) => return Poll::Ready(Some(Err(Failure::Reset))),
            }
        }
    }

    fn consumed(&mut self, bytes: usize) {
        // Not reading is the back-pressure; there is no credit to give back.
        self.read.passed(bytes);
    }

    fn is_body_done(&self) -> bool {
        self.decoder.as_ref().is_some_and(Decoder::is_done)
    }

    fn buffered(&self) -> usize {
        self.read.len() + self.write.len()
    }
}

impl<T: Socket> Drop for Stream<T> {
    /// A program that takes nothing never comes to the end of what was sent: a request that is given
    /// up in the middle is reset.
    fn drop(&mut self) {
        let whole = self.request_done && self.write.is_empty();
        if let (false, Some(io)) = (whole, &self.io) {
            io.reset_on_close();
        }
    }
}

impl Stream<TcpStream> {
    /// Ends the exchange: the connection goes back to its pool if both messages ended whole.
    pub fn finish(mut self) {
        let whole = self.request_done
            && self.write.is_empty()
            && self.read.is_empty()
            && self.decoder.as_ref().is_some_and(Decoder::is_done);
        if let (true, true, Some(pool), Some(io)) =
            (whole, self.keep_alive, self.pool.take(), self.io.take())
        {
            pool.put(io);
        }
    }
}
