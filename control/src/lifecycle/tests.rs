//! The planner with the fleet's real bookkeeping around it, but no sockets and no clock: relays are
//! sets of replicas, time is a number.

mod random;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fprs_config::{Kind, Record, Replica, ReplicaState, Worker};
use fprs_proto::worker as wire;
use tokio::sync::mpsc;

use super::*;
use crate::fleet::{Running, SessionId};
use crate::testing::{Records, replica, server, version, worker};
use crate::workers::Workers;

const LEASE: Duration = Duration::from_secs(5);

/// A whole plane without its autoscaler and its clients.
struct World {
    store: Records,
    workers: Workers,
    relays: BTreeMap<String, Relay>,
    start: Instant,
    elapsed: Duration,
    /// Commits happen; otherwise they conflict.
    commits: bool,
}

/// A relay: what it was told and what it runs.
struct Relay {
    worker: Worker,
    session: Option<(SessionId, mpsc::Receiver<wire::ToWorker>)>,
    welcomed: bool,
    running: BTreeMap<String, bool>,
    starts: Vec<String>,
    stops: Vec<String>,
}

impl World {
    fn new(records: &[Record]) -> Self {
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
    fn ready() -> Self {
        let mut world = Self::new(&[Record::Server(server("hello", 1))]);
        world.attach("w1", 1);
        world.settle();
        world
    }

    fn now(&self) -> Now {
        Now {
            instant: self.start + self.elapsed,
            unix_ms: u64::try_from(self.elapsed.as_millis()).unwrap(),
        }
    }

    /// A relay process of that name dials in; what it ran goes on if it is the same process.
    fn attach(&mut self, id: &str, epoch: u64) -> bool {
        let offer = worker(id, epoch);
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

    fn hang_up(&mut self, id: &str) {
        let relay = self.relays.get_mut(id).unwrap();
        if let Some((session, _)) = relay.session.take() {
            self.workers.detach(&id.into(), session);
        }
    }

    fn say(&mut self, id: &str, message: wire::from_worker::Message) {
        let now = self.now().instant;
        if let Some((session, _)) = &self.relays[id].session {
            self.workers.hear(id, *session, message, now);
        }
    }

    fn update(&mut self, id: &str, replica: &str, phase: wire::Phase, reason: &str) {
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

    fn beat(&mut self, id: &str) {
        self.say(
            id,
            wire::from_worker::Message::Heartbeat(wire::Heartbeat::default()),
        );
    }

    fn pass(&mut self, time: Duration) {
        self.elapsed += time;
    }

    /// Plans once, commits, lets relays take their orders. Whether anything happened.
    fn turn(&mut self) -> bool {
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
    fn settle(&mut self) {
        for _ in 0..20 {
            if !self.turn() {
                return;
            }
        }
        panic!("the plan never comes to rest");
    }

    fn put(&mut self, replica: Replica) {
        self.store.put(&Record::Replica(replica));
    }

    fn request(&mut self, id: &str) {
        self.put(replica(id, "hello", ReplicaState::Requested));
    }

    fn set(&mut self, id: &str, state: ReplicaState) {
        let mut replica = self.store.replica(id).unwrap().clone();
        replica.state = state;
        self.put(replica);
    }

    /// A replica that is ready on `w1`.
    fn run(&mut self, id: &str) {
        self.request(id);
        self.settle();
        self.update("w1", id, wire::Phase::Ready, "");
        self.settle();
        assert_eq!(self.store.state(id), Some(ReplicaState::Ready));
    }
}

impl Relay {
    fn take_orders(&mut self) -> bool {
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

#[test]
fn a_worker_is_welcomed_once_its_record_is_in_force() {
    let mut world = World::new(&[]);
    world.attach("w1", 1);
    world.turn();
    assert!(!world.relays["w1"].welcomed);
    world.turn();
    assert!(world.relays["w1"].welcomed);
    assert_eq!(
        **world.store.snapshot.worker("w1").unwrap(),
        worker("w1", 1)
    );
}

#[test]
fn a_replica_goes_from_requested_to_ready_and_proves_its_version() {
    let mut world = World::ready();
    world.request("r1");
    world.turn();
    assert_eq!(world.relays["w1"].starts, ["r1"], "told in the same turn");
    assert_eq!(world.store.state("r1"), Some(ReplicaState::Starting));
    assert_eq!(
        world.store.replica("r1").unwrap().worker.as_deref(),
        Some("w1")
    );
    world.update("w1", "r1", wire::Phase::Ready, "");
    let before = world.store.snapshot.revision();
    world.settle();
    let replica = world.store.replica("r1").unwrap();
    assert_eq!(
        (replica.state, replica.startup_ms),
        (ReplicaState::Ready, 5)
    );
    assert!(world.store.server("hello").proven);
    assert_eq!(
        world.store.snapshot.revision().0,
        before.0 + 1,
        "in one commit"
    );
}

#[test]
fn a_replica_ready_before_its_placement_is_written_is_written_as_ready() {
    let mut world = World::ready();
    world.request("r1");
    world.commits = false;
    world.turn();
    world.update("w1", "r1", wire::Phase::Ready, "");
    world.commits = true;
    world.settle();
    assert_eq!(world.relays["w1"].starts, ["r1"]);
    assert_eq!(world.store.state("r1"), Some(ReplicaState::Ready));
}

#[test]
fn a_replica_whose_relay_dropped_out_while_it_was_told_is_not_started_twice() {
    let mut world = World::ready();
    world.attach("w2", 1);
    world.settle();
    world.request("r1");
    world.commits = false;
    world.turn();
    world.hang_up("w1");
    world.commits = true;
    world.settle();
    assert_eq!(world.store.state("r1"), Some(ReplicaState::Requested));
    world.attach("w1", 1);
    world.settle();
    let replica = world.store.replica("r1").unwrap();
    assert_eq!(replica.state, ReplicaState::Starting);
    assert_eq!(replica.worker.as_deref(), Some("w1"));
    assert!(world.relays["w2"].starts.is_empty());
}

#[test]
fn the_end_of_a_replica_is_final_whatever_its_relay_says_later() {
    let mut world = World::ready();
    world.request("r1");
    world.settle();
    world.update("w1", "r1", wire::Phase::Failed, "why");
    world.update("w1", "r1", wire::Phase::Ready, "");
    world.settle();
    assert_eq!(world.store.state("r1"), Some(ReplicaState::Failed));
}

#[test]
fn a_replica_that_fails_says_why_and_is_not_started_again() {
    let mut world = World::ready();
    world.request("r1");
    world.settle();
    let long = "é".repeat(5000);
    world.update("w1", "r1", wire::Phase::Failed, &long);
    world.settle();
    let replica = world.store.replica("r1").unwrap();
    assert_eq!(replica.state, ReplicaState::Failed);
    assert_eq!(replica.reason.len(), limits::REASON_BYTES);
    assert!(!world.store.server("hello").proven);
    assert_eq!(world.relays["w1"].starts, ["r1"]);
}

#[test]
fn a_stopping_replica_is_stopped_once_and_its_record_goes_when_it_ended() {
    let mut world = World::ready();
    world.run("r1");
    world.set("r1", ReplicaState::Draining);
    world.settle();
    assert_eq!(world.relays["w1"].stops, [""; 0]);
    world.set("r1", ReplicaState::Stopping);
    world.settle();
    assert_eq!(world.relays["w1"].stops, ["r1"]);
    world.update("w1", "r1", wire::Phase::Stopped, "");
    world.settle();
    assert_eq!(world.store.state("r1"), None);
}

#[test]
fn a_wish_taken_back_while_its_start_was_on_the_way_is_stopped() {
    let mut world = World::ready();
    world.request("r1");
    world.commits = false;
    world.turn();
    world.commits = true;
    world.store.delete(Kind::Replica, "r1");
    world.settle();
    assert_eq!(world.relays["w1"].stops, ["r1"]);
}

#[test]
fn a_silent_worker_goes_with_all_its_replicas_in_one_commit() {
    let mut world = World::ready();
    world.run("r1");
    world.run("r2");
    world.pass(LEASE / 2);
    world.beat("w1");
    world.pass(LEASE - Duration::from_millis(1));
    world.settle();
    assert_eq!(
        world.store.state("r1"),
        Some(ReplicaState::Ready),
        "within its lease"
    );
    world.pass(Duration::from_millis(1));
    let before = world.store.snapshot.revision();
    world.settle();
    assert_eq!(
        (world.store.state("r1"), world.store.state("r2")),
        (None, None)
    );
    assert!(world.store.snapshot.worker("w1").is_none());
    assert_eq!(world.store.snapshot.revision().0, before.0 + 1);
    assert!(
        world.relays["w1"].session.is_none(),
        "it is told by the closed channel"
    );
}

#[test]
fn a_relay_that_comes_back_within_its_lease_keeps_its_replicas() {
    let mut world = World::ready();
    world.run("r1");
    world.hang_up("w1");
    world.pass(LEASE / 2);
    world.settle();
    world.attach("w1", 1);
    world.settle();
    assert_eq!(world.store.state("r1"), Some(ReplicaState::Ready));
    assert!(world.relays["w1"].stops.is_empty());
    assert!(world.relays["w1"].welcomed);
}

#[test]
fn a_relay_that_comes_back_after_its_lease_is_told_to_stop_what_it_still_runs() {
    let mut world = World::ready();
    world.run("r1");
    world.hang_up("w1");
    world.pass(LEASE);
    world.settle();
    assert_eq!(world.store.state("r1"), None);
    world.attach("w1", 1);
    world.settle();
    assert_eq!(world.relays["w1"].stops, ["r1"]);
}

#[test]
fn replicas_of_an_earlier_process_of_a_relay_are_gone_with_it() {
    let mut world = World::ready();
    world.run("r1");
    world.hang_up("w1");
    world.attach("w1", 2);
    world.settle();
    assert_eq!(world.store.state("r1"), None);
    assert_eq!(world.store.snapshot.worker("w1").unwrap().epoch, 2);
}

#[test]
fn a_second_process_under_an_attached_name_is_refused_until_the_lease_ends() {
    let mut world = World::ready();
    assert!(!world.attach("w1", 2));
    world.pass(LEASE);
    assert!(world.attach("w1", 2));
}

#[test]
fn a_replica_that_its_relay_came_back_without_has_failed() {
    let mut world = World::ready();
    world.run("r1");
    world.hang_up("w1");
    world.relays.get_mut("w1").unwrap().running.clear();
    world.attach("w1", 1);
    world.settle();
    let replica = world.store.replica("r1").unwrap();
    assert_eq!(replica.state, ReplicaState::Failed);
    assert_eq!(replica.reason, step::LOST);
}

#[test]
fn after_a_restart_of_control_everything_goes_on() {
    let mut world = World::ready();
    world.run("r1");
    world.request("r2");
    world.commits = false;
    world.turn();
    world.commits = true;
    world.workers = Workers::new(LEASE);
    world.settle();
    world.pass(LEASE / 2);
    world.attach("w1", 1);
    world.settle();
    assert_eq!(world.store.state("r1"), Some(ReplicaState::Ready));
    assert_eq!(
        world.store.state("r2"),
        Some(ReplicaState::Starting),
        "adopted"
    );
    let relay = &world.relays["w1"];
    assert!(relay.starts.is_empty() && relay.stops.is_empty());
}

#[test]
fn after_a_restart_of_control_a_worker_that_never_comes_back_loses_its_replicas() {
    let mut world = World::ready();
    world.run("r1");
    world.workers = Workers::new(LEASE);
    world.settle();
    world.pass(LEASE);
    world.settle();
    assert_eq!(world.store.state("r1"), None);
}

#[test]
fn the_version_before_is_let_go_with_its_last_replica() {
    let mut world = World::ready();
    world.run("old");
    let mut deployed = world.store.server("hello").clone();
    deployed.fallback = Some(Arc::clone(&deployed.target));
    deployed.target = Arc::new(version(2));
    deployed.proven = false;
    world.store.put(&Record::Server(deployed));
    let mut new = replica("new", "hello", ReplicaState::Requested);
    new.generation = 2;
    world.put(new);
    world.settle();
    assert!(!world.store.server("hello").proven);
    world.update("w1", "new", wire::Phase::Ready, "");
    world.settle();
    assert!(world.store.server("hello").proven);
    assert!(
        world.store.server("hello").fallback.is_some(),
        "still serves"
    );
    world.set("old", ReplicaState::Stopping);
    world.settle();
    world.update("w1", "old", wire::Phase::Stopped, "");
    world.settle();
    assert_eq!(world.store.state("old"), None);
    assert!(world.store.server("hello").fallback.is_none());
}

#[test]
fn a_replica_without_a_place_waits_visibly_and_starts_when_a_worker_comes() {
    let mut world = World::new(&[Record::Server(server("hello", 1))]);
    world.request("r1");
    world.settle();
    let waiting = world.workers.waiting("hello").unwrap().to_string();
    assert!(
        waiting.starts_with("no worker in region `local` is attached"),
        "{waiting}"
    );
    world.attach("w1", 1);
    world.settle();
    assert_eq!(world.workers.waiting("hello"), None);
    assert_eq!(world.relays["w1"].starts, ["r1"]);
}

#[test]
fn two_hundred_replicas_are_placed_evenly() {
    let mut world = World::new(&[Record::Server(server("hello", 1))]);
    for n in 0..4 {
        world.attach(&format!("w{n}"), 1);
    }
    world.settle();
    for n in 0..200 {
        world.request(&format!("r{n:03}"));
    }
    world.settle();
    for relay in world.relays.values() {
        assert_eq!(relay.starts.len(), 50);
    }
}
