//! The engine: carries one exchange to its end. Request and response move independently; each
//! direction holds at most one frame, and credit returns to a sender only when its bytes went on.
//! The exchange ends with the response, or with either side; never later.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use tokio::time::Sleep;

use crate::downstream::Downstream;
use crate::limits;
use crate::message::{Frame, Gone};
use crate::upstream::{Failure, Head, Upstream};

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The client left or broke the protocol; the upstream was cancelled.
    Client(Gone),
    /// The whole response went to the client.
    Complete,
    /// The upstream failed. With the head already sent, the client got a reset.
    Upstream(Failure),
}

/// What an exchange came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// The status sent to the client; `None`: no head was sent, and the caller is to answer.
    pub status: Option<StatusCode>,
    /// Bytes of request body passed on.
    pub received: u64,
    /// Bytes of response body passed on.
    pub sent: u64,
}

/// Looks at an exchange as it passes. Must not block; every method is on the request path.
pub trait Observer {
    /// The response's head, before it goes to the client.
    fn head(&mut self, response: &mut Response<()>);
}

/// Carries the exchange to its end. `head_timeout`: from now to the response's head.
///
/// Cancel-safe in the sense that dropping the future cancels both sides.
pub async fn run<D: Downstream, U: Upstream, O: Observer>(
    downstream: &mut D,
    upstream: &mut U,
    observer: &mut O,
    head_timeout: Option<Duration>,
) -> Outcome {
    let mut exchange = Exchange::new(head_timeout);
    let end = poll_fn(|cx| exchange.poll(cx, downstream, upstream, observer)).await;
    if end != End::Complete && exchange.status.is_some() {
        downstream.abort();
    }
    Outcome {
        end,
        status: exchange.status,
        received: exchange.received,
        sent: exchange.sent,
    }
}

/// Waits for something before the exchange can begin, unless the client leaves first.
///
/// # Errors
/// The client left.
pub async fn unless_gone<D: Downstream, F: Future>(
    downstream: &mut D,
    future: F,
) -> Result<F::Output, Gone> {
    let mut future = std::pin::pin!(future);
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        downstream.poll_gone(cx).map(Err)
    })
    .await
}

struct Exchange {
    request: Leg,
    response: Leg,
    status: Option<StatusCode>,
    deadline: Option<Pin<Box<Sleep>>>,
    received: u64,
    sent: u64,
}

/// One direction.
#[derive(Default)]
struct Leg {
    /// Read but not yet passed on.
    held: Option<Bytes>,
    done: bool,
}

/// What one step of one direction came to.
enum Step {
    Moved,
    Waits,
}

impl Exchange {
    fn new(head_timeout: Option<Duration>) -> Self {
        Self {
            request: Leg::default(),
            response: Leg::default(),
            status: None,
            deadline: head_timeout.map(|timeout| Box::pin(tokio::time::sleep(timeout))),
            received: 0,
            sent: 0,
        }
    }

    fn poll<D: Downstream, U: Upstream, O: Observer>(
        &mut self,
        cx: &mut Context<'_>,
        downstream: &mut D,
        upstream: &mut U,
        observer: &mut O,
    ) -> Poll<End> {
        for _ in 0..limits::STEPS_PER_TURN {
            let request = match self.step_request(cx, downstream, upstream) {
                Ok(step) => step,
                Err(end) => return Poll::Ready(end),
            };
            let response = match self.step_response(cx, downstream, upstream, observer) {
                Ok(step) => step,
                Err(end) => return Poll::Ready(end),
            };
            if self.response.done {
                return downstream.poll_flush(cx).map(|flushed| match flushed {
                    Ok(()) => End::Complete,
                    Err(gone) => End::Client(gone),
                });
            }
            if matches!((request, response), (Step::Waits, Step::Waits)) {
                return self.poll_waiting(cx, downstream, upstream);
            }
        }
        // A busy exchange lets its neighbours on this core go first.
        cx.waker().wake_by_ref();
        self.poll_waiting(cx, downstream, upstream)
    }

    /// Neither direction can go on: push out what was sent, and see whether anybody is left.
    fn poll_waiting<D: Downstream, U: Upstream>(
        &mut self,
        cx: &mut Context<'_>,
        downstream: &mut D,
        upstream: &mut U,
    ) -> Poll<End> {
        if let Poll::Ready(gone) = downstream.poll_gone(cx) {
            return Poll::Ready(End::Client(gone));
        }
        // A failed upstream write is told by its read side, which may still hold an answer.
        let _failed_or_not = upstream.poll_flush(cx);
        if let Poll::Ready(Err(gone)) = downstream.poll_flush(cx) {
            return Poll::Ready(End::Client(gone));
        }
        if let Some(deadline) = &mut self.deadline
            && self.status.is_none()
            && deadline.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(End::Upstream(Failure::Timeout));
        }
        Poll::Pending
    }

    fn step_request<D: Downstream, U: Upstream>(
        &mut self,
        cx: &mut Context<'_>,
        downstream: &mut D,
        upstream: &mut U,
    ) -> Result<Step, End> {
        if self.request.done {
            return Ok(Step::Waits);
        }
        if let Some(held) = &mut self.request.held {
            let room = match upstream.poll_room(held.len(), cx) {
                Poll::Pending => return Ok(Step::Waits),
                Poll::Ready(Ok(room)) => room,
                Poll::Ready(Err(_)) => return Ok(self.stop_request()),
            };
            let piece = held.split_to(room.min(held.len()));
            let length = piece.len();
            let last = held.is_empty();
            if last {
                self.request.held = None;
            }
            let end = last && downstream.is_body_done();
            if upstream.send_data(piece, end).is_err() {
                return Ok(self.stop_request());
            }
            self.request.done = end;
            self.received += length as u64;
            downstream.consumed(length);
            return Ok(Step::Moved);
        }
        match downstream.poll_body(cx) {
            Poll::Pending => Ok(Step::Waits),
            Poll::Ready(Some(Ok(Frame::Data(data)))) => {
                if !data.is_empty() {
                    self.request.held = Some(data);
                }
                Ok(Step::Moved)
            }
            Poll::Ready(Some(Ok(Frame::Trailers(trailers)))) => {
                self.request.done = true;
                // See `stop_request` for a failure here.
                upstream.send_trailers(trailers).ok();
                Ok(Step::Moved)
            }
            Poll::Ready(None) => {
                self.request.done = true;
                upstream.send_data(Bytes::new(), true).ok();
                Ok(Step::Moved)
            }
            Poll::Ready(Some(Err(gone))) => Err(End::Client(gone)),
        }
    }

    /// The upstream takes no more of the request. That is no failure yet: it may have answered, and
    /// its read side tells.
    fn stop_request(&mut self) -> Step {
        self.request.held = None;
        self.request.done = true;
        Step::Moved
    }

    fn step_response<D: Downstream, U: Upstream, O: Observer>(
        &mut self,
        cx: &mut Context<'_>,
        downstream: &mut D,
        upstream: &mut U,
        observer: &mut O,
    ) -> Result<Step, End> {
        if self.status.is_none() {
            return self.step_head(cx, downstream, upstream, observer);
        }
        if let Some(held) = &mut self.response.held {
            let room = match downstream.poll_room(held.len(), cx) {
                Poll::Pending => return Ok(Step::Waits),
                Poll::Ready(room) => room.map_err(End::Client)?,
            };
            let piece = held.split_to(room.min(held.len()));
            let length = piece.len();
            let last = held.is_empty();
            if last {
                self.response.held = None;
            }
            let end = last && upstream.is_body_done();
            downstream.send_data(piece, end).map_err(End::Client)?;
            self.response.done = end;
            self.sent += length as u64;
            upstream.consumed(length);
            return Ok(Step::Moved);
        }
        match upstream.poll_body(cx) {
            Poll::Pending => Ok(Step::Waits),
            Poll::Ready(Some(Ok(Frame::Data(data)))) => {
                if !data.is_empty() {
                    self.response.held = Some(data);
                }
                Ok(Step::Moved)
            }
            Poll::Ready(Some(Ok(Frame::Trailers(trailers)))) => {
                downstream.send_trailers(trailers).map_err(End::Client)?;
                self.response.done = true;
                Ok(Step::Moved)
            }
            Poll::Ready(None) => {
                downstream
                    .send_data(Bytes::new(), true)
                    .map_err(End::Client)?;
                self.response.done = true;
                Ok(Step::Moved)
            }
            Poll::Ready(Some(Err(failure))) => Err(End::Upstream(failure)),
        }
    }

    fn step_head<D: Downstream, U: Upstream, O: Observer>(
        &mut self,
        cx: &mut Context<'_>,
        downstream: &mut D,
        upstream: &mut U,
        observer: &mut O,
    ) -> Result<Step, End> {
        match upstream.poll_head(cx) {
            Poll::Pending => Ok(Step::Waits),
            Poll::Ready(Err(failure)) => Err(End::Upstream(failure)),
            Poll::Ready(Ok(Head::Interim(interim))) => {
                downstream.send_interim(interim).map_err(End::Client)?;
                Ok(Step::Moved)
            }
            Poll::Ready(Ok(Head::Final(mut response, body))) => {
                observer.head(&mut response);
                let status = response.status();
                downstream.send_head(response, body).map_err(End::Client)?;
                self.status = Some(status);
                self.deadline = None;
                self.response.done = body.is_none();
                Ok(Step::Moved)
            }
        }
    }
}
