//! A client's session with a tap: everything passes as if it weren't there, and what comes of the
//! request is put into pipes beside. Nothing is copied before the exchange with a replica begins, and
//! nothing twice, however many replicas the request is offered to. Copies leave with the answer.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use fprs_forward::budget::Window;
use fprs_forward::fields::strip_ours;
use fprs_forward::stall::Stalls;
use fprs_forward::{Body, Downstream, Frame, Gone, Interim};
use http::{HeaderMap, Response};

use super::{Capture, Capturing, Ending, Kept, Meeting, Pipe, Recorder, Seen};

/// A copy that has begun.
#[derive(Debug)]
pub struct Begun {
    /// Takes the request.
    pub pipe: Rc<Pipe>,
    /// Takes the answer, where it is compared.
    pub meeting: Option<Rc<Meeting>>,
    /// Takes the exchange, where it is captured.
    pub capture: Option<Capture>,
}

/// A client's session and the pipes beside it.
#[derive(Debug)]
pub struct Tap<'a, D, B> {
    inner: &'a mut D,
    /// Begins the copies, when the exchange begins.
    begin: Option<B>,
    pipes: Vec<Rc<Pipe>>,
    meetings: Vec<Rc<Meeting>>,
    captures: Vec<Capture>,
    /// The request's body, where it is captured.
    body: Option<Kept>,
    /// The answer, where it is compared or captured.
    recorder: Option<Recorder>,
}

impl<'a, D, B> Tap<'a, D, B>
where
    D: Downstream,
    B: FnOnce(&Rc<Stalls>) -> Vec<Begun>,
{
    /// A tap whose copies `begin` begins, which has a pipe for each.
    pub const fn new(inner: &'a mut D, begin: B) -> Self {
        Self {
            inner,
            begin: Some(begin),
            pipes: Vec::new(),
            meetings: Vec::new(),
            captures: Vec::new(),
            body: None,
            recorder: None,
        }
    }

    /// The exchange is over. A copy whose request is whole goes on, unless the client left: what
    /// happens to a server when its clients leave is to happen to its shadow.
    pub fn settle(mut self, left: bool) {
        let whole = self.pipes.iter().all(|pipe| pipe.is_ended());
        for pipe in self.pipes.drain(..) {
            if left {
                pipe.cut(Ending::ClientLeft);
            } else if !pipe.is_ended() {
                pipe.cut(Ending::Early);
            } else {
                // An answer of our own has not come by here.
                pipe.release();
            }
        }
        let seen = self.recorder.take().filter(|_| !left);
        let seen = seen.and_then(Recorder::seen).map(Arc::new);
        if let Some(seen) = &seen {
            for meeting in self.meetings.drain(..) {
                meeting.primary(seen);
            }
        }
        self.capture(seen.filter(|_| whole));
    }

    /// Has the exchange written down by those mirrors that do.
    fn capture(&mut self, seen: Option<Arc<Seen>>) {
        let Some(body) = self.body.take() else {
            return;
        };
        let body = body.into_pieces().map(Arc::new);
        for capture in self.captures.drain(..) {
            match (&seen, &body) {
                (None, _) => capture.give_up(Capturing::Incomplete),
                (Some(seen), Some(body)) if seen.body.is_some() => capture.write(body, seen),
                (Some(_), _) => capture.give_up(Capturing::TooLarge),
            }
        }
    }

    fn start(&mut self, begin: B) {
        for begun in begin(self.inner.stalls()) {
            self.pipes.push(begun.pipe);
            self.meetings.extend(begun.meeting);
            self.captures.extend(begun.capture);
        }
        let (captures, meeting) = (self.captures.first(), self.meetings.first());
        self.body = captures.map(Capture::body);
        self.recorder = captures
            .map(Capture::recorder)
            .or_else(|| meeting.map(|meeting| meeting.recorder()));
    }

    fn end(&self) {
        for pipe in &self.pipes {
            pipe.end();
        }
    }

    fn saw(&mut self, polled: &Poll<Option<Result<Frame, Gone>>>) {
        match polled {
            Poll::Pending => {}
            Poll::Ready(Some(Ok(Frame::Data(data)))) => {
                for pipe in &self.pipes {
                    pipe.data(data);
                }
                if let Some(body) = &mut self.body {
                    body.piece(data);
                }
                if self.inner.is_body_done() {
                    self.end();
                }
            }
            Poll::Ready(Some(Ok(Frame::Trailers(trailers)))) => {
                let mut trailers = trailers.clone();
                strip_ours(&mut trailers);
                for pipe in &self.pipes {
                    pipe.trailers(&trailers);
                }
            }
            Poll::Ready(None) => self.end(),
            Poll::Ready(Some(Err(_))) => {
                for pipe in &self.pipes {
                    pipe.cut(Ending::ClientLeft);
                }
            }
        }
    }
}

/// Dropped before its exchange was over: nobody is left who asked for it.
impl<D, B> Drop for Tap<'_, D, B> {
    fn drop(&mut self) {
        for pipe in &self.pipes {
            pipe.cut(Ending::ClientLeft);
        }
    }
}

impl<D, B> Downstream for Tap<'_, D, B>
where
    D: Downstream,
    B: FnOnce(&Rc<Stalls>) -> Vec<Begun>,
{
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Gone>>> {
        // The engine's first step, once there is a replica.
        if let Some(begin) = self.begin.take() {
            self.start(begin);
        }
        let polled = self.inner.poll_body(cx);
        self.saw(&polled);
        polled
    }

    fn consumed(&mut self, bytes: usize) {
        self.inner.consumed(bytes);
    }

    fn is_body_done(&self) -> bool {
        let done = self.inner.is_body_done();
        if done {
            // The engine reads no further, and may have learned it only now.
            self.end();
        }
        done
    }

    fn send_interim(&mut self, interim: Interim) -> Result<(), Gone> {
        self.inner.send_interim(interim)
    }

    fn send_head(&mut self, response: Response<()>, body: Body) -> Result<(), Gone> {
        if let Some(recorder) = &mut self.recorder {
            recorder.head(&response, body.is_none());
        }
        let sent = self.inner.send_head(response, body);
        // After it: who is woken first writes first.
        for pipe in &self.pipes {
            pipe.release();
        }
        sent
    }

    fn poll_room(&mut self, wanted: usize, cx: &mut Context<'_>) -> Poll<Result<usize, Gone>> {
        self.inner.poll_room(wanted, cx)
    }

    fn send_data(&mut self, data: Bytes, end: bool) -> Result<(), Gone> {
        if let Some(recorder) = &mut self.recorder {
            recorder.piece(&data, end);
        }
        self.inner.send_data(data, end)
    }

    fn send_trailers(&mut self, trailers: HeaderMap) -> Result<(), Gone> {
        if let Some(recorder) = &mut self.recorder {
            recorder.end();
        }
        self.inner.send_trailers(trailers)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        self.inner.poll_flush(cx)
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Gone> {
        self.inner.poll_gone(cx)
    }

    fn window(&mut self) -> Option<Window> {
        self.inner.window()
    }

    fn buffered(&self) -> usize {
        self.inner.buffered()
    }

    fn stalls(&self) -> &Rc<Stalls> {
        self.inner.stalls()
    }

    fn poll_ending(&mut self, cx: &Context<'_>) -> bool {
        self.inner.poll_ending(cx)
    }

    fn refuse(&mut self) -> bool {
        self.inner.refuse()
    }

    fn abort(&mut self) {
        self.inner.abort();
    }
}
