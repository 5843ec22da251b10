//! The client's side of an exchange, whatever it speaks.

pub mod h1;
pub mod h2;
mod idle;
pub mod streams;

use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};

use crate::budget::Window;
use crate::message::{Body, Frame, Gone, Interim};
use crate::stall::Stalls;

use self::streams::Streams;

/// One request as its client sent it, canonical whatever the client speaks.
#[derive(Debug)]
pub struct Inbound {
    /// Method, absolute URI (`scheme://authority/path`), fields without `host`.
    pub request: Request<()>,
    /// Whether and how a body follows.
    pub body: Body,
    /// Who sent it.
    pub client: Rc<Client>,
}

/// The other end of a client's connection.
#[derive(Debug)]
pub struct Client {
    /// Where the connection comes from.
    pub address: SocketAddr,
    /// Its IP address as a field's value, made once a connection.
    pub name: HeaderValue,
    /// Its exchanges in flight, by tenant.
    pub streams: Streams,
}

impl Client {
    /// The client at that address.
    pub fn new(address: SocketAddr) -> Self {
        let name = address.ip().to_canonical().to_string();
        // An IP address has only characters that a field may have.
        let name = HeaderValue::try_from(name).unwrap_or(HeaderValue::from_static("unknown"));
        let streams = Streams::default();
        Self {
            address,
            name,
            streams,
        }
    }
}

/// The client's side of one exchange. All methods belong to one task.
///
/// Reading: [`poll_body`](Self::poll_body), then [`consumed`](Self::consumed) once the bytes went on;
/// credit flows back to the client only then. Writing: a head, then data only when
/// [`poll_room`](Self::poll_room) is ready, and [`poll_flush`](Self::poll_flush) before waiting.
pub trait Downstream {
    /// The next piece of the request's body; `None`: its end.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Gone>>>;

    /// So many bytes of body have been passed on.
    fn consumed(&mut self, bytes: usize);

    /// The request's body has been read to its end.
    fn is_body_done(&self) -> bool;

    /// Sends a response before the response.
    fn send_interim(&mut self, interim: Interim) -> Result<(), Gone>;

    /// Sends the response's head; `Body::None` also ends the response.
    fn send_head(&mut self, response: Response<()>, body: Body) -> Result<(), Gone>;

    /// Waits until at least one byte of up to `wanted` may be sent, and says how many.
    fn poll_room(&mut self, wanted: usize, cx: &mut Context<'_>) -> Poll<Result<usize, Gone>>;

    /// Sends content, no more than there is room for.
    fn send_data(&mut self, data: Bytes, end: bool) -> Result<(), Gone>;

    /// Ends the response with trailers.
    fn send_trailers(&mut self, trailers: HeaderMap) -> Result<(), Gone>;

    /// Pushes out what was sent.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>>;

    /// Ready when the client is no longer there.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Gone>;

    /// The stream's unread bytes; `None` where bytes come only when they are read.
    fn window(&mut self) -> Option<Window> {
        None
    }

    /// Bytes it holds beside what [`window`](Self::window) counts.
    fn buffered(&self) -> usize {
        0
    }

    /// The exchanges of this core, for the engine to watch this one among.
    fn stalls(&self) -> &Rc<Stalls>;

    /// Whether the process ends now, and a tunnel with it; the task is woken when it does.
    fn poll_ending(&mut self, cx: &Context<'_>) -> bool;

    /// Refuses an exchange of which nothing has been answered, as one that can be sent again elsewhere;
    /// `false` where the client's protocol has no word for that.
    fn refuse(&mut self) -> bool {
        false
    }

    /// Ends the exchange so that the client can't take what it got for whole.
    fn abort(&mut self);
}
