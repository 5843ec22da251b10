//! A plane for the planner's tests: the fleet's real bookkeeping, no sockets and no clock. Relays
//! are sets of replicas, time is a number.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fprs_config::{Record, Replica, ReplicaState, Worker};
use fprs_proto::worker as wire;
use tokio::sync::mpsc;

use crate::fleet::{Phase, Running, SessionId};
use crate::lifecycle::Now;
use crate::testing::{Records, replica, server, worker};
use crate::workers::Workers;

pub(crate) const LEASE: Duration = Duration::from_secs(5);

/// A whole plane without its autoscaler and its clients.
pub(crate) struct World {
    pub(crate) store: Records,
    pub(crate) workers: Workers,
    pub(crate) relays: BTreeMap<String, Relay>,
    pub(crate) start: Instant,
    pub(crate) elapsed: Duration,
    /// Commits happen; otherwise they conflict.
    pub(crate) commits: bool,
}

/// A relay: what it was told and what it runs.
pub(crate) struct Relay {
    pub(crate) worker: Worker,
    pub(crate) session: Option<(SessionId, mpsc::Receiver<wire::ToWorker>)>,
    pub(crate) welcomed: bool,
    pub(crate) running: BTreeMap<String, bool>,
    pub(crate) starts: Vec<String>,
    pub(crate) stops: Vec<String>,
}

impl World {
    pub(crate) fn new(records: &[Record]) -> Self {
        Self {
            store: Records::of(records),
            workers: Workers::new(LEASE),
            relays: BTreeMap::new(),
            start: Instant::now(),
            elapsed: Duration::ZERO,
            commits: true,
        }
    }

    /// With server `hello` and worker `w1` attached.
    pub(crate) fn ready() -> Self {
        let mut world = Self::new(&[Record::Server(server("hello", 1))]);
        world.attach("w1", 1);
        world.settle();
        world
    }

    pub(crate) fn now(&self) -> Now {
        Now {
            instant: self.start + self.elapsed,
            unix_ms: u64::try_from(self.elapsed.as_millis()).unwrap(),
        }
    }

    /// A relay process of that name dials in; what it ran goes on if it is the same process.
    pub(crate) fn attach(&mut self, id: &str, epoch: u64) -> bool {
        self.attach_as(worker(id, epoch))
    }

    pub(crate) fn attach_as(&mut self, offer: Worker) -> bool {
        let (id, epoch) = (&*offer.id.clone(), offer.epoch);
        let mut running = BTreeMap::new();
        if let Some(relay) = self
            .relays
            .get(id)
            .filter(|relay| relay.worker.epoch == epoch)
        {
            running.clone_from(&relay.running);
        }
        let told = running
            .iter()
            .map(|(replica, ready)| {
                let phase = if *ready {
                    Phase::Ready { startup_ms: 5 }
                } else {
                    Phase::Starting
                };
                (
                    replica.as_str().into(),
                    Running {
                        phase,
                        ..Running::default()
                    },
                )
            })
            .collect();
        let Ok(session) = self.workers.attach(offer.clone(), told, self.now().instant) else {
            return false;
        };
        let relay = Relay {
            worker: offer,
            session: Some(session),
            welcomed: false,
            running,
            starts: Vec::new(),
            stops: Vec::new(),
        };
        self.relays.insert(id.to_owned(), relay);
        true
    }

    pub(crate) fn hang_up(&mut self, id: &str) {
        let relay = self.relays.get_mut(id).unwrap();
        if let Some((session, _)) = relay.session.take() {
            self.workers.detach(&id.into(), session);
        }
    }

    pub(crate) fn say(&mut self, id: &str, message: wire::from_worker::Message) {
        let now = self.now().instant;
        if let Some((session, _)) = &self.relays[id].session {
            self.workers.hear(id, *session, message, now);
        }
    }

    pub(crate) fn update(&mut self, id: &str, replica: &str, phase: wire::Phase, reason: &str) {
        let running = &mut self.relays.get_mut(id).unwrap().running;
        match phase {
            wire::Phase::Ready => drop(running.insert(replica.to_owned(), true)),
            _ => drop(running.remove(replica)),
        }
        let update = wire::ReplicaUpdate {
            replica: replica.to_owned(),
            phase: phase.into(),
            reason: reason.to_owned(),
            startup_ms: 5,
        };
        self.say(id, wire::from_worker::Message::Replica(update));
    }

    pub(crate) fn beat(&mut self, id: &str) {
        self.say(
            id,
            wire::from_worker::Message::Heartbeat(wire::Heartbeat::default()),
        );
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.elapsed += time;
    }

    /// Plans once, commits, lets relays take their orders. Whether anything happened.
    pub(crate) fn turn(&mut self) -> bool {
        let plan = self.workers.act(&self.store.snapshot, self.now());
        let mut moved = false;
        for group in plan.groups.iter().filter(|_| self.commits) {
            assert!(
                self.store.commit(group),
                "a plan conflicts with itself: {group:?}"
            );
            moved = true;
        }
        for relay in self.relays.values_mut() {
            moved |= relay.take_orders();
        }
        moved
    }

    /// Turns until nothing happens any more.
    pub(crate) fn settle(&mut self) {
        for _ in 0..20 {
            if !self.turn() {
                return;
            }
        }
        panic!("the plan never comes to rest");
    }

    pub(crate) fn put(&mut self, replica: Replica) {
        self.store.put(&Record::Replica(replica));
    }

    pub(crate) fn request(&mut self, id: &str) {
        self.put(replica(id, "hello", ReplicaState::Requested));
    }

    pub(crate) fn set(&mut self, id: &str, state: ReplicaState) {
        let mut replica = self.store.replica(id).unwrap().clone();
        replica.state = state;
        self.put(replica);
    }

    /// A replica that is ready on `w1`.
    pub(crate) fn run(&mut self, id: &str) {
        self.request(id);
        self.settle();
        self.update("w1", id, wire::Phase::Ready, "");
        self.settle();
        assert_eq!(self.store.state(id), Some(ReplicaState::Ready));
    }
}

impl Relay {
    pub(crate) fn take_orders(&mut self) -> bool {
        let Some((_, orders)) = &mut self.session else {
            return false;
        };
        let mut any = false;
        loop {
            let message = match orders.try_recv() {
                Ok(order) => order.message.unwrap(),
                Err(mpsc::error::TryRecvError::Empty) => return any,
                Err(mpsc::error::TryRecvError::Disconnected) => {
                    self.session = None;
                    return true;
                }
            };
            any = true;
            match message {
                wire::to_worker::Message::Welcome(_) => self.welcomed = true,
                wire::to_worker::Message::Start(start) => {
                    assert!(self.welcomed, "a Start before the Welcome");
                    self.starts.push(start.replica.clone());
                    self.running.insert(start.replica, false);
                }
                wire::to_worker::Message::Stop(stop) => self.stops.push(stop.replica),
                other => panic!("not an order: {other:?}"),
            }
        }
    }
}
