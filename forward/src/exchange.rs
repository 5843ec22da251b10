//! The engine: carries one exchange to its end. Request and response move independently; each
//! direction holds at most one frame, and credit returns to a sender only when its bytes went on.
//! The exchange ends with the response, or with either side; never later. Fields of ours stand in
//! final heads only, where whoever sets them looks after them: interim heads and trailers have none.

mod rules;
mod sending;

pub use rules::Rules;
pub use sending::Sending;

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use tokio::time::Sleep;

use crate::answer::Reason;
use crate::budget::{Account, Holds};
use crate::downstream::Downstream;
use crate::fields::{strip_from_answer, strip_ours};
use crate::message::{Frame, Gone};
use crate::stall::Watched;
use crate::upstream::{Failure, Head, Upstream};
use crate::websocket::{self, Frames};
use crate::{grpc, limits};

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The client left or broke the protocol; the upstream was cancelled.
    Client(Gone),
    /// The whole response went to the client.
    Complete,
    /// Too much is held in memory, most of it for the exchange's owner; the upstream was cancelled.
    /// With the head already sent, the client got a reset.
    Shed,
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
    fn head(&mut self, response: &mut Response<()>) -> Verdict;

    /// Whether whoever answers is about to end, and a tunnel with it; the task is woken when it is.
    /// Asked of tunnels only.
    fn poll_ending(&mut self, _cx: &mut Context<'_>) -> bool {
        false
    }
}

/// What is done with a response's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes to the client.
    Pass,
    /// It says that nothing of the request was processed: the exchange ends as
    /// [`Failure::Refused`], if the request can be sent again.
    Refused,
}

/// Carries the exchange to its end. `sending` is the request's body as far as it was read; a new one
/// for a new request. What the exchange holds is counted on `account`.
///
/// Cancel-safe in the sense that dropping the future cancels both sides. To be called inside a Tokio runtime:
/// the timers of `rules` are made at once.
pub fn run<'a, 'b, D: Downstream, U: Upstream, O: Observer>(
    downstream: &'a mut D,
    upstream: &'a mut U,
    observer: &'a mut O,
    rules: Rules,
    sending: &'a mut Sending,
    account: &'a mut Account<'b>,
) -> Run<'a, 'b, D, U, O> {
    Run {
        exchange: Exchange::new(rules, sending, account),
        downstream,
        upstream,
        observer,
    }
}

/// An exchange under way. By hand, since an async function keeps its arguments twice, and there is one of
/// these for every exchange that is held.
#[derive(Debug)]
pub struct Run<'a, 'b, D, U, O> {
    exchange: Exchange<'a, 'b>,
    downstream: &'a mut D,
    upstream: &'a mut U,
    observer: &'a mut O,
}

impl<D: Downstream, U: Upstream, O: Observer> Future for Run<'_, '_, D, U, O> {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let Self {
            exchange,
            downstream,
            upstream,
            observer,
        } = self.get_mut();
        let polled = exchange.poll(cx, *downstream, *upstream, *observer);
        polled.map(|end| exchange.end(end, *downstream))
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

#[derive(Debug)]
struct Exchange<'a, 'b> {
    request: &'a mut Sending,
    account: &'a mut Account<'b>,
    response: Leg,
    status: Option<StatusCode>,
    /// As in its [`Rules`].
    grpc: bool,
    announced: bool,
    until_head: Option<Pin<Box<Sleep>>>,
    until_end: Option<Pin<Box<Sleep>>>,
    watched: Option<Watched>,
    /// What a WebSocket's program has said, to know where a frame of ours fits in. Few are one: boxed.
    frames: Option<Box<Frames>>,
    received: u64,
    sent: u64,
    /// Of the bytes passed on, those that were counted as progress.
    credited: u64,
    turn: Turn,
}

/// Whom an exchange waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// The client, to take its response.
    Reader,
    /// The client, to send a body of announced length.
    Sender,
    /// The program, or a stream that may be silent.
    Nobody,
}

/// The response's direction.
#[derive(Debug, Default)]
struct Leg {
    /// Read but not yet passed on; empty: nothing is.
    held: Bytes,
    done: bool,
}

/// What one step of one direction came to.
enum Step {
    Moved,
    Waits,
}

impl<'a, 'b> Exchange<'a, 'b> {
    fn new(rules: Rules, request: &'a mut Sending, account: &'a mut Account<'b>) -> Self {
        let timer = |after: Duration| Box::pin(tokio::time::sleep(after));
        Self {
            request,
            account,
            response: Leg::default(),
            status: None,
            grpc: rules.grpc,
            announced: rules.announced,
            until_head: rules.head_timeout.map(timer),
            until_end: rules.deadline.map(timer),
            watched: None,
            frames: rules.tunnel.then(Box::default),
            received: 0,
            sent: 0,
            credited: 0,
            turn: Turn::Nobody,
        }
    }

    fn poll<D: Downstream, U: Upstream, O: Observer>(
        &mut self,
        cx: &mut Context<'_>,
        downstream: &mut D,
        upstream: &mut U,
        observer: &mut O,
    ) -> Poll<End> {
        for turn in 0..limits::STEPS_PER_TURN {
            // Looked at before anything else: what has ended must not be ended again.
            if self.response.done {
                return self.poll_sent(cx, turn > 0, downstream, upstream);
            }
            let request = match self.step_request(cx, downstream, upstream) {
                Ok(step) => step,
                Err(end) => return Poll::Ready(end),
            };
            let response = match self.step_response(cx, downstream, upstream, observer) {
                Ok(step) => step,
                Err(end) => return Poll::Ready(end),
            };
            if matches!((request, response), (Step::Waits, Step::Waits)) {
                return self.poll_waiting(cx, turn > 0, downstream, upstream, observer);
            }
        }
        // A busy exchange lets its neighbours on this core go first.
        cx.waker().wake_by_ref();
        if self.response.done {
            return self.poll_sent(cx, true, downstream, upstream);
        }
        self.poll_waiting(cx, true, downstream, upstream, observer)
    }

    /// Tells the client of an end before its time, if it has seen a head.
    fn end<D: Downstream>(&mut self, end: End, downstream: &mut D) -> Outcome {
        self.account.leave();
        match end {
            End::Upstream(failure) if self.grpc && self.status.is_some() => {
                let reason = Reason::from(failure);
                let trailers = grpc::ending(reason, reason.text());
                if downstream.send_trailers(trailers).is_err() {
                    downstream.abort();
                }
            }
            End::Client(_) | End::Shed | End::Upstream(_) if self.status.is_some() => {
                downstream.abort();
            }
            End::Client(_) | End::Complete | End::Shed | End::Upstream(_) => {}
        }
        Outcome {
            end,
            status: self.status,
            received: self.received,
            sent: self.sent,
        }
    }

    /// Neither direction can go on: push out what was sent, and see whether anybody is left.
    fn poll_waiting<D: Downstream, U: Upstream, O: Observer>(
        &mut self,
        cx: &mut Context<'_>,
        moved: bool,
        downstream: &mut D,
        upstream: &mut U,
        observer: &mut O,
    ) -> Poll<End> {
        if let Poll::Ready(gone) = downstream.poll_gone(cx) {
            return Poll::Ready(End::Client(gone));
        }
        if self
            .frames
            .as_ref()
            .is_some_and(|frames| frames.at_boundary())
            && self.status == Some(StatusCode::OK)
            && (downstream.poll_ending(cx) || observer.poll_ending(cx))
        {
            return self.close_tunnel(cx, downstream, upstream);
        }
        // A failed upstream write is told by its read side, which may still hold an answer.
        let _failed_or_not = upstream.poll_flush(cx);
        if let Poll::Ready(Err(gone)) = downstream.poll_flush(cx) {
            return Poll::Ready(End::Client(gone));
        }
        for timer in [&mut self.until_head, &mut self.until_end]
            .into_iter()
            .flatten()
        {
            if timer.as_mut().poll(cx).is_ready() {
                return Poll::Ready(End::Upstream(Failure::Timeout));
            }
        }
        self.poll_stalled(cx, moved, downstream, upstream)
    }

    /// This process or the program ends, and no frame is half sent: tells the client in the tunnel's
    /// own words.
    fn close_tunnel<D: Downstream, U: Upstream>(
        &mut self,
        cx: &mut Context<'_>,
        downstream: &mut D,
        upstream: &mut U,
    ) -> Poll<End> {
        self.response.done = true;
        let close = Bytes::from_static(websocket::GOING_AWAY);
        if let Err(gone) = downstream.send_data(close, true) {
            return Poll::Ready(End::Client(gone));
        }
        self.poll_sent(cx, true, downstream, upstream)
    }

    /// The response has ended: pushes out what is left of it.
    fn poll_sent<D: Downstream, U: Upstream>(
        &mut self,
        cx: &mut Context<'_>,
        moved: bool,
        downstream: &mut D,
        upstream: &mut U,
    ) -> Poll<End> {
        match downstream.poll_flush(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(End::Complete),
            Poll::Ready(Err(gone)) => Poll::Ready(End::Client(gone)),
            Poll::Pending => self.poll_stalled(cx, moved, downstream, upstream),
        }
    }

    /// Ready when nothing has moved for longer than whoever is to move next may take.
    fn poll_stalled<D: Downstream, U: Upstream>(
        &mut self,
        cx: &Context<'_>,
        moved: bool,
        downstream: &mut D,
        upstream: &mut U,
    ) -> Poll<End> {
        if self.poll_counted(cx, downstream, upstream).is_ready() {
            return Poll::Ready(End::Shed);
        }
        let deadlines = downstream.stalls().deadlines();
        let stalled = End::Client(Gone::Stalled);
        let (turn, limit, end) = if !self.response.held.is_empty() || self.response.done {
            (Turn::Reader, deadlines.reader, stalled)
        } else if self.announced && !self.request.is_done() && self.request.held() == 0 {
            (Turn::Sender, deadlines.body, stalled)
        } else {
            let silent = End::Upstream(Failure::Timeout);
            (Turn::Nobody, limits::EXCHANGE_IDLE, silent)
        };
        let passed = self.received + self.sent;
        let enough = turn == Turn::Nobody || passed - self.credited >= limits::PROGRESS_BYTES;
        let begins = std::mem::replace(&mut self.turn, turn) != turn;
        let watched = self
            .watched
            .get_or_insert_with(|| downstream.stalls().add());
        if begins || (moved && enough) {
            watched.moved();
            self.credited = passed;
        }
        watched.poll(limit, cx).map(|()| end)
    }

    /// Counts what is held; ready when that is to end.
    fn poll_counted<D: Downstream, U: Upstream>(
        &mut self,
        cx: &Context<'_>,
        downstream: &mut D,
        upstream: &mut U,
    ) -> Poll<()> {
        let (request, kept) = (self.request.held(), self.request.kept());
        let response = self.response.held.len();
        let holds = request > 0 || response > 0 || kept >= limits::COUNTED_BYTES;
        if !holds && !self.account.is_entered() {
            return Poll::Pending;
        }
        let holds = Holds {
            request,
            response,
            beside: kept + downstream.buffered() + upstream.buffered(),
        };
        self.account
            .poll(cx, holds, || downstream.window(), || upstream.window())
    }

    fn step_request<D: Downstream, U: Upstream>(
        &mut self,
        cx: &mut Context<'_>,
        downstream: &mut D,
        upstream: &mut U,
    ) -> Result<Step, End> {
        if self.request.is_done() {
            return Ok(Step::Waits);
        }
        let held = self.request.held();
        if held > 0 {
            let room = match upstream.poll_room(held, cx) {
                Poll::Pending => return Ok(Step::Waits),
                Poll::Ready(Ok(room)) => room,
                Poll::Ready(Err(_)) => return Ok(self.stop_request()),
            };
            let piece = self.request.take(room);
            let length = piece.len();
            let end = self.request.held() == 0 && downstream.is_body_done();
            if upstream.send_data(piece, end).is_err() {
                return Ok(self.stop_request());
            }
            if end {
                self.request.end();
            }
            self.received += length as u64;
            downstream.consumed(self.request.passed(length));
            return Ok(Step::Moved);
        }
        match downstream.poll_body(cx) {
            Poll::Pending => Ok(Step::Waits),
            Poll::Ready(Some(Ok(Frame::Data(data)))) => {
                self.request.read(data);
                Ok(Step::Moved)
            }
            Poll::Ready(Some(Ok(Frame::Trailers(mut trailers)))) => {
                strip_ours(&mut trailers);
                self.request.end_with_trailers();
                // See `stop_request` for a failure here.
                upstream.send_trailers(trailers).ok();
                Ok(Step::Moved)
            }
            Poll::Ready(None) => {
                self.request.end();
                upstream.send_data(Bytes::new(), true).ok();
                Ok(Step::Moved)
            }
            Poll::Ready(Some(Err(gone))) => Err(End::Client(gone)),
        }
    }

    /// The upstream takes no more of the request. That is no failure yet: it may have answered, and
    /// its read side tells.
    fn stop_request(&mut self) -> Step {
        self.request.stop();
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
        let held = &mut self.response.held;
        if !held.is_empty() {
            let room = match downstream.poll_room(held.len(), cx) {
                Poll::Pending => return Ok(Step::Waits),
                Poll::Ready(room) => room.map_err(End::Client)?,
            };
            let piece = held.split_to(room.min(held.len()));
            let length = piece.len();
            if let Some(frames) = &mut self.frames {
                frames.pass(&piece);
            }
            let end = held.is_empty() && upstream.is_body_done();
            downstream.send_data(piece, end).map_err(End::Client)?;
            self.response.done = end;
            self.sent += length as u64;
            upstream.consumed(length);
            return Ok(Step::Moved);
        }
        match upstream.poll_body(cx) {
            Poll::Pending => Ok(Step::Waits),
            Poll::Ready(Some(Ok(Frame::Data(data)))) => {
                self.response.held = data;
                Ok(Step::Moved)
            }
            Poll::Ready(Some(Ok(Frame::Trailers(mut trailers)))) => {
                strip_from_answer(&mut trailers);
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
            Poll::Ready(Ok(Head::Interim(mut interim))) => {
                self.request.spend();
                strip_from_answer(&mut interim.fields);
                downstream.send_interim(interim).map_err(End::Client)?;
                Ok(Step::Moved)
            }
            Poll::Ready(Ok(Head::Final(mut response, body))) => {
                let verdict = observer.head(&mut response);
                if verdict == Verdict::Refused && self.request.can_rewind() {
                    return Err(End::Upstream(Failure::Refused));
                }
                self.request.spend();
                let status = response.status();
                downstream.send_head(response, body).map_err(End::Client)?;
                self.status = Some(status);
                self.until_head = None;
                self.response.done = body.is_none();
                Ok(Step::Moved)
            }
        }
    }
}

#[cfg(test)]
mod tests;
