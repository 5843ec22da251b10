//! The exchange engine and the answers of its own, between sessions that are always ready: what is
//! left is what the engine itself does for a tiny answer, a stream of events, an upload, an error.

#![allow(
    missing_docs,
    clippy::expect_used,
    reason = "a failure ends the benchmark"
)]

use std::{
    hint::black_box,
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fprs_forward::{
    Answer, Body, Budget, Downstream, End, Frame, Gone, Interim, Ledger, Observer, Owner, Reason,
    Rules, Sending, Upstream, Verdict, exchange,
    stall::Stalls,
    upstream::{Failure, Head},
};
use http::{HeaderMap, HeaderValue, Response, header};

/// The binary's own allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TINY: usize = 13;
const EVENTS: usize = 100;
const EVENT: usize = 200;
const UPLOAD: usize = 64;
const PIECE: usize = 16 * 1024;

/// So many pieces of one size, all there at once.
struct Pieces {
    left: usize,
    piece: Bytes,
}

impl Pieces {
    fn new(count: usize, size: usize) -> Self {
        Self {
            left: count,
            piece: Bytes::from(vec![b'.'; size]),
        }
    }

    fn take(&mut self) -> Option<Frame> {
        self.left = self.left.checked_sub(1)?;
        Some(Frame::Data(self.piece.clone()))
    }
}

struct Client {
    upload: Pieces,
    received: usize,
    stalls: Rc<Stalls>,
}

impl Downstream for Client {
    fn poll_body(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame, Gone>>> {
        Poll::Ready(self.upload.take().map(Ok))
    }

    fn consumed(&mut self, _: usize) {}

    fn is_body_done(&self) -> bool {
        self.upload.left == 0
    }

    fn send_interim(&mut self, _: Interim) -> Result<(), Gone> {
        Ok(())
    }

    fn send_head(&mut self, response: Response<()>, _: Body) -> Result<(), Gone> {
        black_box(response);
        Ok(())
    }

    fn poll_room(&mut self, wanted: usize, _: &mut Context<'_>) -> Poll<Result<usize, Gone>> {
        Poll::Ready(Ok(wanted))
    }

    fn send_data(&mut self, data: Bytes, _: bool) -> Result<(), Gone> {
        self.received += data.len();
        Ok(())
    }

    fn send_trailers(&mut self, _: HeaderMap) -> Result<(), Gone> {
        Ok(())
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        Poll::Ready(Ok(()))
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

    fn abort(&mut self) {}
}

struct Program {
    head: Option<Response<()>>,
    answer: Pieces,
}

impl Upstream for Program {
    fn poll_room(&mut self, wanted: usize, _: &mut Context<'_>) -> Poll<Result<usize, Failure>> {
        Poll::Ready(Ok(wanted))
    }

    fn send_data(&mut self, data: Bytes, _: bool) -> Result<(), Failure> {
        black_box(data);
        Ok(())
    }

    fn send_trailers(&mut self, _: HeaderMap) -> Result<(), Failure> {
        Ok(())
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn poll_head(&mut self, _: &mut Context<'_>) -> Poll<Result<Head, Failure>> {
        match self.head.take() {
            Some(head) => Poll::Ready(Ok(Head::Final(head, Body::Stream))),
            None => Poll::Pending,
        }
    }

    fn poll_body(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame, Failure>>> {
        Poll::Ready(self.answer.take().map(Ok))
    }

    fn consumed(&mut self, _: usize) {}

    fn is_body_done(&self) -> bool {
        self.answer.left == 0
    }
}

struct Silent;

impl Observer for Silent {
    fn head(&mut self, response: &mut Response<()>) -> Verdict {
        black_box(response);
        Verdict::Pass
    }
}

fn client(upload: Pieces, stalls: &Rc<Stalls>) -> Client {
    Client {
        upload,
        received: 0,
        stalls: Rc::clone(stalls),
    }
}

/// What exchanges of one core share.
struct Core {
    stalls: Rc<Stalls>,
    ledger: Rc<Ledger>,
    owner: Owner,
}

/// One whole exchange; how many bytes came back.
fn exchange(upload: Pieces, answer: Pieces, core: &Core) -> usize {
    let mut downstream = client(upload, &core.stalls);
    let mut upstream = Program {
        head: Some(Response::new(())),
        answer,
    };
    let outcome = {
        let mut observer = Silent;
        let mut sending = Sending::once();
        let mut account = core.ledger.account(&core.owner);
        let run = exchange::run(
            &mut downstream,
            &mut upstream,
            &mut observer,
            Rules::default(),
            &mut sending,
            &mut account,
        );
        let (mut run, mut cx) = (pin!(run), Context::from_waker(Waker::noop()));
        // A long exchange lets its neighbours go first now and then; here are none.
        loop {
            if let Poll::Ready(outcome) = run.as_mut().poll(&mut cx) {
                break outcome;
            }
        }
    };
    assert_eq!(outcome.end, End::Complete);
    downstream.received
}

fn exchanges(criterion: &mut Criterion) {
    let core = Core {
        stalls: Rc::new(Stalls::default()),
        ledger: Ledger::new(&Budget::new(usize::MAX)),
        owner: Owner::server(&"s".into()),
    };
    let nothing = || Pieces::new(0, 0);
    let mut group = criterion.benchmark_group("exchange");
    group.bench_function("tiny", |bench| {
        bench.iter(|| exchange(nothing(), Pieces::new(1, TINY), &core));
    });
    group.throughput(Throughput::Elements(EVENTS as u64));
    group.bench_function("events", |bench| {
        bench.iter(|| exchange(nothing(), Pieces::new(EVENTS, EVENT), &core));
    });
    group.throughput(Throughput::Elements(UPLOAD as u64));
    group.bench_function("upload", |bench| {
        bench.iter(|| exchange(Pieces::new(UPLOAD, PIECE), Pieces::new(1, TINY), &core));
    });
    group.finish();
}

fn answers(criterion: &mut Criterion) {
    let stalls = Rc::new(Stalls::default());
    let plain = HeaderMap::new();
    let mut call = HeaderMap::new();
    let grpc = HeaderValue::from_static("application/grpc");
    call.insert(header::CONTENT_TYPE, grpc);
    let mut group = criterion.benchmark_group("error-answer");
    for (name, request) in [("problem", &plain), ("grpc", &call)] {
        group.bench_function(name, |bench| {
            bench.iter(|| {
                let mut downstream = client(Pieces::new(0, 0), &stalls);
                let answer = Answer::new(Reason::NoReplica).retry_after(2);
                answer.send(black_box(request), &mut downstream);
                downstream.received
            });
        });
    }
    group.finish();
}

criterion_group!(benches, exchanges, answers);
criterion_main!(benches);
