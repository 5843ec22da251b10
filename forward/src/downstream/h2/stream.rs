//! One exchange on a client's HTTP/2 connection. Dropped before its end, it is reset.

use std::cell::{RefCell, RefMut};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Method, Response};

use super::canonical::canonical;
use crate::answer::{Answer, Reason as Why};
use crate::budget::Window;
use crate::downstream::{Client, Downstream, Inbound};
use crate::h1::head::strip_from_trailers;
use crate::h2::frame::Code;
use crate::h2::{Accepted, Core, Entry, Fault, Unread};
use crate::message::{Body, Frame, Gone, Interim};
use crate::shard::{Connected, Drain, Phase, Service};
use crate::stall::Stalls;
use crate::websocket::is_websocket;

/// The exchange of one stream. What it is made of is moved in before its first poll: arguments of an
/// async function have a place of their own in its future, beside the variables they are moved to.
pub(super) fn serve_stream<S: Service>(
    connected: &Connected<S>,
    client: &Rc<Client>,
    accepted: Accepted,
    core: Rc<RefCell<Core>>,
) -> impl Future<Output = ()> + use<S> {
    let Accepted {
        key,
        request,
        ended: bare,
    } = accepted;
    let mut stream = Stream {
        core,
        key,
        head: *request.method() == Method::HEAD,
        begun: false,
        ended: false,
        stalls: connected.stalls(),
        drain: is_websocket(&request).then(|| connected.drain()),
    };
    let mut inbound = Inbound {
        request,
        body: Body::None,
        client: Rc::clone(client),
    };
    let service = connected.service();
    async move {
        // Clients that vanish together reset streams by the hundred, mostly in the very read that
        // opens them: nothing of those reaches a program, whose own guard against such resets would
        // end the connection its other streams are on.
        if poll_fn(|cx| Poll::Ready(stream.poll_gone(cx).is_ready())).await {
            return;
        }
        match canonical(&mut inbound.request, bare) {
            Ok(body) => {
                inbound.body = body;
                service.serve(&mut inbound, &mut stream).await;
            }
            Err(malformed) => {
                Answer::new(Why::BadRequest)
                    .detail(malformed.0)
                    .send(inbound.request.headers(), &mut stream);
            }
        }
    }
}

/// One stream.
struct Stream {
    core: Rc<RefCell<Core>>,
    key: usize,
    /// What is asked is a head alone.
    head: bool,
    /// The response's head was sent.
    begun: bool,
    /// The response was sent to its end.
    ended: bool,
    stalls: Rc<Stalls>,
    /// Of a WebSocket only: others are not ended by us.
    drain: Option<Drain>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.core.borrow_mut().release(self.key);
    }
}

impl Stream {
    /// What its connection has of it.
    fn entry(&self) -> Result<RefMut<'_, Entry>, Gone> {
        let core = self.core.borrow_mut();
        RefMut::filter_map(core, |core| core.stream(self.key)).map_err(|_| Gone::Left)
    }
}

impl Downstream for Stream {
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Gone>>> {
        let polled = match self.entry() {
            Ok(mut entry) => entry.poll_frame(cx),
            Err(gone) => return Poll::Ready(Some(Err(gone))),
        };
        polled.map(|read| match read? {
            Ok(Frame::Trailers(mut trailers)) => {
                strip_from_trailers(&mut trailers);
                Some(Ok(Frame::Trailers(trailers)))
            }
            Ok(data) => Some(Ok(data)),
            Err(fault) => Some(Err(fault.into())),
        })
    }

    fn consumed(&mut self, bytes: usize) {
        self.core.borrow_mut().consumed(self.key, bytes);
    }

    fn is_body_done(&self) -> bool {
        self.entry().is_ok_and(|entry| entry.is_read())
    }

    fn send_interim(&mut self, interim: Interim) -> Result<(), Gone> {
        let mut core = self.core.borrow_mut();
        Ok(core.respond(self.key, interim.status, &interim.fields, false)?)
    }

    fn send_head(&mut self, response: Response<()>, body: Body) -> Result<(), Gone> {
        self.begun = true;
        self.ended = body.is_none() || self.head;
        let mut core = self.core.borrow_mut();
        Ok(core.respond(self.key, response.status(), response.headers(), self.ended)?)
    }

    fn poll_room(&mut self, wanted: usize, cx: &mut Context<'_>) -> Poll<Result<usize, Gone>> {
        if !self.begun {
            return Poll::Ready(Err(Gone::Left));
        }
        if self.ended {
            return Poll::Ready(Ok(wanted));
        }
        let mut core = self.core.borrow_mut();
        core.poll_room(self.key, wanted, cx).map_err(Gone::from)
    }

    fn send_data(&mut self, data: Bytes, end: bool) -> Result<(), Gone> {
        if !self.begun {
            return Err(Gone::Left);
        }
        if self.ended {
            return Ok(());
        }
        self.ended = end;
        Ok(self.core.borrow_mut().send(self.key, data, end)?)
    }

    fn send_trailers(&mut self, trailers: HeaderMap) -> Result<(), Gone> {
        if !self.begun {
            return Err(Gone::Left);
        }
        if self.ended {
            return Ok(());
        }
        self.ended = true;
        let mut core = self.core.borrow_mut();
        Ok(core.send_trailers(self.key, &trailers)?)
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        // The connection's task writes what its streams have queued, for all of them at once.
        Poll::Ready(Ok(()))
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Gone> {
        match self.entry() {
            Ok(mut entry) if !entry.closed => {
                entry.wait(cx);
                Poll::Pending
            }
            Ok(_) | Err(_) => Poll::Ready(Gone::Left),
        }
    }

    fn window(&mut self) -> Option<Window> {
        Some(Window::new(Unread::new(&self.core, self.key)))
    }

    fn stalls(&self) -> &Rc<Stalls> {
        &self.stalls
    }

    fn poll_ending(&mut self, cx: &Context<'_>) -> bool {
        let drain = self.drain.as_mut();
        drain.is_some_and(|drain| drain.poll(Phase::Ending, cx))
    }

    fn refuse(&mut self) -> bool {
        if self.begun {
            return false;
        }
        self.core.borrow_mut().abort(self.key, Code::REFUSED_STREAM);
        true
    }

    fn abort(&mut self) {
        self.core.borrow_mut().abort(self.key, Code::INTERNAL_ERROR);
    }
}

impl From<Fault> for Gone {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Protocol => Self::Broken,
            Fault::Refused | Fault::Reset => Self::Left,
        }
    }
}
