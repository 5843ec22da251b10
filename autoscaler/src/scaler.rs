//! PURE. Every server that needs attention, with its history: one pass turns load and snapshot into
//! writes. A server without demand, replicas or a minimum is not kept and costs nothing.

use std::collections::HashMap;
use std::sync::Arc;

use fprs_config::{Key, Kind, Millis, Replica, ReplicaState, Revision, ServerView, Snapshot};

use crate::decide::{Decision, History};
use crate::demand::{Demand, Load};
use crate::plan::{self, Backoff, Situation};
use crate::write::Writes;

/// The servers that need attention.
#[derive(Debug, Default)]
pub(crate) struct Scaler {
    servers: HashMap<Arc<str>, Server>,
    indexed: Revision,
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
    pub(crate) writes: Writes,
}

impl Scaler {
    /// Whether the snapshot was not looked at yet by [`Self::index`].
    pub(crate) fn outdated(&self, snapshot: &Snapshot) -> bool {
        self.indexed != snapshot.revision()
    }

    /// Finds servers of a new snapshot that need attention without any demand. Costs a look at
    /// every server, so it is done once per snapshot.
    pub(crate) fn index(&mut self, snapshot: &Snapshot, now_ms: u64) {
        self.indexed = snapshot.revision();
        for (name, view) in snapshot.servers() {
            if needs_attention(view) && !self.servers.contains_key(name) {
                self.servers
                    .insert(Arc::clone(name), Server::new(view, now_ms));
            }
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
        let server = known.or_insert_with(|| Server::new(view, pass.now_ms));
        let current = plan::current(view);
        let decision = view.server.as_ref().map(|record| {
            server
                .history
                .decide(pass.now_ms, load, &record.scaling, current)
        });
        let wanted = decision.as_ref().map_or(0, |decision| decision.wanted);
        let acknowledged = |replica: &Replica| pass.acknowledged(replica);
        let situation = Situation {
            view,
            wanted,
            in_flight: &load.replicas,
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
            writes,
        })
    }
}

impl Pass<'_> {
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
    let mut replicas = view.replicas.values();
    match minimum {
        Some(minimum) => {
            minimum > 0 || replicas.any(|replica| replica.state != ReplicaState::Failed)
        }
        None => replicas.next().is_some(),
    }
}
