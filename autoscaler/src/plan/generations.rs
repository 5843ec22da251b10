//! PURE. A server's replicas that serve or will, by generation, in the order in which they would be
//! given up: requested, starting, then ready from the least to the most loaded.

use std::collections::HashMap;
use std::sync::Arc;

use fprs_config::{Replica, ReplicaState, Server, ServerView};

/// Replicas of one or more generations.
#[derive(Debug, Default)]
pub(super) struct Pool<'a> {
    requested: Vec<&'a Replica>,
    starting: Vec<&'a Replica>,
    ready: Vec<&'a Replica>,
}

/// A server's replicas by what their generation is to it.
#[derive(Debug, Default)]
pub(super) struct Generations<'a> {
    /// What users deployed last.
    pub(super) target: Pool<'a>,
    /// What serves until the target has proven itself.
    pub(super) fallback: Pool<'a>,
    /// Everything else, and what is on workers that drain: to be replaced, never to be started.
    pub(super) old: Pool<'a>,
    /// Some of `old` is on workers that drain.
    pub(super) leaving: bool,
}

/// What is given up of a pool.
#[derive(Debug, Default)]
pub(super) struct GivenUp {
    /// Not started yet.
    pub(super) delete: Vec<Arc<str>>,
    /// Running.
    pub(super) drain: Vec<Arc<str>>,
}

impl<'a> Generations<'a> {
    pub(super) fn of(
        view: &'a ServerView,
        server: &Server,
        in_flight: &HashMap<Arc<str>, u64>,
        leaving: &dyn Fn(&Replica) -> bool,
    ) -> Self {
        let mut generations = Self::default();
        let fallback = fallback(server);
        for replica in view.replicas() {
            let pool = if leaving(replica) {
                generations.leaving = true;
                &mut generations.old
            } else if replica.generation == server.target.generation {
                &mut generations.target
            } else if Some(replica.generation) == fallback {
                &mut generations.fallback
            } else {
                &mut generations.old
            };
            pool.add(replica);
        }
        generations.target.sort(in_flight);
        generations.fallback.sort(in_flight);
        generations.old.sort(in_flight);
        generations
    }
}

/// The generation that serves until the target has proven itself.
pub(super) fn fallback(server: &Server) -> Option<u64> {
    let fallback = server.fallback.as_ref().filter(|_| !server.proven);
    fallback.map(|version| version.generation)
}

impl<'a> Pool<'a> {
    pub(super) fn add(&mut self, replica: &'a Replica) {
        match replica.state {
            ReplicaState::Requested => self.requested.push(replica),
            ReplicaState::Starting => self.starting.push(replica),
            ReplicaState::Ready => self.ready.push(replica),
            ReplicaState::Draining | ReplicaState::Stopping | ReplicaState::Failed => {}
        }
    }

    /// Requested, starting and ready.
    pub(super) const fn total(&self) -> usize {
        self.requested.len() + self.starting.len() + self.ready.len()
    }

    /// Starting and ready: those that occupy a worker.
    pub(super) const fn running(&self) -> usize {
        self.starting.len() + self.ready.len()
    }

    pub(super) const fn ready(&self) -> usize {
        self.ready.len()
    }

    pub(super) const fn starting(&self) -> usize {
        self.starting.len()
    }

    /// Replicas that control has not placed yet.
    pub(super) fn requested(&self) -> impl Iterator<Item = &'a Replica> {
        self.requested.iter().copied()
    }

    /// Gives up all but `keep`.
    pub(super) fn shrink(&self, keep: usize) -> GivenUp {
        let mut surplus = self.total().saturating_sub(keep);
        let mut take = |replicas: &[&Replica]| -> Vec<Arc<str>> {
            let taken = surplus.min(replicas.len());
            surplus -= taken;
            ids(replicas.iter().take(taken))
        };
        let delete = take(&self.requested);
        let mut drain = take(&self.starting);
        drain.extend(take(&self.ready));
        GivenUp { delete, drain }
    }

    /// Gives up all that is not ready, and of what is ready all but `keep`.
    pub(super) fn retire(&self, keep: usize) -> GivenUp {
        let surplus = self.ready.len().saturating_sub(keep);
        let mut drain = ids(self.starting.iter());
        drain.extend(ids(self.ready.iter().take(surplus)));
        GivenUp {
            delete: ids(self.requested.iter()),
            drain,
        }
    }

    /// Ids break ties, so that the same world has the same plan.
    fn sort(&mut self, in_flight: &HashMap<Arc<str>, u64>) {
        let load = |replica: &&Replica| in_flight.get(&replica.id).copied().unwrap_or(0);
        self.ready
            .sort_by(|a, b| load(a).cmp(&load(b)).then_with(|| a.id.cmp(&b.id)));
    }
}

fn ids<'r>(replicas: impl Iterator<Item = &'r &'r Replica>) -> Vec<Arc<str>> {
    replicas.map(|replica| Arc::clone(&replica.id)).collect()
}
