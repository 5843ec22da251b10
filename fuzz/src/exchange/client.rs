//! The client of a fuzzed exchange: a [`Downstream`] that follows a script and minds its rules.

use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use fprs_forward::stall::Stalls;
use fprs_forward::websocket::GOING_AWAY;
use fprs_forward::{Body, Downstream, Frame, Gone, Interim};
use http::{HeaderMap, Response};

use super::{Script, content, trailers};

/// A client, and what it has seen.
pub(super) struct Client<'a> {
    script: Script<'a>,
    stalls: Rc<Stalls>,
    /// Bytes of its body handed out, and those it was given credit for.
    pub(super) sent: u64,
    pub(super) consumed: u64,
    /// Its body ended whole.
    pub(super) body_ended: bool,
    body_failed: bool,
    /// Bytes of the response.
    pub(super) received: u64,
    room: usize,
    pub(super) head: bool,
    pub(super) ended: bool,
    pub(super) aborted: bool,
    pub(super) grpc_status: bool,
    ending: bool,
    /// A tunnel was closed as going away.
    pub(super) closed_by_us: bool,
}

impl<'a> Client<'a> {
    pub(super) fn new(script: Script<'a>) -> Self {
        Self {
            script,
            stalls: Rc::default(),
            sent: 0,
            consumed: 0,
            body_ended: false,
            body_failed: false,
            received: 0,
            room: 0,
            head: false,
            ended: false,
            aborted: false,
            grpc_status: false,
            ending: false,
            closed_by_us: false,
        }
    }

    fn may_write(&self) {
        assert!(
            self.head && !self.ended && !self.aborted,
            "written out of turn"
        );
    }
}

impl Downstream for Client<'_> {
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Gone>>> {
        assert!(!self.body_failed, "read after a failure");
        assert!(
            !self.body_ended || self.is_body_done(),
            "read after the end"
        );
        match self.script.next() {
            None | Some(0) => {
                self.body_ended = true;
                Poll::Ready(None)
            }
            Some(1) => {
                self.body_ended = true;
                Poll::Ready(Some(Ok(Frame::Trailers(trailers()))))
            }
            Some(2) => {
                self.body_failed = true;
                Poll::Ready(Some(Err(Gone::Broken)))
            }
            Some(3..=63) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(length) => {
                let data = content(self.sent, usize::from(length));
                self.sent += u64::from(length);
                // Sometimes the end is known with the last piece.
                self.body_ended = length % 16 == 0;
                Poll::Ready(Some(Ok(Frame::Data(data))))
            }
        }
    }

    fn consumed(&mut self, bytes: usize) {
        self.consumed += bytes as u64;
        assert!(self.consumed <= self.sent, "credit for what was never sent");
    }

    fn is_body_done(&self) -> bool {
        self.body_ended
    }

    fn send_interim(&mut self, interim: Interim) -> Result<(), Gone> {
        assert!(!self.head && interim.status.is_informational());
        assert!(!interim.fields.contains_key("x-fprs-lie"));
        Ok(())
    }

    fn send_head(&mut self, _: Response<()>, body: Body) -> Result<(), Gone> {
        assert!(!self.head, "a second head");
        self.head = true;
        self.ended = body.is_none();
        Ok(())
    }

    fn poll_room(&mut self, wanted: usize, cx: &mut Context<'_>) -> Poll<Result<usize, Gone>> {
        self.may_write();
        assert!(wanted > 0);
        match self.script.next() {
            Some(0) => Poll::Ready(Err(Gone::Left)),
            Some(1..=31) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(most @ 32..=127) => {
                self.room = wanted.min(usize::from(most - 31));
                Poll::Ready(Ok(self.room))
            }
            _ => {
                self.room = wanted;
                Poll::Ready(Ok(wanted))
            }
        }
    }

    fn send_data(&mut self, data: Bytes, end: bool) -> Result<(), Gone> {
        self.may_write();
        self.ended = end;
        if self.ending && data == GOING_AWAY {
            assert!(end);
            self.closed_by_us = true;
            return Ok(());
        }
        assert!(data.len() <= self.room, "more than there is room for");
        self.room = 0;
        assert_eq!(data, content(self.received, data.len()));
        self.received += data.len() as u64;
        Ok(())
    }

    fn send_trailers(&mut self, trailers: HeaderMap) -> Result<(), Gone> {
        self.may_write();
        assert!(!trailers.contains_key("x-fprs-lie"));
        self.grpc_status = trailers.contains_key("grpc-status");
        self.ended = true;
        Ok(())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        match self.script.next() {
            Some(0) => Poll::Ready(Err(Gone::Left)),
            Some(1..=31) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            _ => Poll::Ready(Ok(())),
        }
    }

    fn poll_gone(&mut self, _: &mut Context<'_>) -> Poll<Gone> {
        match self.script.next() {
            Some(0) => Poll::Ready(Gone::Left),
            _ => Poll::Pending,
        }
    }

    fn stalls(&self) -> &Rc<Stalls> {
        &self.stalls
    }

    fn poll_ending(&mut self, _: &Context<'_>) -> bool {
        self.ending |= self.script.next().is_some_and(|byte| byte < 16);
        self.ending
    }

    fn abort(&mut self) {
        self.aborted = true;
    }
}
