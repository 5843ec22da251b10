//! A copy's client: sends what comes out of a pipe, and takes the shadow's answer as fast as it comes,
//! to nobody.

use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use fprs_forward::stall::Stalls;
use fprs_forward::{Body, Downstream, Frame, Gone, Interim, fields};
use http::{HeaderMap, Response};

use super::{Pipe, Recorder, Seen};

/// The client of one copy.
#[derive(Debug)]
pub struct Shadow {
    pipe: Rc<Pipe>,
    stalls: Rc<Stalls>,
    /// The answer is a relay's, not a program's.
    refused: bool,
    recorder: Option<Recorder>,
}

impl Shadow {
    /// Sends what comes out of the pipe; the answer is recorded there, if at all.
    pub const fn new(pipe: Rc<Pipe>, stalls: Rc<Stalls>, recorder: Option<Recorder>) -> Self {
        Self {
            pipe,
            stalls,
            refused: false,
            recorder,
        }
    }

    /// The answer, if it was recorded and came whole.
    pub fn seen(&mut self) -> Option<Seen> {
        self.recorder.take()?.seen()
    }

    /// The answer is a relay's: no program got the copy, or none answered.
    pub const fn was_refused(&self) -> bool {
        self.refused
    }
}

impl Drop for Shadow {
    fn drop(&mut self) {
        self.pipe.close();
    }
}

impl Downstream for Shadow {
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Gone>>> {
        self.pipe.poll_next(cx)
    }

    // What went on is counted by the bytes themselves.
    fn consumed(&mut self, _: usize) {}

    fn is_body_done(&self) -> bool {
        self.pipe.is_done()
    }

    fn send_interim(&mut self, _: Interim) -> Result<(), Gone> {
        Ok(())
    }

    fn send_head(&mut self, response: Response<()>, body: Body) -> Result<(), Gone> {
        if let Some(recorder) = &mut self.recorder {
            recorder.head(&response, body.is_none());
        }
        self.refused = response.headers().contains_key(fields::REASON);
        Ok(())
    }

    fn poll_room(&mut self, wanted: usize, _: &mut Context<'_>) -> Poll<Result<usize, Gone>> {
        Poll::Ready(Ok(wanted))
    }

    fn send_data(&mut self, data: Bytes, end: bool) -> Result<(), Gone> {
        if let Some(recorder) = &mut self.recorder {
            recorder.piece(&data, end);
        }
        Ok(())
    }

    fn send_trailers(&mut self, _: HeaderMap) -> Result<(), Gone> {
        if let Some(recorder) = &mut self.recorder {
            recorder.end();
        }
        Ok(())
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        Poll::Ready(Ok(()))
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Gone> {
        self.pipe.poll_cut(cx).map(|()| Gone::Left)
    }

    fn stalls(&self) -> &Rc<Stalls> {
        &self.stalls
    }

    fn poll_ending(&mut self, _: &Context<'_>) -> bool {
        false
    }

    fn abort(&mut self) {}
}
