//! What an origin saw: every exchange from its head to its true end, with times; in memory, and a
//! JSON line each to a file where the origin is a process of its own.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::Request;

/// All exchanges of an origin.
#[derive(Debug)]
pub struct Record {
    exchanges: Mutex<Vec<Exchange>>,
    file: Option<Mutex<File>>,
    connections: AtomicU64,
}

/// One exchange.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The request's head.
    pub request: Request,
    /// Bytes of the request's body that were taken.
    pub taken: u64,
    /// When the head was there: microseconds since the Unix epoch.
    pub began_us: u64,
    /// How and when it ended; `None` while in flight.
    pub ended: Option<(Outcome, u64)>,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The client went before the response was whole.
    Aborted,
    /// The response was sent whole.
    Complete,
    /// The script said to die.
    Died,
}

/// An exchange in flight. Dropped without [`InFlight::end`], it counts as aborted.
#[derive(Debug)]
pub(super) struct InFlight<'a> {
    record: &'a Record,
    index: usize,
    ended: bool,
}

impl Record {
    /// Empty; with a file, every begin and end is appended to it as one JSON line.
    ///
    /// # Panics
    /// When the file can't be opened.
    pub fn new(file: Option<&Path>) -> Self {
        let file = file.map(|path| {
            let file = OpenOptions::new().create(true).append(true).open(path);
            Mutex::new(file.unwrap_or_else(|error| panic!("{}: {error}", path.display())))
        });
        Self {
            exchanges: Mutex::default(),
            file,
            connections: AtomicU64::new(0),
        }
    }

    /// Every exchange so far, in the order they began.
    ///
    /// # Panics
    /// When the origin's thread did.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.exchanges.lock().expect("not poisoned").clone()
    }

    /// Exchanges begun and not ended.
    pub fn in_flight(&self) -> usize {
        self.count(|exchange| exchange.ended.is_none())
    }

    /// Exchanges that ended so.
    pub fn ended(&self, outcome: Outcome) -> usize {
        self.count(|exchange| exchange.ended.is_some_and(|(how, _)| how == outcome))
    }

    /// Connections accepted that sent a request or preface.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    pub(super) fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn begin(&self, request: Request) -> InFlight<'_> {
        let began_us = now_us();
        self.append(&json!({
            "event": "begin", "pid": std::process::id(), "at_us": began_us,
            "target": request.target, "head": request.head,
        }));
        let mut exchanges = self.exchanges.lock().expect("not poisoned");
        exchanges.push(Exchange {
            request,
            taken: 0,
            began_us,
            ended: None,
        });
        InFlight {
            record: self,
            index: exchanges.len() - 1,
            ended: false,
        }
    }

    fn count(&self, which: impl Fn(&Exchange) -> bool) -> usize {
        let exchanges = self.exchanges.lock().expect("not poisoned");
        exchanges.iter().filter(|exchange| which(exchange)).count()
    }

    fn append(&self, event: &Value) {
        if let Some(file) = &self.file {
            let line = format!("{event}\n");
            let mut file = file.lock().expect("not poisoned");
            file.write_all(line.as_bytes()).expect("the record's file");
        }
    }
}

impl InFlight<'_> {
    /// More of the request's body was taken.
    pub(super) fn took(&self, bytes: usize) {
        let mut exchanges = self.record.exchanges.lock().expect("not poisoned");
        exchanges[self.index].taken += bytes as u64;
    }

    /// It ended.
    pub(super) fn end(mut self, outcome: Outcome) {
        self.finish(outcome);
    }

    fn finish(&mut self, outcome: Outcome) {
        self.ended = true;
        let at_us = now_us();
        let (target, taken) = {
            let mut exchanges = self.record.exchanges.lock().expect("not poisoned");
            let exchange = &mut exchanges[self.index];
            exchange.ended = Some((outcome, at_us));
            (exchange.request.target.clone(), exchange.taken)
        };
        self.record.append(&json!({
            "event": outcome.name(), "pid": std::process::id(), "at_us": at_us,
            "target": target, "taken": taken,
        }));
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.finish(Outcome::Aborted);
        }
    }
}

impl Outcome {
    /// The outcome's name in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aborted => "aborted",
            Self::Complete => "complete",
            Self::Died => "died",
        }
    }
}

/// Microseconds since the Unix epoch: comparable between the processes of one machine.
///
/// # Panics
/// Before 1970.
pub fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.expect("after 1970").as_micros()).expect("microseconds fit")
}
