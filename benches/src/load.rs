//! The load generator: one thread, many exchanges, and what they took.
//!
//! In an open loop each request has a moment at which it should leave; its latency counts from
//! that moment, whatever kept it from leaving (no coordinated omission). In a closed loop each
//! slot starts its next exchange when the last one ends: that finds the saturation point.

pub mod h2;
pub mod pace;
pub mod recorder;
pub mod session;
pub mod websocket;

use std::{
    collections::VecDeque,
    io::Write as _,
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use crate::{
    backend::TICK,
    clock,
    poll::{Link, Poller},
    process::{Spent, Usage},
};
use pace::Pace;
use recorder::{Recorder, Spread};
use session::{Protocol, Session};

/// How long a peer may take to complete its first SETTINGS exchange.
const SETTLE: Duration = Duration::from_secs(5);
/// How long requests that left inside the window may still take after its end.
const DRAIN: Duration = Duration::from_secs(2);
/// A run that is bounded by a number of requests is given up after this.
const LONGEST: Duration = Duration::from_secs(120);

/// Until every exchange that is to be held has begun.
const HELD: Duration = Duration::from_secs(20);

/// When a run is over.
#[derive(Clone, Copy, Debug)]
pub enum Stop {
    /// After exactly this many exchanges, counted from the first.
    Requests(u64),
    /// After so many events, counted from the first.
    Events(u64),
    /// As soon as every slot holds an exchange whose first event has arrived.
    Held,
    /// After a warm-up that is not counted and a window that is.
    After {
        /// Not counted.
        warm_up: Duration,
        /// Counted.
        window: Duration,
    },
}

/// What to send.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The proxy, or the origin itself.
    pub target: SocketAddr,
    /// How the generator speaks to it.
    pub protocol: Protocol,
    /// Who is asked: a proxy that routes by host knows it under this name.
    pub authority: String,
    /// Connections.
    pub connections: u32,
    /// Exchanges at a time on each; 1 for HTTP/1.1.
    pub streams: u32,
    /// When requests leave.
    pub pace: Pace,
    /// When it ends.
    pub stop: Stop,
    /// Extra request headers.
    pub headers: Vec<(String, String)>,
    /// Send a body of one byte: how the mixed origin is asked for its bulk answer.
    pub post: bool,
    /// Every slot is a WebSocket, and an exchange a message on it and its answer.
    pub websocket: bool,
    /// Never give back flow-control windows: a client that stopped reading.
    pub stall: bool,
    /// The body size, in bytes, that a right answer has; none for endless answers.
    pub expect: Option<u64>,
    /// The size of one server-sent event, in bytes, where bodies are made of them.
    pub event: Option<usize>,
    /// Where the origin is asked for the next event as soon as one has arrived.
    pub tick: Option<SocketAddr>,
    /// The processes whose CPU, memory and context switches are read at the window's borders.
    pub watch: Vec<u32>,
}

impl Plan {
    /// Exchanges that can be open at a time.
    #[must_use]
    pub fn slots(&self) -> u32 {
        self.connections * self.streams
    }
}

/// What came back.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Exchanges completed inside the window.
    pub requests: u64,
    /// Wrong, reset or refused exchanges, and those that never ended.
    pub errors: u64,
    /// The first error, in words.
    pub error: Option<String>,
    /// Length of the window.
    pub seconds: f64,
    /// Body bytes received inside the window.
    pub bytes: u64,
    /// From the intended send time to the last byte, µs.
    pub latency_us: Spread,
    /// From the intended to the actual send time, µs: the generator's own delay.
    pub lag_us: Spread,
    /// From the writing of an event to its last byte's arrival, µs.
    pub event_us: Spread,
    /// What the watched processes spent inside the window.
    pub spent: Option<Spent>,
}

/// Runs the plan to its end.
///
/// # Errors
/// When the target refuses connections, closes one, or speaks another protocol.
pub fn run(plan: &Plan) -> Result<Outcome> {
    let mut fleet = Fleet::connect(plan)?;
    fleet.settle()?;
    Run::new(plan, fleet)?.drive()
}

/// All connections to the target.
struct Fleet {
    poller: Poller,
    lines: Vec<Line>,
}

struct Line {
    link: Link,
    session: Session,
}

impl Fleet {
    fn connect(plan: &Plan) -> Result<Self> {
        let poller = Poller::new()?;
        let mut lines = Vec::new();
        for token in 0..u64::from(plan.connections) {
            let socket = TcpStream::connect(plan.target)
                .with_context(|| format!("no connection to {}: is it listening?", plan.target))?;
            let mut link = Link::new(socket)?;
            poller.add(link.socket(), token)?;
            let session = Session::new(plan, &mut link.out);
            link.flush()?;
            lines.push(Line { link, session });
        }
        Ok(Self { poller, lines })
    }

    /// Waits until every connection may carry requests.
    fn settle(&mut self) -> Result<()> {
        let deadline = clock::now() + SETTLE.as_nanos() as u64;
        let mut nobody = Recorder::default();
        while !self.lines.iter().all(|line| line.session.is_ready()) {
            if clock::now() > deadline {
                bail!(
                    "the target accepted connections but sent no HTTP/2 SETTINGS, or opened no WebSocket"
                );
            }
            self.turn(Some(deadline), &mut nobody)?;
        }
        Ok(())
    }

    /// Sleeps until something arrives or `until`, and hands what arrived to `recorder`.
    fn turn(&mut self, until: Option<u64>, recorder: &mut Recorder) -> Result<()> {
        for token in self.poller.wait(until)?.to_vec() {
            let Some(line) = self.lines.get_mut(token as usize) else {
                continue;
            };
            if !line.link.read()? {
                bail!("the target closed a connection");
            }
            let (received, out) = line.link.parts();
            let used = line.session.ingest(received, out, recorder)?;
            line.link.consume(used);
            line.link.flush()?;
            self.poller.follow(&mut line.link, token)?;
        }
        Ok(())
    }
}

/// One run in progress.
struct Run<'a> {
    plan: &'a Plan,
    fleet: Fleet,
    recorder: Recorder,
    idle: VecDeque<u32>,
    /// Intended send times that found no idle slot.
    waiting: VecDeque<u64>,
    issued: u64,
    touched: Vec<u32>,
    ticker: Option<TcpStream>,
    ticked: u64,
}

impl<'a> Run<'a> {
    fn new(plan: &'a Plan, fleet: Fleet) -> Result<Self> {
        // Neighbouring slots are on different connections, so that a few requests spread.
        let slots = plan.slots();
        let ticker = plan.tick.map(TcpStream::connect).transpose()?;
        if let Some(ticker) = &ticker {
            ticker.set_nodelay(true)?;
        }
        Ok(Self {
            plan,
            fleet,
            recorder: Recorder::new(plan, slots),
            idle: (0..slots).collect(),
            waiting: VecDeque::new(),
            issued: 0,
            touched: Vec::new(),
            ticker,
            ticked: 0,
        })
    }

    /// Asks for the next event once all streams have the last one.
    fn tick(&mut self) -> Result<()> {
        if let Some(ticker) = &mut self.ticker
            && self.recorder.events() >= (self.ticked + 1) * u64::from(self.plan.slots())
        {
            self.ticked += 1;
            ticker.write_all(&[TICK])?;
        }
        Ok(())
    }

    fn drive(mut self) -> Result<Outcome> {
        let begun = clock::now();
        let (open, close, give_up) = borders(self.plan.stop, begun);
        let mut pace = self.plan.pace.begin(begun);
        let mut before = None;
        let mut after = None;
        loop {
            let now = clock::now();
            if before.is_none() && now >= open {
                before = Some(self.usage()?);
                self.recorder.open(now, open..close);
            }
            if after.is_none() && now >= close {
                after = Some(self.usage()?);
                self.recorder.close(now);
            }
            if now >= give_up || self.is_over(after.is_some()) {
                break;
            }
            if after.is_none() {
                while let Some(intended) = pace.due(now) {
                    self.waiting.push_back(intended);
                }
            }
            self.start_waiting(now)?;
            let next = if after.is_none() { pace.next() } else { None };
            let border = [open, close, give_up]
                .into_iter()
                .filter(|at| *at > now)
                .min();
            let until = [next, border].into_iter().flatten().min();
            self.fleet.turn(until, &mut self.recorder)?;
            self.tick()?;
            self.idle.extend(self.recorder.freed.drain(..));
        }
        let after = match after {
            Some(usage) => usage,
            None => self.usage()?,
        };
        let spent = before
            .flatten()
            .zip(after)
            .map(|(before, after)| after.since(&before));
        Ok(self.recorder.finish(clock::now(), self.waiting, spent))
    }

    fn usage(&self) -> Result<Option<Usage>> {
        let mut total = None;
        for pid in &self.plan.watch {
            *total.get_or_insert_with(Usage::default) += Usage::of(*pid)?;
        }
        Ok(total)
    }

    fn is_over(&self, closed: bool) -> bool {
        match self.plan.stop {
            Stop::Requests(count) => self.recorder.ended() >= count,
            Stop::Events(count) => self.recorder.events() >= count,
            Stop::Held => self.recorder.events() >= u64::from(self.plan.slots()),
            Stop::After { .. } => {
                let endless = self.plan.expect.is_none() || self.plan.pace.is_closed();
                closed && (endless || self.recorder.outstanding() == 0 && self.waiting.is_empty())
            }
        }
    }

    /// Gives idle slots their next exchange, and sends.
    fn start_waiting(&mut self, now: u64) -> Result<()> {
        while !self.idle.is_empty() && self.may_issue() {
            let intended = if self.plan.pace.is_closed() {
                now
            } else if let Some(intended) = self.waiting.pop_front() {
                intended
            } else {
                break;
            };
            let Some(slot) = self.idle.pop_front() else {
                break;
            };
            let line = slot % self.plan.connections;
            let Some(Line { link, session }) = self.fleet.lines.get_mut(line as usize) else {
                break;
            };
            session.start(slot, &mut link.out);
            self.recorder.started(slot, intended, now);
            self.issued += 1;
            self.touched.push(line);
        }
        for line in self.touched.drain(..) {
            if let Some(Line { link, .. }) = self.fleet.lines.get_mut(line as usize) {
                link.flush()?;
                self.fleet.poller.follow(link, u64::from(line))?;
            }
        }
        Ok(())
    }

    fn may_issue(&self) -> bool {
        match self.plan.stop {
            Stop::Requests(count) => self.issued < count,
            Stop::Events(_) | Stop::Held | Stop::After { .. } => true,
        }
    }
}

/// When the window opens and closes, and when the run is given up, ns.
fn borders(stop: Stop, begun: u64) -> (u64, u64, u64) {
    let later = |from: u64, by: Duration| from + by.as_nanos() as u64;
    match stop {
        Stop::Requests(_) | Stop::Events(_) => (begun, u64::MAX, later(begun, LONGEST)),
        Stop::Held => (begun, u64::MAX, later(begun, HELD)),
        Stop::After { warm_up, window } => {
            let open = later(begun, warm_up);
            let close = later(open, window);
            (open, close, later(close, DRAIN))
        }
    }
}
