//! PURE. Deletes that look like an accident: a large share of all servers at once, or of their last
//! ready replicas. They are held, which means refused by key until somebody confirms; a fleet grows
//! by many records at once, but it shrinks by few.

use std::collections::{BTreeMap, BTreeSet};

use crate::key::{Key, Kind};
use crate::limits;
use crate::record::ReplicaState;
use crate::snapshot::Snapshot;
use crate::store::Batch;

/// Deletes that are not applied, and why.
#[derive(Debug, Default)]
pub(super) struct Held<'a>(BTreeMap<&'a Key, &'static str>);

const SERVERS: &str = "held: its commit deletes more servers at once than is likely to be meant; if \
                       it is, confirm with POST /v1/config/confirm";
const REPLICAS: &str = "held: its commit deletes the last ready replicas of more servers at once \
                        than is likely to be meant; if it is, confirm with POST /v1/config/confirm";

impl<'a> Held<'a> {
    /// What of that batch is held. Costs what is in it.
    pub(super) fn of(current: &Snapshot, batch: &'a Batch) -> Self {
        let allowed = allowed(current);
        let mut held = BTreeMap::new();
        let servers = deleted(batch, Kind::Server)
            .filter(|key| current.written(key).is_some())
            .collect::<Vec<_>>();
        if servers.len() > allowed {
            held.extend(servers.into_iter().map(|key| (key, SERVERS)));
        }
        let (emptied, replicas) = emptied(current, batch);
        if emptied > allowed {
            held.extend(replicas.into_iter().map(|key| (key, REPLICAS)));
        }
        Self(held)
    }

    /// Why that delete is held, if it is.
    pub(super) fn reason(&self, key: &Key) -> Option<String> {
        self.0.get(key).map(ToString::to_string)
    }
}

/// Why a new snapshot is held that would take the place of `current`: it lacks too many servers.
/// Costs every server.
pub(crate) fn held_snapshot(current: &Snapshot, next: &Snapshot) -> Option<String> {
    let lacking = current
        .servers()
        .filter(|(_, view)| view.server.is_some())
        .filter(|(name, _)| next.server(name).is_none_or(|view| view.server.is_none()))
        .count();
    (lacking > allowed(current)).then(|| {
        format!(
            "it is held: it lacks {lacking} of the {} servers in force; if that is meant, confirm \
             with POST /v1/config/confirm",
            current.servers().count()
        )
    })
}

/// Servers that may go at once.
fn allowed(current: &Snapshot) -> usize {
    let share = current.servers.len() / limits::GUARD_SHARE;
    share.max(limits::GUARD_SERVERS)
}

/// How many servers the batch leaves without a ready replica by deleting, and those deletes.
fn emptied<'a>(current: &Snapshot, batch: &'a Batch) -> (usize, Vec<&'a Key>) {
    let deleted: BTreeSet<&Key> = deleted(batch, Kind::Replica).collect();
    if deleted.len() <= limits::GUARD_SERVERS {
        return (0, Vec::new());
    }
    let mut of: BTreeMap<&str, Vec<&Key>> = BTreeMap::new();
    for key in &deleted {
        if let Some(replica) = current.replica(&key.name)
            && replica.state == ReplicaState::Ready
        {
            let server = current.homes.get(&key.name);
            if let Some(server) = server {
                of.entry(server).or_default().push(key);
            }
        }
    }
    of.retain(|server, keys| {
        current.server(server).is_some_and(|view| {
            let ready = view
                .replicas()
                .filter(|replica| replica.state == ReplicaState::Ready);
            // One that was not there before would be a put of this batch: not an accident.
            view.server.is_some() && ready.count() == keys.len()
        })
    });
    (of.len(), of.into_values().flatten().collect())
}

fn deleted(batch: &Batch, kind: Kind) -> impl Iterator<Item = &Key> {
    batch
        .changes
        .iter()
        .filter(move |change| change.value.is_none() && *change.key.kind == *kind.name())
        .map(|change| &change.key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::{apply, load};
    use crate::store::Change;
    use crate::testing::{batch, contents_after, replica, server};

    /// Servers s0… with one ready replica each.
    fn filled(servers: usize) -> std::sync::Arc<Snapshot> {
        let changes = (0..servers).flat_map(|n| {
            let name = format!("s{n}");
            let replica = replica(&format!("r{n}"), &name, ReplicaState::Ready);
            [server(&name).change(), replica.change()]
        });
        load(&contents_after(&[batch(1, changes.collect())])).snapshot
    }

    fn deletes(kind: Kind, prefix: &str, count: usize) -> Vec<Change> {
        let key = |n| Key::new(kind, &format!("{prefix}{n}"));
        (0..count).map(|n| Change::delete(key(n))).collect()
    }

    #[test]
    fn a_fifth_of_all_servers_may_go_at_once_and_ten_always() {
        for (servers, allowed) in [(12, 10), (100, 20)] {
            let current = filled(servers);
            let meant = batch(2, deletes(Kind::Server, "s", allowed));
            assert_eq!(apply(&current, &meant).refused, []);
            let mut changes = deletes(Kind::Server, "s", allowed + 1);
            changes.push(server("new").change());
            let applied = apply(&current, &batch(2, changes));
            assert_eq!(applied.refused.len(), allowed + 1);
            assert!(applied.refused[0].reason.contains("/v1/config/confirm"));
            assert!(applied.snapshot.server("new").is_some(), "the rest applies");
            assert!(applied.snapshot.server("s0").unwrap().server.is_some());
        }
    }

    #[test]
    fn the_last_ready_replicas_of_many_servers_do_not_go_at_once() {
        let current = filled(30);
        let meant = batch(2, deletes(Kind::Replica, "r", 10));
        assert_eq!(apply(&current, &meant).refused, []);
        let accident = batch(2, deletes(Kind::Replica, "r", 30));
        let applied = apply(&current, &accident);
        assert_eq!(applied.refused.len(), 30);
        assert!(applied.snapshot.replica("r7").is_some());
        // Deleted with their servers they are meant, as far as those are.
        let draining = (0..30).map(|n| {
            let draining = replica(&format!("r{n}"), &format!("s{n}"), ReplicaState::Draining);
            draining.change()
        });
        let drained = apply(&current, &batch(2, draining.collect())).snapshot;
        let gone = apply(&drained, &batch(3, deletes(Kind::Replica, "r", 30)));
        assert_eq!(gone.refused, [], "what drains may go");
    }

    #[test]
    fn a_snapshot_that_lacks_too_much_is_held() {
        let current = filled(100);
        assert!(held_snapshot(&current, &filled(80)).is_none());
        let reason = held_snapshot(&current, &filled(79)).unwrap();
        assert!(reason.contains("lacks 21 of the 100 servers"), "{reason}");
        assert!(held_snapshot(&Snapshot::default(), &current).is_none());
    }
}
