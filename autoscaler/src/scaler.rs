//! PURE. Every server that needs attention, with its history: one pass turns load and snapshot into
//! writes. A server without demand, replicas or a minimum is not kept and costs nothing.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use fprs_config::{Key, Kind, Millis, Replica, ReplicaState, ServerView, Snapshot};

use crate::changed::Changed;
use crate::decide::{Decision, History};
use crate::demand::{Demand, Load};
use crate::plan::{self, Backoff, Situation};
use crate::write::Writes;

/// The servers that need attention.
#[derive(Debug, Default)]
pub(crate) struct Scaler {
    servers: HashMap<Arc<str>, Server>,
}

#[derive(Debug)]
struct Server {
    history: History,
    backoff: Backoff,
}

/// What one pass sees.
pub(crate) struct Pass<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) demand: &'a Demand,
    /// Every live proxy had the time to report, so that what none of them objects to is so.
    pub(crate) settled: bool,
    /// Monotonic.
    pub(crate) now_ms: u64,
    pub(crate) now_unix_ms: Millis,
}

/// What became of one server in a pass.
pub(crate) struct Outcome {
    pub(crate) server: Arc<str>,
    /// `None` for a deleted server, which is not decided about.
    pub(crate) decision: Option<Decision>,
    /// Nothing was known of it before.
    pub(crate) fresh: bool,
    pub(crate) writes: Writes,
}

impl Scaler {
    /// Keeps the changed servers that need attention without any demand.
    pub(crate) fn index(&mut self, snapshot: &Snapshot, changed: &Changed, now_ms: u64) {
        match changed {
            Changed::All => snapshot
                .servers()
                .for_each(|(name, view)| self.keep(name, view, now_ms)),
            Changed::Servers(names) => names
                .iter()
                .filter_map(|name| Some((name, snapshot.server(name)?)))
                .for_each(|(name, view)| self.keep(name, view, now_ms)),
        }
    }

    /// What decisions about a server know of its past.
    pub(crate) fn history(&self, name: &str) -> Option<&History> {
        self.servers.get(name).map(|server| &server.history)
    }

    fn keep(&mut self, name: &Arc<str>, view: &ServerView, now_ms: u64) {
        if needs_attention(view) && !self.servers.contains_key(name) {
            self.servers
                .insert(Arc::clone(name), Server::new(view, now_ms));
        }
    }

    /// Closes a tick: considers every server with demand or kept from before.
    pub(crate) fn tick(
        &mut self,
        pass: &Pass<'_>,
        loads: &HashMap<Arc<str>, Load>,
    ) -> Vec<Outcome> {
        let idle = Load::default();
        let mut names: Vec<Arc<str>> = self.servers.keys().map(Arc::clone).collect();
        let new = loads
            .keys()
            .filter(|name| !self.servers.contains_key(*name));
        names.extend(new.map(Arc::clone));
        names
            .iter()
            .filter_map(|name| self.consider(pass, name, loads.get(name).unwrap_or(&idle)))
            .collect()
    }

    /// Considers a server that has unserved demand and no replica, between ticks. A server that has
    /// one can wait for the tick.
    pub(crate) fn rush(&mut self, pass: &Pass<'_>, name: &Arc<str>) -> Option<Outcome> {
        let view = pass.snapshot.server(name)?;
        if plan::current(view) > 0 {
            return None;
        }
        self.consider(pass, name, &pass.demand.unserved(name))
    }

    fn consider(&mut self, pass: &Pass<'_>, name: &Arc<str>, load: &Load) -> Option<Outcome> {
        let Some(view) = pass.snapshot.server(name) else {
            self.servers.remove(name);
            return None;
        };
        let known = self.servers.entry(Arc::clone(name));
        let fresh = matches!(known, Entry::Vacant(_));
        let server = known.or_insert_with(|| Server::new(view, pass.now_ms));
        let current = plan::current(view);
        let decision = view.server.as_ref().map(|record| {
            server
                .history
                .decide(pass.now_ms, load, &record.scaling, current)
        });
        let wanted = decision.as_ref().map_or(0, |decision| decision.wanted);
        let acknowledged = |replica: &Replica| pass.acknowledged(replica);
        let leaving = |replica: &Replica| pass.leaving(replica);
        let situation = Situation {
            view,
            wanted,
            in_flight: &load.replicas,
            leaving: &leaving,
            acknowledged: &acknowledged,
            now_unix_ms: pass.now_unix_ms,
        };
        let mut writes = Writes::default();
        for action in plan::plan(&situation, &mut server.backoff) {
            writes.act(pass.snapshot, name, &action, pass.now_unix_ms);
        }
        if wanted == 0 && writes.is_empty() && !needs_attention(view) {
            self.servers.remove(name);
        }
        Some(Outcome {
            server: Arc::clone(name),
            decision,
            fresh,
            writes,
        })
    }
}

impl Pass<'_> {
    /// It is on a worker that drains.
    fn leaving(&self, replica: &Replica) -> bool {
        let worker = replica.worker.as_deref();
        let worker = worker.and_then(|worker| self.snapshot.worker(worker));
        worker.is_some_and(|worker| worker.draining)
    }

    /// Every live proxy routes by the commit that made it drain.
    fn acknowledged(&self, replica: &Replica) -> bool {
        let key = Key::new(Kind::Replica, &replica.id);
        let written = self.snapshot.written(&key);
        self.settled && written.is_some_and(|revision| self.demand.applied(revision))
    }
}

impl Server {
    fn new(view: &ServerView, now_ms: u64) -> Self {
        Self {
            history: History::new(now_ms, plan::current(view)),
            backoff: Backoff::default(),
        }
    }
}

/// Whether a server must be looked at even if nobody asks for it.
fn needs_attention(view: &ServerView) -> bool {
    let minimum = view
        .server
        .as_ref()
        .map(|server| server.scaling.min_replicas);
    let mut replicas = view.replicas();
    match minimum {
        Some(minimum) => {
            minimum > 0 || replicas.any(|replica| replica.state != ReplicaState::Failed)
        }
        None => replicas.next().is_some(),
    }
}

#[cfg(test)]
mod tests {
    use fprs_config::{Batch, Change, Record, Revision, apply};

    use super::*;
    use crate::plan::tests::{replica, server};

    /// Servers `s0`, `s1`, … with that minimum, and the replicas of `s0`.
    fn snapshot(servers: usize, minimum: u32, replicas: Vec<Replica>) -> Arc<Snapshot> {
        let mut changes: Vec<Change> = (0..servers)
            .map(|number| {
                let mut record = fprs_config::Server::clone(&server(1, true, None));
                record.name = format!("s{number}").into();
                record.scaling.min_replicas = minimum;
                Record::Server(record).change()
            })
            .collect();
        for mut replica in replicas {
            replica.server = "s0".into();
            changes.push(Record::Replica(replica).change());
        }
        let batch = Batch::new(Revision(1), changes);
        apply::apply(&Snapshot::default(), &batch).snapshot
    }

    fn tick(
        scaler: &mut Scaler,
        snapshot: &Snapshot,
        loads: &HashMap<Arc<str>, Load>,
    ) -> Vec<Outcome> {
        let demand = Demand::default();
        let pass = pass(snapshot, &demand);
        scaler.tick(&pass, loads)
    }

    fn pass<'a>(snapshot: &'a Snapshot, demand: &'a Demand) -> Pass<'a> {
        Pass {
            snapshot,
            demand,
            settled: true,
            now_ms: 0,
            now_unix_ms: 1_000_000_000,
        }
    }

    fn unserved() -> Load {
        Load {
            unserved: 1,
            ..Load::default()
        }
    }

    #[test]
    fn ten_thousand_idle_servers_are_not_even_looked_at_by_a_tick() {
        let mut failed = replica("f", 1, ReplicaState::Failed);
        failed.since_unix_ms = 1;
        let snapshot = snapshot(10_000, 0, vec![failed]);
        let mut scaler = Scaler::default();
        scaler.index(&snapshot, &Changed::All, 0);
        assert!(scaler.servers.is_empty());
        let loads = HashMap::from([("s7".into(), unserved())]);
        let outcomes = tick(&mut scaler, &snapshot, &loads);
        assert_eq!(outcomes.len(), 1);
        assert_eq!(outcomes[0].writes.changes.len(), 1);
    }

    #[test]
    fn servers_with_a_minimum_or_replicas_are_kept_once_they_changed() {
        let ready = || vec![replica("r", 1, ReplicaState::Ready)];
        let mut scaler = Scaler::default();
        scaler.index(&snapshot(3, 1, ready()), &Changed::All, 0);
        assert_eq!(scaler.servers.len(), 3);
        let mut scaler = Scaler::default();
        scaler.index(&snapshot(3, 0, ready()), &Changed::All, 0);
        assert!(scaler.servers.contains_key("s0") && scaler.servers.len() == 1);
        let mut scaler = Scaler::default();
        let one = Changed::Servers(["s1".into(), "gone".into()].into());
        scaler.index(&snapshot(3, 1, ready()), &one, 0);
        assert!(scaler.servers.contains_key("s1") && scaler.servers.len() == 1);
    }

    #[test]
    fn a_server_that_came_to_rest_is_let_go() {
        let snapshot = snapshot(1, 0, Vec::new());
        let mut scaler = Scaler::default();
        let loads = HashMap::from([("s0".into(), unserved())]);
        tick(&mut scaler, &snapshot, &loads);
        assert_eq!(scaler.servers.len(), 1, "its demand is held");
        let demand = Demand::default();
        let later = Pass {
            now_ms: 3_600_000,
            ..pass(&snapshot, &demand)
        };
        scaler.tick(&later, &HashMap::new());
        assert!(scaler.servers.is_empty());
    }

    #[test]
    fn a_rush_is_only_for_servers_without_a_replica() {
        let demand = Demand::default();
        let mut scaler = Scaler::default();
        let starting = snapshot(1, 0, vec![replica("r", 1, ReplicaState::Starting)]);
        assert!(
            scaler
                .rush(&pass(&starting, &demand), &"s0".into())
                .is_none()
        );
        assert!(
            scaler
                .rush(&pass(&starting, &demand), &"unknown".into())
                .is_none()
        );
        let draining = snapshot(1, 0, vec![replica("r", 1, ReplicaState::Draining)]);
        assert!(
            scaler
                .rush(&pass(&draining, &demand), &"s0".into())
                .is_some()
        );
    }

    #[test]
    fn a_draining_replica_is_not_stopped_before_the_holder_has_settled() {
        let mut draining = replica("r", 1, ReplicaState::Draining);
        draining.since_unix_ms = 1_000_000_000;
        let snapshot = snapshot(1, 0, vec![draining]);
        let demand = Demand::default();
        let mut scaler = Scaler::default();
        scaler.index(&snapshot, &Changed::All, 0);
        let unsettled = Pass {
            settled: false,
            ..pass(&snapshot, &demand)
        };
        assert!(
            scaler.tick(&unsettled, &HashMap::new())[0]
                .writes
                .is_empty()
        );
        let outcomes = scaler.tick(&pass(&snapshot, &demand), &HashMap::new());
        assert_eq!(outcomes[0].writes.changes.len(), 1);
    }
}
