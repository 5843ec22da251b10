//! What lies between a request and one copy of it, both on one core: the pieces that have passed and
//! that the shadow has not taken. Whoever puts pieces in never waits; what there is no room for cuts the
//! copy, which can then not be taken for whole. It says too when the copy may leave: not before its
//! request, which would wait for what waking a shadow costs.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use fprs_forward::{Frame, Gone};
use http::HeaderMap;

use super::{Account, Ending, Held, Over, purse};

/// Pieces of one request on their way to a shadow.
#[derive(Debug)]
pub struct Pipe {
    account: Arc<Account>,
    state: RefCell<State>,
}

#[derive(Debug, Default)]
struct State {
    pieces: VecDeque<Piece>,
    /// The request's end has been put in.
    ended: bool,
    cut: Option<Ending>,
    /// Nobody takes pieces out any more.
    closed: bool,
    /// The copy may leave.
    released: bool,
    /// Content that was put in, in bytes.
    kept: usize,
    waker: Option<Waker>,
}

/// Content of a request that waits for its answer; with more, the copy leaves at once, lest a large
/// upload is cut for want of room.
const KEPT_BYTES: usize = 64 * 1024;

#[derive(Debug)]
enum Piece {
    Data(Bytes),
    Trailers(
        HeaderMap,
        #[expect(dead_code, reason = "held for its drop")] Held,
    ),
}

impl Pipe {
    /// An empty one, whose pieces are counted there.
    pub fn new(account: Arc<Account>) -> Rc<Self> {
        Rc::new(Self {
            account,
            state: RefCell::default(),
        })
    }

    /// Puts content in.
    pub fn data(&self, data: &Bytes) {
        if !data.is_empty() {
            self.put(|account| account.copy(data).map(Piece::Data));
            self.keep(data.len());
        }
    }

    /// Puts trailers in, which end the request.
    pub fn trailers(&self, trailers: &HeaderMap) {
        self.put(|account| {
            let held = account.take(size(trailers) + purse::PIECE_BYTES)?;
            Ok(Piece::Trailers(trailers.clone(), held))
        });
        self.end();
    }

    /// The request is whole.
    pub fn end(&self) {
        let mut state = self.state.borrow_mut();
        if !state.ended {
            state.ended = true;
            state.wake();
        }
    }

    /// The request's end has been put in.
    pub fn is_ended(&self) -> bool {
        self.state.borrow().ended
    }

    /// The copy comes to nothing; what it holds here is let go of at once. The first reason stays.
    pub fn cut(&self, why: Ending) {
        let mut state = self.state.borrow_mut();
        if state.cut.is_none() && !state.closed {
            state.cut = Some(why);
            state.pieces = VecDeque::new();
            state.wake();
        }
    }

    /// The copy may leave: its request has gone before it, and come back.
    pub fn release(&self) {
        self.state.borrow_mut().release();
    }

    /// Ready once the copy may leave, or was cut.
    pub fn poll_released(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.state.borrow_mut();
        match state.released || state.cut.is_some() {
            true => Poll::Ready(()),
            false => state.wait(cx),
        }
    }

    /// Why the copy was cut, if it was.
    pub fn why(&self) -> Option<Ending> {
        self.state.borrow().cut
    }

    /// Nobody takes pieces out from now on.
    pub fn close(&self) {
        let mut state = self.state.borrow_mut();
        state.closed = true;
        state.pieces = VecDeque::new();
    }

    /// Takes the next piece out; `None`: the request's end.
    pub fn poll_next(&self, cx: &Context<'_>) -> Poll<Option<Result<Frame, Gone>>> {
        let mut state = self.state.borrow_mut();
        if state.cut.is_some() {
            return Poll::Ready(Some(Err(Gone::Left)));
        }
        match state.pieces.pop_front() {
            Some(Piece::Data(data)) => Poll::Ready(Some(Ok(Frame::Data(data)))),
            Some(Piece::Trailers(trailers, _)) => Poll::Ready(Some(Ok(Frame::Trailers(trailers)))),
            None if state.ended => Poll::Ready(None),
            None => state.wait(cx),
        }
    }

    /// Ready once the copy was cut.
    pub fn poll_cut(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.state.borrow_mut();
        match state.cut {
            Some(_) => Poll::Ready(()),
            None => state.wait(cx),
        }
    }

    /// The whole request has been taken out.
    pub fn is_done(&self) -> bool {
        let state = self.state.borrow();
        state.ended && state.pieces.is_empty() && state.cut.is_none()
    }

    fn keep(&self, bytes: usize) {
        let mut state = self.state.borrow_mut();
        state.kept += bytes;
        if state.kept > KEPT_BYTES {
            state.release();
        }
    }

    fn put(&self, piece: impl FnOnce(&Arc<Account>) -> Result<Piece, Over>) {
        let mut state = self.state.borrow_mut();
        if state.closed || state.cut.is_some() {
            return;
        }
        match piece(&self.account) {
            Ok(piece) => {
                state.pieces.push_back(piece);
                state.wake();
            }
            Err(over) => {
                drop(state);
                self.cut(over.into());
            }
        }
    }
}

impl State {
    fn release(&mut self) {
        if !self.released {
            self.released = true;
            self.wake();
        }
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn wait<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        if !self
            .waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            self.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

/// Bytes of names and values.
pub(super) fn size(fields: &HeaderMap) -> usize {
    let sizes = fields.iter();
    sizes
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::mirror::Purse;

    struct Scene {
        pipe: Rc<Pipe>,
        process: Arc<Purse>,
    }

    fn scene(limit: usize) -> Scene {
        let process = Purse::new(usize::MAX);
        let account = Account::new(limit, &Purse::new(usize::MAX), &process);
        let pipe = Pipe::new(account);
        Scene { pipe, process }
    }

    /// What can be taken out now, as text; the end is `.`, a cut `!`.
    fn take(pipe: &Pipe) -> String {
        let cx = Context::from_waker(Waker::noop());
        let mut taken = String::new();
        loop {
            match pipe.poll_next(&cx) {
                Poll::Pending => return taken,
                Poll::Ready(None) => return taken + ".",
                Poll::Ready(Some(Err(_))) => return taken + "!",
                Poll::Ready(Some(Ok(Frame::Data(data)))) => {
                    taken += std::str::from_utf8(&data).unwrap();
                }
                Poll::Ready(Some(Ok(Frame::Trailers(_)))) => taken += "T",
            }
        }
    }

    #[test]
    fn pieces_come_out_as_they_went_in_and_then_the_end() {
        let Scene { pipe, process } = scene(1_000);
        pipe.data(&Bytes::from_static(b"one "));
        pipe.data(&Bytes::new());
        pipe.data(&Bytes::from_static(b"two"));
        assert_eq!(process.held(), 7 + 2 * purse::PIECE_BYTES);
        assert_eq!(take(&pipe), "one two");
        assert!(!pipe.is_done());
        let mut trailers = HeaderMap::new();
        trailers.insert("a", http::HeaderValue::from_static("b"));
        pipe.trailers(&trailers);
        assert!(!pipe.is_done() && pipe.is_ended());
        assert_eq!(take(&pipe), "T.");
        assert!(pipe.is_done());
        assert_eq!(process.held(), 0);
    }

    #[test]
    fn what_there_is_no_room_for_cuts_the_copy_and_lets_go_of_it() {
        let Scene { pipe, process } = scene(400);
        pipe.data(&Bytes::from_static(&[b'a'; 100]));
        assert_eq!(pipe.why(), None);
        pipe.data(&Bytes::from_static(&[b'a'; 100]));
        assert_eq!(pipe.why(), Some(Ending::OverExchange));
        assert_eq!(process.held(), 0);
        pipe.end();
        assert_eq!(take(&pipe), "!", "never a falsely whole one");
        assert!(!pipe.is_done());
        pipe.cut(Ending::ClientLeft);
        assert_eq!(
            pipe.why(),
            Some(Ending::OverExchange),
            "the first reason stays"
        );
    }

    #[test]
    fn a_copy_leaves_when_told_when_cut_and_when_much_waits_for_it() {
        let left = |pipe: &Pipe| {
            let cx = Context::from_waker(Waker::noop());
            pipe.poll_released(&cx).is_ready()
        };
        let told = scene(1_000).pipe;
        told.data(&Bytes::from_static(b"one"));
        told.end();
        assert!(!left(&told));
        told.release();
        assert!(left(&told));
        assert_eq!(take(&told), "one.");
        let cut = scene(1_000).pipe;
        cut.cut(Ending::ClientLeft);
        assert!(left(&cut));
        let large = scene(usize::MAX).pipe;
        large.data(&Bytes::from_static(&[b'a'; KEPT_BYTES]));
        assert!(!left(&large));
        large.data(&Bytes::from_static(b"a"));
        assert!(left(&large));
    }

    #[test]
    fn a_pipe_that_nobody_reads_any_more_keeps_nothing() {
        let Scene { pipe, process } = scene(1_000);
        pipe.data(&Bytes::from_static(b"one"));
        pipe.close();
        pipe.data(&Bytes::from_static(b"two"));
        assert_eq!(process.held(), 0);
        pipe.cut(Ending::ClientLeft);
        assert_eq!(pipe.why(), None, "it ended before that");
    }
}
