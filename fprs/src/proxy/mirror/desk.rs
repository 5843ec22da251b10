//! Where a server's answer and its shadow's meet, and the one thread of a process that compares them.
//! Cores never compare: looking into a megabyte of JSON takes longer than any request may wait. What
//! the thread has no time for is counted and let go.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::compare::compare;
use super::{Asked, Mirroring, Recorder, Seen};

/// Pairs that wait for the thread: what they hold is counted with the copies, so this bounds only how
/// old they get.
const WAITING: usize = 1_024;

/// A place to leave pairs at.
#[derive(Clone, Debug)]
pub(super) struct Desk(SyncSender<Pair>);

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
    pub(super) fn open() -> Option<Self> {
        let (places, pairs) = sync_channel(WAITING);
        let thread = std::thread::Builder::new().name("mirror".to_owned());
        match thread.spawn(move || work(&pairs)) {
            Ok(_) => Some(Self(places)),
            Err(error) => {
                tracing::error!(%error, "no thread to compare mirrored answers: none is compared");
                None
            }
        }
    }
}

fn work(pairs: &Receiver<Pair>) {
    for pair in pairs {
        let Pair {
            mirror,
            asked,
            primary,
            shadow,
        } = pair;
        if let Some(rules) = &mirror.record.compare {
            let found = compare(rules, &primary, &shadow);
            mirror.tally.findings.add(&asked, &primary, &shadow, &found);
        }
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
        Recorder::new(self.mirror.account())
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
        if desk.is_none_or(|desk| desk.0.try_send(pair).is_err()) {
            self.mirror.tally.findings.skip();
        }
    }
}
