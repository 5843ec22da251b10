//! HTTP/2 connections to one peer, of one core: multiplexed, dialled once however many wait, never
//! filled beyond what the peer allows right now.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::header::SEC_WEBSOCKET_ACCEPT;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::budget::{Credit, Window};
use crate::downstream::h2::room;
use crate::fields::leave_unindexed;
use crate::h1::head::content_length;
use crate::message::{Body, Frame, Interim};
use crate::upstream::dials::Dials;
use crate::upstream::source::Source;
use crate::upstream::{Failure, Head, Upstream, dial};
use crate::websocket::accept;
use crate::{limits, turn};

/// The connections of one core to one peer.
#[derive(Debug)]
pub struct Peer {
    address: SocketAddr,
    /// With whose others its dials are limited.
    dials: Option<Arc<Dials>>,
    /// From where it is dialled; `None`: as the system says.
    source: Option<Arc<Source>>,
    connections: RefCell<Vec<Rc<Connection>>>,
    dialling: Cell<bool>,
    closed: Cell<bool>,
    /// Counts failed dials, so that who waited learns of the failure it waited for.
    failures: Cell<u64>,
    /// How many wait for room.
    waiting: Cell<usize>,
    /// How much the peer may send ahead.
    credit: Rc<Credit>,
    changed: Notify,
    /// A dial has ended, well or not.
    dialled: Notify,
}

#[derive(Debug)]
struct Connection {
    send: RefCell<SendRequest<Bytes>>,
    /// Exchanges on it; ours, since h2 counts a stream only once it is on the wire.
    open: Cell<usize>,
}

impl Peer {
    /// A peer with no connection yet.
    pub fn new(address: SocketAddr) -> Rc<Self> {
        Self::made(address, None, None)
    }

    /// A peer with no connection yet, that is dialled in its turn among others of the same tenant, and
    /// from that address alone, if there is one.
    pub fn among(
        address: SocketAddr,
        dials: &Arc<Dials>,
        source: Option<&Arc<Source>>,
    ) -> Rc<Self> {
        Self::made(address, Some(Arc::clone(dials)), source.map(Arc::clone))
    }

    /// Whether its connections go there, and from there.
    pub fn goes(&self, address: SocketAddr, source: Option<&Arc<Source>>) -> bool {
        let same = match (&self.source, source) {
            (None, None) => true,
            (Some(own), Some(other)) => Arc::ptr_eq(own, other),
            (None, Some(_)) | (Some(_), None) => false,
        };
        same && self.address == address
    }

    fn made(
        address: SocketAddr,
        dials: Option<Arc<Dials>>,
        source: Option<Arc<Source>>,
    ) -> Rc<Self> {
        Rc::new(Self {
            address,
            dials,
            source,
            connections: RefCell::default(),
            dialling: Cell::new(false),
            closed: Cell::new(false),
            failures: Cell::new(0),
            waiting: Cell::new(0),
            credit: Rc::default(),
            changed: Notify::new(),
            dialled: Notify::new(),
        })
    }

    /// Dials unless there is a connection, so that the first exchange finds one; returns once there
    /// is one or there can be none.
    pub async fn warm(self: &Rc<Self>) {
        if self.closed.get() || !self.connections.borrow().is_empty() {
            return;
        }
        let dialled = self.dialled.notified();
        self.dial();
        dialled.await;
    }

    /// Takes no new exchanges; connections close when their last exchange ends.
    pub fn close(&self) {
        self.closed.set(true);
        self.connections.borrow_mut().clear();
        self.changed.notify_waiters();
    }

    /// Reserves room for one exchange, dialling where there is none.
    ///
    /// # Errors
    /// [`Failure::Connect`] when the dial it waited for failed, [`Failure::Full`] when there is no
    /// room for too long or too many wait for it; nothing was sent.
    pub async fn reserve(self: &Rc<Self>) -> Result<Slot, Failure> {
        if let Some(slot) = self.room() {
            return Ok(slot);
        }
        if self.waiting.get() >= limits::WAITING_PER_PEER {
            return Err(Failure::Full);
        }
        let _waiting = Waiting::new(self);
        tokio::time::timeout(limits::ROOM_PATIENCE, self.wait())
            .await
            .unwrap_or(Err(Failure::Full))
    }

    async fn wait(self: &Rc<Self>) -> Result<Slot, Failure> {
        loop {
            let failures = self.failures.get();
            // Made before the look for room, so that room in between wakes it.
            let changed = self.changed.notified();
            if let Some(slot) = self.room() {
                return Ok(slot);
            }
            if self.closed.get() {
                return Err(Failure::Connect);
            }
            if self.connections.borrow().len() < limits::CONNECTIONS_PER_PEER {
                self.dial();
            }
            changed.await;
            if self.failures.get() != failures {
                return Err(Failure::Connect);
            }
        }
    }

    /// Room on a connection that is there, if any.
    pub fn room(self: &Rc<Self>) -> Option<Slot> {
        let mut connections = self.connections.borrow_mut();
        let mut at = 0;
        while let Some(connection) = connections.get(at) {
            let mut send = connection.send.borrow_mut();
            // Nothing is awaited between this check and the request, so it can't go stale.
            match send.poll_ready(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Err(_)) => {
                    drop(send);
                    connections.swap_remove(at);
                    continue;
                }
                Poll::Ready(Ok(()))
                    if connection.open.get()
                        < send
                            .current_max_send_streams()
                            .min(limits::STREAMS_PER_CONNECTION as usize) =>
                {
                    drop(send);
                    connection.open.set(connection.open.get() + 1);
                    return Some(Slot {
                        connection: Rc::clone(connection),
                        peer: Rc::clone(self),
                    });
                }
                Poll::Ready(Ok(())) | Poll::Pending => at += 1,
            }
        }
        None
    }

    fn dial(self: &Rc<Self>) {
        if self.dialling.replace(true) {
            return;
        }
        let peer = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let credit = Rc::clone(&peer.credit);
            let Some((driver, peer, connection)) = peer.finish_dial().await else {
                return;
            };
            drive(driver, &peer, connection, &credit).await;
            // Wakes those who wait for room on a connection that is no more.
            if let Some(peer) = peer.upgrade() {
                peer.changed.notify_waiters();
            }
        });
    }

    /// Dials, and tells those who wait. What is returned keeps neither peer nor connection.
    async fn finish_dial(self: Rc<Self>) -> Option<(Driver, Weak<Self>, Weak<Connection>)> {
        let dialled = self.dialled_in_turn().await;
        self.dialling.set(false);
        let dialled = match dialled {
            Ok((send, driver)) => {
                let connection = Rc::new(Connection {
                    send: RefCell::new(send),
                    open: Cell::new(0),
                });
                let parts = (driver, Rc::downgrade(&self), Rc::downgrade(&connection));
                if !self.closed.get() {
                    self.connections.borrow_mut().push(connection);
                }
                Some(parts)
            }
            Err(error) => {
                tracing::debug!(address = %self.address, %error, "can't connect upstream");
                self.failures.set(self.failures.get() + 1);
                None
            }
        };
        self.changed.notify_waiters();
        self.dialled.notify_waiters();
        dialled
    }

    async fn dialled_in_turn(&self) -> io::Result<(SendRequest<Bytes>, Driver)> {
        let _turn = match &self.dials {
            Some(dials) => Some(dials.begin().await),
            None => None,
        };
        if self.closed.get() {
            return Err(io::Error::other("nobody needs the connection any more"));
        }
        dial::h2(self.address, self.source.as_deref()).await
    }
}

type Driver = h2::client::Connection<TcpStream, Bytes>;

/// Drives a connection to its end, grants its peer what credit it has, and tells those who wait when
/// it allows more than before. Holds neither: a connection ends with its last user.
async fn drive(
    mut driver: Driver,
    peer: &Weak<Peer>,
    connection: Weak<Connection>,
    credit: &Credit,
) {
    let mut allowed = 0;
    let mut granted = limits::STREAM_WINDOW;
    let mut told = None;
    let ended = poll_fn(|cx| {
        turn::look();
        credit.wake_on_change(&mut told, cx);
        let window = credit.window();
        // One change at a time: the next is told once the peer has agreed to this one, which comes
        // as a frame, and so by here.
        if granted != window && driver.set_initial_window_size(window).is_ok() {
            granted = window;
        }
        let ended = Pin::new(&mut driver).poll(cx);
        if let Some(peer) = peer.upgrade().filter(|peer| peer.waiting.get() > 0)
            && let Some(connection) = connection.upgrade()
        {
            let allows = connection.send.borrow().current_max_send_streams();
            if allows > std::mem::replace(&mut allowed, allows) {
                peer.changed.notify_waiters();
            }
        }
        ended
    })
    .await;
    if let Err(error) = ended {
        tracing::debug!(%error, "upstream connection ended");
    }
}

/// Room for one exchange on one connection; given back when dropped.
#[derive(Debug)]
pub struct Slot {
    connection: Rc<Connection>,
    peer: Rc<Peer>,
}

impl Slot {
    /// Sends the request's head.
    ///
    /// # Errors
    /// The connection failed at this very moment; nothing was sent.
    pub fn send(self, mut request: Request<()>, body: Body) -> Result<Stream, Failure> {
        let end = body.is_none();
        let tunnel = (body == Body::Tunnel).then(|| Box::new(accept(request.headers())));
        leave_unindexed(request.headers_mut());
        let (response, send) = self
            .connection
            .send
            .borrow_mut()
            .send_request(request, end)
            .map_err(|_| Failure::Connect)?;
        Ok(Stream {
            tunnel,
            response: Some(response),
            send,
            body: None,
            opened: turn::now(),
            slot: Some(self),
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.connection
            .open
            .set(self.connection.open.get().saturating_sub(1));
        if self.peer.waiting.get() > 0 {
            // One for one: a crowd that wakes for each room would take turns at finding none.
            self.peer.changed.notify_one();
        }
    }
}

/// Counts one waiter, also when its future is dropped.
struct Waiting<'a>(&'a Peer);

impl<'a> Waiting<'a> {
    fn new(peer: &'a Peer) -> Self {
        peer.waiting.set(peer.waiting.get() + 1);
        Self(peer)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get().saturating_sub(1));
    }
}

/// One exchange on an HTTP/2 connection. Dropping it before its end resets the stream.
#[derive(Debug)]
pub struct Stream {
    /// A WebSocket was asked for, with a key that has this answer. Few are asked for: boxed.
    tunnel: Option<Box<Option<HeaderValue>>>,
    response: Option<ResponseFuture>,
    send: SendStream<Bytes>,
    body: Option<RecvStream>,
    opened: Instant,
    slot: Option<Slot>,
}

impl Drop for Stream {
    /// A peer that reads many resets together with the heads they follow takes them for an attack
    /// and ends the connection, so a stream without an answer is not reset sooner than
    /// [`limits::RESET_AFTER`].
    fn drop(&mut self) {
        let Some(response) = self.response.take() else {
            return;
        };
        let (opened, slot) = (self.opened, self.slot.take());
        let passed = turn::now().saturating_duration_since(opened);
        if let Some(left) = limits::RESET_AFTER.checked_sub(passed) {
            tokio::task::spawn_local(async move {
                tokio::time::sleep(left).await;
                // What h2 resets the stream by: nobody holds it any more.
                drop((response, slot));
            });
        }
    }
}

impl Upstream for Stream {
    fn poll_room(&mut self, wanted: usize, cx: &mut Context<'_>) -> Poll<Result<usize, Failure>> {
        room(&mut self.send, wanted, cx).map_err(|()| Failure::Reset)
    }

    fn send_data(&mut self, data: Bytes, end: bool) -> Result<(), Failure> {
        self.send
            .send_data(data, end)
            .map_err(|error| failure(&error))
    }

    fn send_trailers(&mut self, trailers: HeaderMap) -> Result<(), Failure> {
        self.send
            .send_trailers(trailers)
            .map_err(|error| failure(&error))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, Failure>> {
        let Some(response) = &mut self.response else {
            return Poll::Ready(Err(Failure::Protocol));
        };
        if let Poll::Ready(Some(interim)) = response.poll_informational(cx) {
            let (parts, ()) = interim.map_err(|error| failure(&error))?.into_parts();
            let interim = Interim {
                status: parts.status,
                fields: parts.headers,
            };
            return Poll::Ready(Ok(Head::Interim(interim)));
        }
        let Poll::Ready(answered) = Pin::new(response).poll(cx) else {
            return Poll::Pending;
        };
        self.response = None;
        let (mut parts, stream) = answered.map_err(|error| failure(&error))?.into_parts();
        let length = content_length(&parts.headers).map_err(|_| Failure::Protocol)?;
        let tunnel = self.tunnel.take();
        let tunnel = tunnel.filter(|_| parts.status == StatusCode::OK);
        let open = tunnel.is_some();
        if let Some(accept) = tunnel.and_then(|accept| *accept) {
            parts.headers.entry(SEC_WEBSOCKET_ACCEPT).or_insert(accept);
        }
        let body = match (stream.is_end_stream(), length) {
            _ if open => Body::Tunnel,
            (true, _) => Body::None,
            (false, Some(length)) => Body::Length(length),
            (false, None) => Body::Stream,
        };
        self.body = Some(stream);
        Poll::Ready(Ok(Head::Final(http::Response::from_parts(parts, ()), body)))
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Failure>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(Some(Err(Failure::Protocol)));
        };
        match body.poll_data(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(data))) => Poll::Ready(Some(Ok(Frame::Data(data)))),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(failure(&error)))),
            Poll::Ready(None) => body.poll_trailers(cx).map(|trailers| match trailers {
                Ok(trailers) => trailers.map(|trailers| Ok(Frame::Trailers(trailers))),
                Err(error) => Some(Err(failure(&error))),
            }),
        }
    }

    fn consumed(&mut self, bytes: usize) {
        if let Some(body) = &mut self.body {
            // Fails only when the stream is gone, and with it the window.
            body.flow_control().release_capacity(bytes).ok();
        }
    }

    fn is_body_done(&self) -> bool {
        self.body.as_ref().is_some_and(RecvStream::is_end_stream)
    }

    fn window(&mut self) -> Option<Window> {
        let body = self.body.as_mut()?;
        let stream = body.flow_control().clone();
        let credit = &self.slot.as_ref()?.peer.credit;
        Some(Window::granted(stream, credit))
    }
}

/// A stream is refused by itself (RFC 9113 §8.7), or by a GOAWAY that ends its connection in good
/// order and came before the peer had looked at it. An error's GOAWAY says less: it ends streams that
/// were looked at too.
fn failure(error: &h2::Error) -> Failure {
    let reason = error.reason();
    if error.is_remote()
        && (error.is_reset() && reason == Some(Reason::REFUSED_STREAM)
            || error.is_go_away() && reason == Some(Reason::NO_ERROR))
    {
        Failure::Refused
    } else if error.is_library() && error.is_reset() {
        Failure::Protocol
    } else {
        Failure::Reset
    }
}

#[cfg(test)]
mod tests;
