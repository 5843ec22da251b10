//! Clients that ask for as much as they are told to, on a thread of their own, whatever is answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Interval, MissedTickBehavior};

use crate::wire::{self, END_HEADERS, END_STREAM, Frame, Frames, GOAWAY, HEADERS, OK, RST_STREAM};

/// How requests come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// So many at all times: one that is answered is followed by another.
    Outstanding(usize),
    /// So many a second, answered or not.
    PerSecond(usize),
}

/// One client's requests.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) authority: String,
    pub(crate) path: &'static str,
    pub(crate) fields: Vec<(&'static str, String)>,
    pub(crate) pace: Pace,
}

/// What came of them.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) sent: AtomicU64,
    pub(crate) ok: AtomicU64,
    pub(crate) refused: AtomicU64,
}

/// Clients at work, until they are dropped.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) counts: Vec<Arc<Counts>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

const TICK: Duration = Duration::from_millis(10);

impl Plan {
    pub(crate) fn new(authority: String, pace: Pace) -> Self {
        Self {
            authority,
            path: "/",
            fields: Vec::new(),
            pace,
        }
    }
}

impl Load {
    /// Each plan on a connection of its own.
    pub(crate) fn start(address: SocketAddr, plans: Vec<Plan>) -> Self {
        let counts: Vec<Arc<Counts>> = plans.iter().map(|_| Arc::default()).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, counted) = (Arc::clone(&stop), counts.clone());
        let run = async move {
            let clients: Vec<_> = plans
                .into_iter()
                .zip(counted)
                .map(|(plan, counts)| tokio::spawn(client(address, plan, counts)))
                .collect();
            let mut ticks = tokio::time::interval(TICK);
            while !stopped.load(Ordering::Relaxed) {
                ticks.tick().await;
                assert!(clients.iter().all(|client| !client.is_finished()));
            }
        };
        let thread = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(run);
        });
        Self {
            counts,
            stop,
            thread: Some(thread),
        }
    }

    /// Ends them.
    pub(crate) fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok(), "a client's connection ended");
    }

    /// Requests that were answered with 200, by client.
    pub(crate) fn ok(&self) -> Vec<u64> {
        let ok = |counts: &Arc<Counts>| counts.ok.load(Ordering::Relaxed);
        self.counts.iter().map(ok).collect()
    }

    /// Requests that were answered otherwise, by client.
    pub(crate) fn refused(&self) -> Vec<u64> {
        let refused = |counts: &Arc<Counts>| counts.refused.load(Ordering::Relaxed);
        self.counts.iter().map(refused).collect()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

async fn client(address: SocketAddr, plan: Plan, counts: Arc<Counts>) {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (reader, mut writer) = stream.into_split();
    let mut frames = Frames::new(reader);
    let block = wire::get(&plan.authority, plan.path, &plan.fields);
    let mut next = 1;
    let mut out = wire::opening();
    let mut due = match plan.pace {
        Pace::Outstanding(count) => count,
        Pace::PerSecond(_) => 0,
    };
    let mut ticks = ticks();
    loop {
        for _ in 0..due {
            wire::put(&mut out, HEADERS, END_HEADERS | END_STREAM, next, &block);
            next += 2;
            counts.sent.fetch_add(1, Ordering::Relaxed);
        }
        writer.write_all(&out).await.unwrap();
        out.clear();
        due = 0;
        match plan.pace {
            Pace::Outstanding(_) => assert!(frames.read().await.unwrap()),
            Pace::PerSecond(rate) => tokio::select! {
                read = frames.read() => assert!(read.unwrap()),
                _ = ticks.tick() => due = per_tick(rate, next),
            },
        }
        while let Some(frame) = frames.next() {
            wire::acknowledge(frame, &mut out);
            let ended = note(frame, &counts);
            due += usize::from(ended && matches!(plan.pace, Pace::Outstanding(_)));
        }
    }
}

fn ticks() -> Interval {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks
}

/// Requests of one tick; of a rate that has less than one, one now and then.
fn per_tick(rate: usize, next: u32) -> usize {
    let ticks = usize::try_from(Duration::from_secs(1).as_millis() / TICK.as_millis()).unwrap();
    if rate >= ticks {
        rate / ticks
    } else {
        usize::from(fastrand::usize(..ticks) < rate || next == 1)
    }
}

/// Counts an answer; whether its stream has ended.
fn note(frame: Frame<'_>, counts: &Counts) -> bool {
    assert!(frame.kind != GOAWAY, "{frame:?}");
    if frame.kind == HEADERS {
        let count = if frame.payload[0] == OK {
            &counts.ok
        } else {
            &counts.refused
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
    frame.kind == RST_STREAM
        || matches!(frame.kind, HEADERS | wire::DATA) && frame.flags & END_STREAM != 0
}
