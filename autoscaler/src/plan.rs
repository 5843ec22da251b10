//! PURE. What to do about a server's replicas, given how many are wanted: request, drain, stop,
//! delete.
//!
//! A deploy replaces replicas one for one: those of the new generation are requested as surge, an
//! old one drains when a new one is ready. Until the target has proven itself the fallback serves
//! and is scaled. Replicas on a worker that drains are replaced in the same way. No plan drops the
//! last ready replica while its replacement is not ready, unless none is wanted.

mod backoff;
mod generations;

use std::collections::HashMap;
use std::sync::Arc;

use fprs_config::{Millis, Replica, ReplicaState, Server, ServerView};

pub use self::backoff::Backoff;
use self::generations::{Generations, GivenUp, Pool, fallback};

/// Failed records that are kept for users to see, the newest ones, per server.
const FAILED_KEPT: usize = 3;

/// A draining replica is stopped after this long even if a proxy has not acknowledged it: that
/// proxy hangs, and the relay still waits for what is in flight.
const ACKNOWLEDGE_LIMIT_MS: Millis = 5_000;

/// New replicas that control found no place for in this long wait for an old one to make room.
const SURGE_PATIENCE_MS: Millis = 10_000;

/// The same where each needs a pod of its own: a node may have to come, and an image be pulled, before
/// there is a place.
const POD_PATIENCE_MS: Millis = 180_000;

/// Everything a plan is made of.
pub struct Situation<'a> {
    /// The server and its replicas.
    pub view: &'a ServerView,
    /// How many replicas it should have.
    pub wanted: u32,
    /// Exchanges in flight by replica.
    pub in_flight: &'a HashMap<Arc<str>, u64>,
    /// Whether this replica is on a worker that drains: it serves until another one does.
    pub leaving: &'a dyn Fn(&Replica) -> bool,
    /// Whether every live proxy knows that this replica drains.
    pub acknowledged: &'a dyn Fn(&Replica) -> bool,
    /// The wall clock, which records are stamped by.
    pub now_unix_ms: Millis,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// New replicas of that generation.
    Request {
        /// Of the server's target or fallback.
        generation: u64,
        /// How many.
        count: usize,
    },
    /// Send these nothing new.
    Drain(Vec<Arc<str>>),
    /// Every live proxy knows that these drain: let them end.
    Stop(Vec<Arc<str>>),
    /// Requested and no longer wanted, or failed and old.
    Delete(Vec<Arc<str>>),
}

/// Replicas the server has, for its decisions: in the middle of a deploy, those of the generation
/// that has more of them.
pub fn current(view: &ServerView) -> u32 {
    let (mut target, mut others) = (Pool::default(), Pool::default());
    let generation = view.server.as_ref().map(|server| server.target.generation);
    for replica in view.replicas() {
        if Some(replica.generation) == generation {
            target.add(replica);
        } else {
            others.add(replica);
        }
    }
    u32::try_from(target.total().max(others.total())).unwrap_or(u32::MAX)
}

/// What to do now. The same situation has the same plan.
pub fn plan(situation: &Situation<'_>, backoff: &mut Backoff) -> Vec<Action> {
    backoff.observe(situation.view, situation.now_unix_ms);
    let mut steps = Steps {
        stop: situation.drained(),
        ..Steps::default()
    };
    steps.given_up.delete = old_failures(situation.view);
    match &situation.view.server {
        Some(server) => scale(situation, server, backoff, &mut steps),
        None => steps.give_up(everything(situation.view)),
    }
    steps.into_actions()
}

#[derive(Debug, Default)]
struct Steps {
    requests: Vec<(u64, usize)>,
    given_up: GivenUp,
    stop: Vec<Arc<str>>,
}

fn scale(situation: &Situation<'_>, server: &Server, backoff: &Backoff, steps: &mut Steps) {
    let generations = Generations::of(
        situation.view,
        server,
        situation.in_flight,
        situation.leaving,
    );
    let wanted = usize::try_from(situation.wanted).unwrap_or(usize::MAX);
    let generation = server.target.generation;
    let Generations {
        target,
        fallback: reserve,
        old,
        ..
    } = &generations;

    // One at a time while starts fail: more would fail alike.
    let failing = target.ready() == 0 && backoff.failing(generation, situation.now_unix_ms);
    let goal = if failing { wanted.min(1) } else { wanted };
    if backoff.allows(generation, situation.now_unix_ms) {
        steps.request(generation, goal.saturating_sub(target.total()));
    }
    steps.give_up(target.shrink(wanted));

    let crowded = crowded(situation, server, target);
    let gives_way = crowded && gives_way(situation, &generations);
    let mut rest = wanted.saturating_sub(target.ready());
    if let Some(generation) = fallback(server) {
        let serves = reserve.total() > 0 || backoff.failed(server.target.generation);
        if serves && !crowded && backoff.allows(generation, situation.now_unix_ms) {
            steps.request(generation, rest.saturating_sub(reserve.total()));
        }
        let keep = if crowded {
            rest.min(reserve.running())
        } else {
            rest
        };
        let room = usize::from(gives_way && old.ready() == 0 && reserve.ready() <= rest);
        steps.give_up(reserve.shrink(keep.saturating_sub(room)));
        rest = rest.saturating_sub(reserve.ready());
    }
    let room = usize::from(gives_way && old.ready() <= rest);
    steps.give_up(old.retire(rest.min(old.ready()).saturating_sub(room)));
}

/// New replicas have been waiting for a place: every worker is full.
fn crowded(situation: &Situation<'_>, server: &Server, target: &Pool<'_>) -> bool {
    let patience = match server.target.image.as_str() {
        "" => SURGE_PATIENCE_MS,
        _ => POD_PATIENCE_MS,
    };
    let waited = |replica: &Replica| situation.now_unix_ms.saturating_sub(replica.since_unix_ms);
    target
        .requested()
        .any(|replica| waited(replica) >= patience)
}

/// Whether a ready replica of an older generation makes room for a new one: one at a time, and never
/// the last of all.
fn gives_way(situation: &Situation<'_>, generations: &Generations<'_>) -> bool {
    let ending = situation.view.replicas().any(|replica| {
        matches!(
            replica.state,
            ReplicaState::Draining | ReplicaState::Stopping
        )
    });
    let pools = [&generations.target, &generations.fallback, &generations.old];
    let starting: usize = pools.iter().map(|pool| pool.starting()).sum();
    let ready: usize = pools.iter().map(|pool| pool.ready()).sum();
    // What a worker that drains gives up makes no room for anything.
    !generations.leaving && !ending && starting == 0 && ready > 1
}

impl Situation<'_> {
    /// Draining replicas that may be stopped.
    fn drained(&self) -> Vec<Arc<str>> {
        let draining = self.view.replicas();
        draining
            .filter(|replica| replica.state == ReplicaState::Draining)
            .filter(|replica| {
                let age_ms = self.now_unix_ms.abs_diff(replica.since_unix_ms);
                age_ms >= ACKNOWLEDGE_LIMIT_MS || (self.acknowledged)(replica)
            })
            .map(|replica| Arc::clone(&replica.id))
            .collect()
    }
}

/// Failed records beyond the newest few; all of them once the server is deleted.
fn old_failures(view: &ServerView) -> Vec<Arc<str>> {
    let kept = if view.server.is_some() {
        FAILED_KEPT
    } else {
        0
    };
    let mut failed: Vec<_> = view
        .replicas()
        .filter(|replica| replica.state == ReplicaState::Failed)
        .collect();
    failed.sort_by_key(|replica| std::cmp::Reverse(replica.since_unix_ms));
    let old = failed.into_iter().skip(kept);
    old.map(|replica| Arc::clone(&replica.id)).collect()
}

/// The server is deleted.
fn everything(view: &ServerView) -> GivenUp {
    let mut pool = Pool::default();
    view.replicas().for_each(|replica| pool.add(replica));
    pool.retire(0)
}

impl Steps {
    fn request(&mut self, generation: u64, count: usize) {
        if count > 0 {
            self.requests.push((generation, count));
        }
    }

    fn give_up(&mut self, more: GivenUp) {
        self.given_up.delete.extend(more.delete);
        self.given_up.drain.extend(more.drain);
    }

    fn into_actions(self) -> Vec<Action> {
        let requests = self.requests.into_iter();
        let requests = requests.map(|(generation, count)| Action::Request { generation, count });
        let others = [
            (!self.given_up.drain.is_empty()).then_some(Action::Drain(self.given_up.drain)),
            (!self.stop.is_empty()).then_some(Action::Stop(self.stop)),
            (!self.given_up.delete.is_empty()).then_some(Action::Delete(self.given_up.delete)),
        ];
        requests.chain(others.into_iter().flatten()).collect()
    }
}

impl std::fmt::Debug for Situation<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Situation")
            .field("view", &self.view)
            .field("wanted", &self.wanted)
            .field("now_unix_ms", &self.now_unix_ms)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests;
