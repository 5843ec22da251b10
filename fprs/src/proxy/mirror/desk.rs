//! Where a server's answer and its shadow's meet, and the one thread of a process that compares them and
//! writes captures. Cores never do either: looking into a megabyte of JSON, or a disk, takes longer than any
//! request may wait. What
//! the thread has no time for is counted and let go.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Request;
use tokio::sync::oneshot;

use super::capture::{self, Captured};
use super::compare::compare;
use super::files::Files;
use super::{Asked, Capturing, Held, Kept, Mirroring, Recorder, Seen};

/// Pairs that wait for the thread: what they hold is counted with the copies, so this bounds only how
/// old they get.
const WAITING: usize = 1_024;

/// A place to leave pairs at.
#[derive(Clone, Debug)]
pub(super) struct Desk(SyncSender<Work>);

#[derive(Debug)]
enum Work {
    Compare(Pair),
    Write(Exchange),
    /// Close the files, and tell.
    Close(oneshot::Sender<()>),
}

/// A request and the answer to it.
#[derive(Debug)]
struct Exchange {
    capture: Capture,
    body: Arc<Vec<Bytes>>,
    answer: Arc<Seen>,
}

/// Two answers to one request.
#[derive(Debug)]
struct Pair {
    mirror: Arc<Mirroring>,
    asked: Asked,
    primary: Arc<Seen>,
    shadow: Seen,
}

impl Desk {
    /// Starts the thread; it ends with the last place.
    pub(super) fn open(files: Option<Files>) -> Option<Self> {
        let (places, waiting) = sync_channel(WAITING);
        let thread = std::thread::Builder::new().name("mirror".to_owned());
        match thread.spawn(move || work(&waiting, files)) {
            Ok(_) => Some(Self(places)),
            Err(error) => {
                tracing::error!(%error, "no thread to compare mirrored answers: none is compared");
                None
            }
        }
    }
}

/// How often captures are made readable: what a process that is killed may lose.
const TIDY: Duration = Duration::from_secs(1);

/// Longest wait for a disk at the process's end.
const CLOSING: Duration = Duration::from_secs(2);

fn work(waiting: &Receiver<Work>, mut files: Option<Files>) {
    let mut tidied = std::time::Instant::now();
    loop {
        match waiting.recv_timeout(TIDY) {
            Ok(Work::Compare(pair)) => pair.compare(),
            Ok(Work::Write(exchange)) => exchange.write(files.as_mut()),
            Ok(Work::Close(closed)) => {
                if let Some(files) = &mut files {
                    files.close_all();
                }
                // Nobody may wait any more.
                closed.send(()).ok();
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if tidied.elapsed() >= TIDY {
            tidied = std::time::Instant::now();
            if let Some(files) = &mut files {
                files.tidy();
            }
        }
    }
}

impl Desk {
    /// Closes the files of captures so far; returns once it is done, or can't be.
    pub(super) async fn close(&self) {
        let (closed, closing) = oneshot::channel();
        if self.0.try_send(Work::Close(closed)).is_ok() {
            tokio::time::timeout(CLOSING, closing).await.ok();
        }
    }
}

impl Pair {
    fn compare(self) {
        if let Some(rules) = &self.mirror.record.compare {
            let found = compare(rules, &self.primary, &self.shadow);
            let findings = &self.mirror.tally.findings;
            findings.add(&self.asked, &self.primary, &self.shadow, &found);
        }
    }
}

impl Exchange {
    fn write(self, files: Option<&mut Files>) {
        let Self {
            capture:
                Capture {
                    mirror,
                    request,
                    at,
                    ..
                },
            body,
            answer,
        } = self;
        let (Some(rules), Some(files)) = (&mirror.record.capture, files) else {
            return;
        };
        let body = body.concat();
        let captured = Captured { request, at, body };
        let line = capture::line(&mirror.record.name, rules, &captured, &answer);
        mirror
            .tally
            .captured(match files.write(&mirror.record.name, &line) {
                Ok(()) => Capturing::Written,
                Err(error) => {
                    tracing::debug!(mirror = mirror.record.name, %error, "can't write a capture");
                    Capturing::Failed
                }
            });
    }
}

/// An exchange that one mirror is to write down.
#[derive(Debug)]
pub struct Capture {
    mirror: Arc<Mirroring>,
    request: Request<()>,
    at: SystemTime,
    _held: Held,
}

impl Capture {
    /// Of a request with that head, which is counted there; `None`: the mirror captures nothing here.
    pub fn new(mirror: &Arc<Mirroring>, request: &Request<()>, bytes: usize) -> Option<Self> {
        if !mirror.captures {
            return None;
        }
        let Ok(held) = mirror.account().take(bytes) else {
            mirror.tally.captured(Capturing::TooLarge);
            return None;
        };
        Some(Self {
            mirror: Arc::clone(mirror),
            request: request.clone(),
            at: SystemTime::now(),
            _held: held,
        })
    }

    /// What the request's body is kept with.
    pub fn body(&self) -> Kept {
        Kept::new(self.mirror.account())
    }

    /// What the answer is recorded with.
    pub fn recorder(&self) -> Recorder {
        Recorder::new(self.mirror.account(), true)
    }

    /// Has it written.
    pub fn write(self, body: &Arc<Vec<Bytes>>, answer: &Arc<Seen>) {
        let mirror = Arc::clone(&self.mirror);
        let exchange = Exchange {
            capture: self,
            body: Arc::clone(body),
            answer: Arc::clone(answer),
        };
        let desk = mirror.desk.as_ref();
        let taken = desk.is_some_and(|desk| desk.0.try_send(Work::Write(exchange)).is_ok());
        if !taken {
            mirror.tally.captured(Capturing::Skipped);
        }
    }

    /// There is nothing to write.
    pub fn give_up(self, why: Capturing) {
        self.mirror.tally.captured(why);
    }
}

/// Waits for both answers to one request of one mirror.
#[derive(Debug)]
pub struct Meeting {
    mirror: Arc<Mirroring>,
    sides: RefCell<Sides>,
}

#[derive(Debug)]
struct Sides {
    asked: Option<Asked>,
    primary: Option<Arc<Seen>>,
    shadow: Option<Seen>,
}

impl Meeting {
    /// For the answers to what was asked.
    pub fn new(mirror: &Arc<Mirroring>, asked: Asked) -> Rc<Self> {
        Rc::new(Self {
            mirror: Arc::clone(mirror),
            sides: RefCell::new(Sides {
                asked: Some(asked),
                primary: None,
                shadow: None,
            }),
        })
    }

    /// What one of the answers is recorded with.
    pub fn recorder(&self) -> Recorder {
        Recorder::new(self.mirror.account(), false)
    }

    /// The server's answer.
    pub fn primary(&self, seen: &Arc<Seen>) {
        self.sides.borrow_mut().primary = Some(Arc::clone(seen));
        self.meet();
    }

    /// The shadow's.
    pub fn shadow(&self, seen: Seen) {
        self.sides.borrow_mut().shadow = Some(seen);
        self.meet();
    }

    fn meet(&self) {
        let mut sides = self.sides.borrow_mut();
        if sides.primary.is_none() || sides.shadow.is_none() {
            return;
        }
        let sides = (
            sides.asked.take(),
            sides.primary.take(),
            sides.shadow.take(),
        );
        let (Some(asked), Some(primary), Some(shadow)) = sides else {
            return;
        };
        let pair = Pair {
            mirror: Arc::clone(&self.mirror),
            asked,
            primary,
            shadow,
        };
        let desk = self.mirror.desk.as_ref();
        if desk.is_none_or(|desk| desk.0.try_send(Work::Compare(pair)).is_err()) {
            self.mirror.tally.findings.skip();
        }
    }
}
