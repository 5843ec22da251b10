//! The program's side of an exchange, whatever it speaks, and the connections it is carried on.

pub(crate) mod dial;
pub mod dials;
pub mod h1;
pub mod h2;
pub mod source;

use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Response};

use crate::budget::Window;
use crate::message::{Body, Frame, Interim};

/// Why an upstream did not answer whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No connection; not a byte of the request has left.
    #[error("can't connect")]
    Connect,
    /// Every connection is full or still being dialled; not a byte of the request has left.
    #[error("no room on any connection")]
    Full,
    /// Not what it says it speaks.
    #[error("broke the protocol")]
    Protocol,
    /// It says that it has processed nothing of the request.
    #[error("refused")]
    Refused,
    /// It reset or closed before its answer was whole.
    #[error("reset")]
    Reset,
    /// No response head in time.
    #[error("timed out")]
    Timeout,
}

/// What comes before a response's body.
#[derive(Debug)]
pub enum Head {
    /// A response before the response; more follows.
    Interim(Interim),
    /// The response.
    Final(Response<()>, Body),
}

/// The program's side of one exchange. All methods belong to one task; the rules of
/// [`Downstream`](crate::Downstream) hold here too, the other way round.
pub trait Upstream {
    /// Waits until at least one byte of up to `wanted` of the request's body may be sent.
    fn poll_room(&mut self, wanted: usize, cx: &mut Context<'_>) -> Poll<Result<usize, Failure>>;

    /// Sends a piece of the request's body, no more than there is room for.
    fn send_data(&mut self, data: Bytes, end: bool) -> Result<(), Failure>;

    /// Ends the request with trailers.
    fn send_trailers(&mut self, trailers: HeaderMap) -> Result<(), Failure>;

    /// Pushes out what was sent.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>>;

    /// The next head.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, Failure>>;

    /// The next piece of the response's body; `None`: its whole end.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Failure>>>;

    /// So many bytes of the response's body have been passed on.
    fn consumed(&mut self, bytes: usize);

    /// The response's body has been read to its end.
    fn is_body_done(&self) -> bool;

    /// As [`Downstream::window`](crate::Downstream::window); there is none before the head.
    fn window(&mut self) -> Option<Window> {
        None
    }

    /// As [`Downstream::buffered`](crate::Downstream::buffered).
    fn buffered(&self) -> usize {
        0
    }
}
