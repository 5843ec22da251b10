//! PURE. The next moves: from the snapshot and what workers say to orders for relays and writes for
//! the store. Level-triggered: the same input gives the same plan, nothing depends on which event
//! came before, so a restart, a lost message or a conflict is mended by planning again. Costs in
//! proportion to replicas and workers, not to servers.
//!
//! Orders go out at once, writes through commits with expectations; a Start is sent before the
//! commit that says so. If that commit loses, the replica runs on a relay without a record to it,
//! and the next plan stops it.

mod step;
mod strays;
mod workers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fprs_config::{Key, Kind, Record, Replica, ReplicaState, Server, Snapshot, Version, limits};

use crate::commit::{Group, Note};
use crate::fleet::{Fleet, Phase};
use crate::place::{NoRoom, Seats};
use step::{Standing, Step, step};

/// The time, read once for a whole plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    /// For leases.
    pub(crate) instant: Instant,
    /// For records.
    pub(crate) unix_ms: u64,
}

/// What a relay is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Its lease has ended; it has to attach again.
    Disconnect,
    /// Run this.
    Start {
        /// The replica's id.
        replica: Arc<str>,
        /// The server it is a copy of.
        server: Arc<str>,
        /// What to run.
        version: Arc<Version>,
    },
    /// Let it end.
    Stop {
        /// The replica's id.
        replica: Arc<str>,
    },
    /// It is part of the plane.
    Welcome,
}

/// The next moves.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// For which worker, in the order to send them.
    pub(crate) orders: Vec<(Arc<str>, Order)>,
    /// Writes that belong together; no record is in two groups.
    pub(crate) groups: Vec<Group>,
    /// Servers with replicas that find no place, and why.
    pub(crate) waiting: BTreeMap<Arc<str>, NoRoom>,
    /// Replicas that ended and whose end is in the store: (worker, replica).
    pub(crate) ended: Vec<(Arc<str>, Arc<str>)>,
    /// Workers that are away and that the store knows nothing of.
    pub(crate) gone: Vec<Arc<str>>,
    /// When the next lease ends.
    pub(crate) wake: Option<Instant>,
}

/// The next moves of everything in that snapshot. The fleet must have met the snapshot's workers.
pub(crate) fn plan(snapshot: &Snapshot, fleet: &Fleet, lease: Duration, now: Now) -> Plan {
    let mut planner = Planner {
        snapshot,
        fleet,
        lease,
        now,
        plan: Plan::default(),
        servers: BTreeMap::new(),
    };
    let whole = workers::plan(snapshot, fleet, lease, now, &mut planner.plan);
    let mut requested = Vec::new();
    for replica in snapshot.replicas() {
        if replica
            .worker
            .as_ref()
            .is_some_and(|worker| whole.contains(worker))
        {
            planner.tally(replica);
        } else if replica.state == ReplicaState::Requested {
            requested.push(replica);
        } else {
            planner.move_on(replica);
        }
    }
    requested.sort_by_key(|replica| (replica.since_unix_ms, Arc::clone(&replica.id)));
    planner.start(&requested);
    planner.prove();
    strays::plan(snapshot, fleet, &mut planner.plan);
    planner.finish()
}

struct Planner<'a> {
    snapshot: &'a Snapshot,
    fleet: &'a Fleet,
    lease: Duration,
    now: Now,
    plan: Plan,
    servers: BTreeMap<Arc<str>, ServerMoves>,
}

/// Whether a relay runs a replica whose record doesn't say so.
enum Started {
    /// None does.
    No,
    /// One was told to and is away; its Hello will tell.
    Unclear,
    /// That worker does, and says this of it.
    Yes(Arc<str>, Phase),
}

/// What happens to one server's replicas in this plan.
#[derive(Default)]
struct ServerMoves {
    group: Option<Group>,
    /// Generations with a ready replica, after this plan.
    ready: BTreeSet<u64>,
    /// Generations with any replica that has not failed, after this plan.
    alive: BTreeSet<u64>,
}

impl<'a> Planner<'a> {
    /// A replica that was placed: what its relay says of it decides.
    fn move_on(&mut self, replica: &Arc<Replica>) {
        let standing = self.standing(replica);
        match step(replica.state, &standing) {
            Step::Keep => self.tally(replica),
            Step::Delete => {
                let (snapshot, key) = (self.snapshot, Key::new(Kind::Replica, &replica.id));
                self.group(&replica.server).delete(snapshot, key);
            }
            Step::Stop => {
                self.tally(replica);
                if let Some(worker) = &replica.worker {
                    let replica = Arc::clone(&replica.id);
                    let order = Order::Stop { replica };
                    self.plan.orders.push((Arc::clone(worker), order));
                }
            }
            Step::Ready { startup_ms } => self.become_ready((**replica).clone(), startup_ms),
            Step::Fail(reason) => self.fail((**replica).clone(), reason),
        }
    }

    fn standing(&self, replica: &Replica) -> Standing<'a> {
        let Some((worker, member)) = replica
            .worker
            .as_ref()
            .and_then(|worker| Some((worker, self.fleet.member(worker)?)))
        else {
            return Standing::Gone;
        };
        match member.running.get(&*replica.id) {
            _ if member.settled(self.snapshot.worker(worker)).is_none() => Standing::Away,
            Some(running) => Standing::Runs(running),
            None => Standing::Lost,
        }
    }

    /// Replicas the autoscaler asked for, oldest first.
    fn start(&mut self, requested: &[&Arc<Replica>]) {
        if requested.is_empty() {
            return;
        }
        let mut seats = Seats::new(self.snapshot, self.fleet);
        for replica in requested {
            match self.started(&replica.id) {
                Started::No => {}
                Started::Unclear => continue,
                Started::Yes(worker, phase) => {
                    self.adopt(replica, &worker, phase);
                    continue;
                }
            }
            let Some((server, version)) = self.program(replica) else {
                continue; // its version is gone; the autoscaler takes the wish back
            };
            match seats.place(&replica.id, &replica.server, &server.compute_region) {
                Ok(worker) => {
                    let order = Order::Start {
                        replica: Arc::clone(&replica.id),
                        server: Arc::clone(&replica.server),
                        version,
                    };
                    self.plan.orders.push((Arc::clone(&worker), order));
                    self.adopt(replica, &worker, Phase::Starting);
                }
                Err(no_room) => {
                    self.plan
                        .waiting
                        .insert(Arc::clone(&replica.server), no_room);
                }
            }
        }
    }

    /// Whether some relay was told to start it already, before the store says so.
    fn started(&self, replica: &str) -> Started {
        let Some((id, running)) = self.fleet.find(replica) else {
            return Started::No;
        };
        let Some(member) = self.fleet.member(id) else {
            return Started::No;
        };
        if member.is_silent(self.lease, self.now.instant) {
            Started::No
        } else if member.settled(self.snapshot.worker(id)).is_some() {
            Started::Yes(Arc::clone(id), running.phase.clone())
        } else {
            Started::Unclear
        }
    }

    fn program(&self, replica: &Replica) -> Option<(Arc<Server>, Arc<Version>)> {
        let server = self.snapshot.server(&replica.server)?.server.as_ref()?;
        let version = server.version(replica.generation)?;
        Some((Arc::clone(server), Arc::clone(version)))
    }

    /// Writes down that the worker runs the replica, with what became of it meanwhile.
    fn adopt(&mut self, replica: &Replica, worker: &Arc<str>, phase: Phase) {
        let Some(offer) = self
            .fleet
            .member(worker)
            .and_then(|member| member.offer.as_ref())
        else {
            return;
        };
        let mut placed = replica.clone();
        placed.worker = Some(Arc::clone(worker));
        placed.address = Some(offer.address);
        match phase {
            Phase::Starting => {
                placed.state = ReplicaState::Starting;
                self.put(placed);
            }
            Phase::Ready { startup_ms } => self.become_ready(placed, startup_ms),
            Phase::Failed { reason } => self.fail(placed, reason),
            Phase::Stopped => self.fail(placed, step::STOPPED_UNASKED.to_owned()),
        }
    }

    fn become_ready(&mut self, mut replica: Replica, startup_ms: u64) {
        replica.state = ReplicaState::Ready;
        replica.startup_ms = startup_ms;
        let note = Note::Ready {
            replica: Arc::clone(&replica.id),
            server: Arc::clone(&replica.server),
            startup_ms,
        };
        self.group(&replica.server).note(note);
        self.put(replica);
    }

    fn fail(&mut self, mut replica: Replica, reason: String) {
        replica.state = ReplicaState::Failed;
        replica.reason = storable(reason);
        let note = Note::Failed {
            replica: Arc::clone(&replica.id),
            server: Arc::clone(&replica.server),
            reason: replica.reason.clone(),
        };
        self.group(&replica.server).note(note);
        self.put(replica);
    }

    fn put(&mut self, mut replica: Replica) {
        replica.since_unix_ms = self.now.unix_ms;
        self.tally(&replica);
        let (snapshot, server) = (self.snapshot, Arc::clone(&replica.server));
        self.group(&server).put(snapshot, &Record::Replica(replica));
    }

    fn tally(&mut self, replica: &Replica) {
        let moves = self.servers.entry(Arc::clone(&replica.server)).or_default();
        match replica.state {
            ReplicaState::Failed => {}
            ReplicaState::Ready => {
                moves.ready.insert(replica.generation);
                moves.alive.insert(replica.generation);
            }
            ReplicaState::Requested
            | ReplicaState::Starting
            | ReplicaState::Draining
            | ReplicaState::Stopping => {
                moves.alive.insert(replica.generation);
            }
        }
    }

    fn group(&mut self, server: &Arc<str>) -> &mut Group {
        let moves = self.servers.entry(Arc::clone(server)).or_default();
        moves.group.get_or_insert_default()
    }

    /// A version is proven by its first ready replica; the one before is let go when the last of
    /// its replicas is.
    fn prove(&mut self) {
        let snapshot = self.snapshot;
        for (name, moves) in &mut self.servers {
            let Some(server) = snapshot.server(name).and_then(|view| view.server.as_ref()) else {
                continue;
            };
            if let Some(proven) = proof(server, moves) {
                moves
                    .group
                    .get_or_insert_default()
                    .put(snapshot, &Record::Server(proven));
            }
        }
    }

    fn finish(self) -> Plan {
        let mut plan = self.plan;
        plan.groups
            .extend(self.servers.into_values().filter_map(|moves| moves.group));
        plan
    }
}

/// A relay's word is not trusted to fit a record: one that doesn't would be refused, for ever.
fn storable(mut reason: String) -> String {
    reason.retain(|character| character != '\0');
    let mut end = reason.len().min(limits::REASON_BYTES);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason.truncate(end);
    reason
}

/// The server as it becomes; `None` where nothing changes.
fn proof(server: &Server, moves: &ServerMoves) -> Option<Server> {
    let proves = !server.proven && moves.ready.contains(&server.target.generation);
    let proven = server.proven || proves;
    let lets_go = proven
        && server
            .fallback
            .as_ref()
            .is_some_and(|fallback| !moves.alive.contains(&fallback.generation));
    (proves || lets_go).then(|| Server {
        proven,
        fallback: server.fallback.clone().filter(|_| !lets_go),
        ..server.clone()
    })
}

#[cfg(test)]
mod tests;
