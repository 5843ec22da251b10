//! The program of a fuzzed exchange: an [`Upstream`] that follows a script and minds its rules.

use std::task::{Context, Poll};

use bytes::Bytes;
use fprs_forward::upstream::Head;
use fprs_forward::{Body, Failure, Frame, Interim, Upstream};
use http::{HeaderMap, Response, StatusCode};

use super::{Script, content, trailers};

/// A program, and what it has seen.
pub(super) struct Program<'a> {
    script: Script<'a>,
    /// Bytes of the response handed out, and those it was given credit for.
    pub(super) sent: u64,
    pub(super) consumed: u64,
    head: bool,
    failed: bool,
    /// The response ended whole.
    pub(super) ended_whole: bool,
    /// Bytes of the request.
    pub(super) received: u64,
    room: usize,
    /// The request was ended.
    pub(super) ended_by_us: bool,
    refuses: bool,
}

impl<'a> Program<'a> {
    pub(super) fn new(script: Script<'a>) -> Self {
        Self {
            script,
            sent: 0,
            consumed: 0,
            head: false,
            failed: false,
            ended_whole: false,
            received: 0,
            room: 0,
            ended_by_us: false,
            refuses: false,
        }
    }

    fn fail<T>(&mut self) -> Result<T, Failure> {
        self.failed = true;
        Err(Failure::Reset)
    }
}

impl Upstream for Program<'_> {
    fn poll_room(&mut self, wanted: usize, cx: &mut Context<'_>) -> Poll<Result<usize, Failure>> {
        assert!(!self.ended_by_us && !self.refuses, "written out of turn");
        match self.script.next() {
            Some(0) => {
                self.refuses = true;
                Poll::Ready(Err(Failure::Reset))
            }
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

    fn send_data(&mut self, data: Bytes, end: bool) -> Result<(), Failure> {
        assert!(!self.ended_by_us && !self.refuses, "written out of turn");
        assert!(
            data.len() <= self.room || data.is_empty(),
            "more than there is room for"
        );
        self.room = 0;
        assert_eq!(data, content(self.received, data.len()));
        self.received += data.len() as u64;
        self.ended_by_us = end;
        Ok(())
    }

    fn send_trailers(&mut self, trailers: HeaderMap) -> Result<(), Failure> {
        assert!(!self.ended_by_us && !self.refuses, "written out of turn");
        assert!(!trailers.contains_key("x-fprs-lie"));
        self.ended_by_us = true;
        Ok(())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        match self.script.next() {
            Some(0) => Poll::Ready(Err(Failure::Reset)),
            Some(1..=31) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            _ => Poll::Ready(Ok(())),
        }
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, Failure>> {
        assert!(!self.head && !self.failed, "a head is asked for again");
        let body = match self.script.next() {
            Some(0) => return Poll::Ready(self.fail()),
            Some(1..=31) => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Some(32..=63) => {
                let interim = Interim {
                    status: StatusCode::EARLY_HINTS,
                    fields: trailers(),
                };
                return Poll::Ready(Ok(Head::Interim(interim)));
            }
            Some(64..=79) => Body::None,
            _ => Body::Stream,
        };
        self.head = true;
        self.ended_whole = body.is_none();
        Poll::Ready(Ok(Head::Final(Response::new(()), body)))
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Failure>>> {
        assert!(self.head && !self.failed, "read out of turn");
        match self.script.next() {
            None | Some(0) => {
                self.ended_whole = true;
                Poll::Ready(None)
            }
            Some(1) => {
                self.ended_whole = true;
                Poll::Ready(Some(Ok(Frame::Trailers(trailers()))))
            }
            Some(2) => Poll::Ready(Some(self.fail())),
            Some(3..=63) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(length) => {
                let data = content(self.sent, usize::from(length));
                self.sent += u64::from(length);
                // Sometimes the end is known with the last piece.
                self.ended_whole = length % 16 == 0;
                Poll::Ready(Some(Ok(Frame::Data(data))))
            }
        }
    }

    fn consumed(&mut self, bytes: usize) {
        self.consumed += bytes as u64;
        assert!(self.consumed <= self.sent, "credit for what was never sent");
    }

    fn is_body_done(&self) -> bool {
        self.ended_whole
    }
}
