//! The engine between a client and a program that are scripted.

#![allow(
    clippy::unwrap_used,
    reason = "a broken expectation is a failed test with its place"
)]

use std::rc::Rc;

use http::HeaderMap;

use super::*;
use crate::budget::{Budget, Ledger, Owner};
use crate::message::{Body, Interim};
use crate::stall::Stalls;

/// A client without a body to send, and whose socket takes nothing for so many flushes.
#[derive(Default)]
struct Client {
    full_for: usize,
    ends: usize,
    aborted: bool,
    stalls: Rc<Stalls>,
}

impl Downstream for Client {
    fn poll_body(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame, Gone>>> {
        Poll::Ready(None)
    }

    fn consumed(&mut self, _: usize) {}

    fn is_body_done(&self) -> bool {
        true
    }

    fn send_interim(&mut self, _: Interim) -> Result<(), Gone> {
        Ok(())
    }

    fn send_head(&mut self, _: Response<()>, _: Body) -> Result<(), Gone> {
        Ok(())
    }

    fn poll_room(&mut self, wanted: usize, _: &mut Context<'_>) -> Poll<Result<usize, Gone>> {
        Poll::Ready(Ok(wanted))
    }

    fn send_data(&mut self, _: Bytes, end: bool) -> Result<(), Gone> {
        self.ends += usize::from(end);
        Ok(())
    }

    fn send_trailers(&mut self, _: HeaderMap) -> Result<(), Gone> {
        self.ends += 1;
        Ok(())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        if self.full_for == 0 {
            return Poll::Ready(Ok(()));
        }
        if self.full_for < usize::MAX {
            self.full_for -= 1;
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn poll_gone(&mut self, _: &mut Context<'_>) -> Poll<Gone> {
        Poll::Pending
    }

    fn stalls(&self) -> &Rc<Stalls> {
        &self.stalls
    }

    fn poll_ending(&mut self, _: &Context<'_>) -> bool {
        false
    }

    fn abort(&mut self) {
        self.aborted = true;
    }
}

/// A program that answers with one piece, and then with its end as often as it is asked.
struct Program {
    piece: Option<Bytes>,
}

impl Upstream for Program {
    fn poll_room(&mut self, wanted: usize, _: &mut Context<'_>) -> Poll<Result<usize, Failure>> {
        Poll::Ready(Ok(wanted))
    }

    fn send_data(&mut self, _: Bytes, _: bool) -> Result<(), Failure> {
        Ok(())
    }

    fn send_trailers(&mut self, _: HeaderMap) -> Result<(), Failure> {
        Ok(())
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn poll_head(&mut self, _: &mut Context<'_>) -> Poll<Result<Head, Failure>> {
        Poll::Ready(Ok(Head::Final(Response::new(()), Body::Stream)))
    }

    fn poll_body(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame, Failure>>> {
        Poll::Ready(self.piece.take().map(|piece| Ok(Frame::Data(piece))))
    }

    fn consumed(&mut self, _: usize) {}

    fn is_body_done(&self) -> bool {
        false
    }
}

struct Nobody;

impl Observer for Nobody {
    fn head(&mut self, _: &mut Response<()>) -> Verdict {
        Verdict::Pass
    }
}

async fn carry(client: &mut Client) -> Outcome {
    let mut program = Program {
        piece: Some(Bytes::from_static(b"hello")),
    };
    let ledger = Ledger::new(&Budget::new(usize::MAX));
    let owner = Owner::server(&"s".into());
    run(
        client,
        &mut program,
        &mut Nobody,
        Rules::default(),
        &mut Sending::once(),
        &mut ledger.account(&owner),
    )
    .await
}

#[tokio::test]
async fn a_response_ends_once_however_long_its_end_waits_to_be_written() {
    for full_for in [0, 1, 2, 10] {
        let mut client = Client {
            full_for,
            ..Client::default()
        };
        let outcome = carry(&mut client).await;
        assert_eq!((outcome.end, outcome.sent), (End::Complete, 5));
        assert_eq!(client.ends, 1, "full for {full_for} flushes");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_takes_the_end_of_its_response_is_cut() {
    let mut client = Client {
        full_for: usize::MAX,
        ..Client::default()
    };
    let stalls = Rc::clone(&client.stalls);
    let outcome = tokio::select! {
        outcome = carry(&mut client) => outcome,
        () = stalls.watch() => unreachable!("it never ends"),
        () = tokio::time::sleep(2 * limits::READER_PROGRESS) => panic!("not cut"),
    };
    assert_eq!(outcome.end, End::Client(Gone::Stalled));
    assert!(client.aborted);
}
