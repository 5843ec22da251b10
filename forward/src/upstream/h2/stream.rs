//! One exchange on a connection to a peer. Dropped before its end, it is cancelled there.

use std::cell::RefMut;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::header::SEC_WEBSOCKET_ACCEPT;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};

use super::{Connection, Peer};
use crate::budget::Window;
use crate::h1::head::content_length;
use crate::h2::{Core, Entry, Fault, Unread};
use crate::message::{Body, Frame};
use crate::upstream::{Failure, Head, Upstream};
use crate::websocket::accept;
use crate::{limits, turn};

/// Room for one exchange on one connection; given back when dropped.
#[derive(Debug)]
pub struct Slot {
    connection: Rc<Connection>,
    peer: Rc<Peer>,
}

impl Slot {
    pub(super) fn new(connection: &Rc<Connection>, peer: &Rc<Peer>) -> Self {
        connection.open.set(connection.open.get() + 1);
        Self {
            connection: Rc::clone(connection),
            peer: Rc::clone(peer),
        }
    }

    /// Sends the request's head.
    ///
    /// # Errors
    /// The connection failed at this very moment; nothing was sent.
    pub fn send(self, request: &Request<()>, body: Body) -> Result<Stream, Failure> {
        let tunnel = (body == Body::Tunnel).then(|| Box::new(accept(request.headers())));
        let opened = {
            let mut core = self.connection.core.borrow_mut();
            core.open(request, body.is_none())
        };
        let key = opened.ok_or(Failure::Connect)?;
        Ok(Stream {
            tunnel,
            opened: turn::now(),
            held: Some(Held { slot: self, key }),
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let open = self.connection.open.get();
        self.connection.open.set(open.saturating_sub(1));
        self.peer.left();
    }
}

/// One exchange on an HTTP/2 connection. Dropping it before its end resets the stream.
#[derive(Debug)]
pub struct Stream {
    /// A WebSocket was asked for, with a key that has this answer. Few are asked for: boxed.
    tunnel: Option<Box<Option<HeaderValue>>>,
    opened: Instant,
    /// Taken when it is dropped, and never before.
    held: Option<Held>,
}

/// A stream that its connection keeps.
#[derive(Debug)]
struct Held {
    slot: Slot,
    key: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut core = self.slot.connection.core.borrow_mut();
        core.release(self.key);
    }
}

impl Stream {
    fn core(&self) -> Result<(RefMut<'_, Core>, usize), Failure> {
        let held = self.held.as_ref().ok_or(Failure::Reset)?;
        Ok((held.slot.connection.core.borrow_mut(), held.key))
    }

    /// What its connection has of it.
    fn entry(&self) -> Result<RefMut<'_, Entry>, Failure> {
        let (core, key) = self.core()?;
        RefMut::filter_map(core, |core| core.stream(key)).map_err(|_| Failure::Reset)
    }

    /// The final head, as it is handed on, and what follows it.
    fn answered(&mut self, mut response: Response<()>, ended: bool) -> Result<Head, Failure> {
        let length = content_length(response.headers()).map_err(|_| Failure::Protocol)?;
        let tunnel = self.tunnel.take();
        let tunnel = tunnel.filter(|_| response.status() == StatusCode::OK);
        let open = tunnel.is_some();
        if let Some(accept) = tunnel.and_then(|accept| *accept) {
            let fields = response.headers_mut();
            fields.entry(SEC_WEBSOCKET_ACCEPT).or_insert(accept);
        }
        let body = match (ended, length) {
            _ if open => Body::Tunnel,
            (true, _) => Body::None,
            (false, Some(length)) => Body::Length(length),
            (false, None) => Body::Stream,
        };
        Ok(Head::Final(response, body))
    }
}

impl Drop for Stream {
    /// A peer that reads many resets together with the heads they follow takes them for an attack
    /// and ends the connection, so a stream without an answer is not reset sooner than
    /// [`limits::RESET_AFTER`].
    fn drop(&mut self) {
        let waits = self
            .entry()
            .is_ok_and(|entry| !entry.got_end && !entry.headed);
        let Some(held) = self.held.take().filter(|_| waits) else {
            return;
        };
        let passed = turn::now().saturating_duration_since(self.opened);
        if let Some(left) = limits::RESET_AFTER.checked_sub(passed) {
            tokio::task::spawn_local(async move {
                tokio::time::sleep(left).await;
                drop(held);
            });
        }
    }
}

impl Upstream for Stream {
    fn poll_room(&mut self, wanted: usize, cx: &mut Context<'_>) -> Poll<Result<usize, Failure>> {
        let (mut core, key) = self.core()?;
        core.poll_room(key, wanted, cx).map_err(Failure::from)
    }

    fn send_data(&mut self, data: Bytes, end: bool) -> Result<(), Failure> {
        let (mut core, key) = self.core()?;
        Ok(core.send(key, data, end)?)
    }

    fn send_trailers(&mut self, trailers: HeaderMap) -> Result<(), Failure> {
        let (mut core, key) = self.core()?;
        Ok(core.send_trailers(key, &trailers)?)
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, Failure>> {
        let (mut core, key) = self.core()?;
        let interim = core.stream(key).and_then(Entry::next_interim);
        if let Some(interim) = interim {
            return Poll::Ready(Ok(Head::Interim(interim)));
        }
        if let Some(response) = core.take_answer(key) {
            let ended = core.stream(key).is_some_and(|entry| entry.bare);
            drop(core);
            return Poll::Ready(self.answered(response, ended));
        }
        let entry = core.stream(key).ok_or(Failure::Reset)?;
        match entry.failed {
            Some(fault) => Poll::Ready(Err(fault.into())),
            None if entry.headed => Poll::Ready(Err(Failure::Protocol)),
            None => {
                entry.wait(cx);
                Poll::Pending
            }
        }
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Failure>>> {
        let polled = match self.entry() {
            Ok(mut entry) => entry.poll_frame(cx),
            Err(failure) => return Poll::Ready(Some(Err(failure))),
        };
        polled.map(|read| Some(read?.map_err(Failure::from)))
    }

    fn consumed(&mut self, bytes: usize) {
        if let Ok((mut core, key)) = self.core() {
            core.consumed(key, bytes);
        }
    }

    fn is_body_done(&self) -> bool {
        self.entry().is_ok_and(|entry| entry.is_read())
    }

    fn window(&mut self) -> Option<Window> {
        let held = self.held.as_ref()?;
        if !self.entry().ok()?.headed {
            return None;
        }
        let unread = Unread::new(&held.slot.connection.core, held.key);
        Some(Window::granted(unread, &held.slot.peer.credit))
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Protocol => Self::Protocol,
            Fault::Refused => Self::Refused,
            Fault::Reset => Self::Reset,
        }
    }
}
