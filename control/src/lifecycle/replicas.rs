//! PURE. Replicas on their way: those asked for are placed and started, those placed move on by what
//! their relays say.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use fprs_config::{
    MadeFor, Record, Replica, ReplicaState, Server, Snapshot, Version, Worker, limits,
};

use super::servers::Servers;
use super::step::{Standing, Step, step};
use super::{Now, Order, Plan};
use crate::commit::Note;
use crate::fleet::{Fleet, Member, Phase};
use crate::place::Seats;

/// Adds the moves of every replica, but for those of workers in `whole`: they were decided on with
/// their worker.
pub(super) fn plan(
    snapshot: &Snapshot,
    fleet: &Fleet,
    lease: Duration,
    now: Now,
    whole: &BTreeSet<Arc<str>>,
    plan: &mut Plan,
) {
    let settled = fleet
        .members()
        .filter(|(id, member)| member.settled(snapshot.worker(id)).is_some())
        .map(|(id, member)| (&**id, member))
        .collect();
    let mut planner = Planner {
        snapshot,
        fleet,
        settled,
        lease,
        now,
        plan,
        servers: Servers::default(),
    };
    let mut requested = Vec::new();
    for replica in snapshot.replicas() {
        let worker = replica.worker.as_ref();
        if worker.is_some_and(|worker| whole.contains(worker)) {
            planner.servers.tally(snapshot, replica);
        } else if replica.state == ReplicaState::Requested {
            planner.servers.tally(snapshot, replica);
            requested.push(replica);
        } else {
            planner.move_on(replica);
        }
    }
    requested.sort_by_key(|replica| (replica.since_unix_ms, Arc::clone(&replica.id)));
    planner.start(&requested);
    let groups = planner.servers.into_groups(snapshot);
    plan.groups.extend(groups);
}

struct Planner<'a> {
    snapshot: &'a Snapshot,
    fleet: &'a Fleet,
    /// Workers whose word counts, looked up once for all their replicas.
    settled: HashMap<&'a str, &'a Member>,
    lease: Duration,
    now: Now,
    plan: &'a mut Plan,
    servers: Servers,
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

impl<'a> Planner<'a> {
    /// A replica that was placed: what its relay says of it decides.
    fn move_on(&mut self, replica: &Arc<Replica>) {
        let standing = self.standing(replica);
        match step(replica.state, &standing) {
            Step::Keep => self.servers.tally(self.snapshot, replica),
            Step::Delete => self.delete(replica),
            Step::Stop => {
                self.servers.tally(self.snapshot, replica);
                if let Some(worker) = replica.worker.as_ref().filter(|_| self.plan.has_room()) {
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
        let worker = replica.worker.as_deref().unwrap_or_default();
        match self.settled.get(worker) {
            Some(member) => match member.running.get(&*replica.id) {
                Some(running) => Standing::Runs(running),
                None => Standing::Lost,
            },
            None => match self.fleet.member(worker) {
                Some(member) => member
                    .last_word(self.snapshot.worker(worker), &replica.id)
                    .map_or(Standing::Away, Standing::Runs),
                None => Standing::Gone,
            },
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
            if !self.plan.has_room() {
                continue;
            }
            let Some((server, version)) = self.program(replica) else {
                continue; // its version is gone; the autoscaler takes the wish back
            };
            let pod = (!version.image.is_empty()).then(|| MadeFor {
                server: Arc::clone(&replica.server),
                generation: version.generation,
            });
            let region = &server.compute_region;
            match seats.place(&replica.id, &replica.server, region, pod.as_ref()) {
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
        } else if self.settled.contains_key(&**id) {
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
        if placed.egress.is_empty() {
            placed.egress = offer.egress.as_str().into();
        }
        match phase {
            Phase::Starting => {
                placed.state = ReplicaState::Starting;
                self.put(placed);
            }
            Phase::Ready { startup_ms } => self.become_ready(placed, startup_ms),
            Phase::Failed { reason } => self.fail(placed, reason),
            Phase::Stopped => self.delete(&placed),
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
        self.servers.note(&replica.server, note);
        self.put(replica);
    }

    fn delete(&mut self, replica: &Replica) {
        self.spend(replica);
        self.servers.delete(self.snapshot, replica);
    }

    /// A pod runs one replica in its life: the end of that is in its record, so that nothing else is
    /// placed on it and whoever made the pod takes it away.
    fn spend(&mut self, replica: &Replica) {
        let worker = replica.worker.as_deref();
        let worker = worker.and_then(|worker| self.snapshot.worker(worker));
        if let Some(worker) = worker
            && worker.made_for.is_some()
            && !worker.draining
        {
            let spent = Worker {
                draining: true,
                ..Worker::clone(worker)
            };
            let record = Record::Worker(spent);
            self.servers.write(self.snapshot, &replica.server, &record);
        }
    }

    fn fail(&mut self, mut replica: Replica, reason: String) {
        self.spend(&replica);
        replica.state = ReplicaState::Failed;
        replica.reason = storable(reason);
        let note = Note::Failed {
            replica: Arc::clone(&replica.id),
            server: Arc::clone(&replica.server),
            reason: replica.reason.clone(),
        };
        self.servers.note(&replica.server, note);
        self.put(replica);
    }

    fn put(&mut self, mut replica: Replica) {
        replica.since_unix_ms = self.now.unix_ms;
        self.servers.put(self.snapshot, replica);
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
