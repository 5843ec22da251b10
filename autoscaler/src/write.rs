//! PURE. Turns actions into the writes of a commit, each with the expectation that what it was
//! decided by is still so.

use std::sync::Arc;

use fprs_config::{
    Change, Expectation, Key, Kind, Millis, Record, Replica, ReplicaState, Revision, Snapshot,
};

use crate::plan::Action;

/// Characters of a replica id's random part: 40 bits, so that ids are never reused in practice.
const RANDOM: usize = 8;
const ALPHABET: [char; 32] = [
    'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p', 'q', 'r', 's',
    't', 'u', 'v', 'w', 'x', 'y', 'z', '2', '3', '4', '5', '6', '7',
];

/// Writes that go together, and what they expect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Writes {
    pub(crate) changes: Vec<Change>,
    pub(crate) expectations: Vec<Expectation>,
}

impl Writes {
    pub(crate) const fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Adds what carries out one action for one server. Replicas that are not in the snapshot are
    /// left alone.
    pub(crate) fn act(
        &mut self,
        snapshot: &Snapshot,
        server: &Arc<str>,
        action: &Action,
        now_unix_ms: Millis,
    ) {
        match action {
            Action::Request { generation, count } => {
                // A server that was changed meanwhile may not want them.
                let key = Key::new(Kind::Server, server);
                if !self.expectations.iter().any(|known| known.key == key) {
                    let revision = snapshot.written(&key);
                    self.expectations.push(Expectation { key, revision });
                }
                let spec = snapshot
                    .server(server)
                    .and_then(|view| view.server.as_ref());
                let egress: Arc<str> = spec.map_or("", |spec| &spec.egress).into();
                for _ in 0..*count {
                    let replica = requested(server, *generation, &egress, now_unix_ms);
                    self.put(replica, None);
                }
            }
            Action::Drain(ids) => self.set(snapshot, ids, ReplicaState::Draining, now_unix_ms),
            Action::Stop(ids) => self.set(snapshot, ids, ReplicaState::Stopping, now_unix_ms),
            Action::Delete(ids) => {
                for id in ids {
                    let key = Key::new(Kind::Replica, id);
                    let Some(revision) = snapshot.written(&key) else {
                        continue;
                    };
                    self.expectations.push(Expectation {
                        key: key.clone(),
                        revision: Some(revision),
                    });
                    self.changes.push(Change::delete(key));
                }
            }
        }
    }

    pub(crate) fn extend(&mut self, more: Self) {
        self.changes.extend(more.changes);
        self.expectations.extend(more.expectations);
    }

    fn set(
        &mut self,
        snapshot: &Snapshot,
        ids: &[Arc<str>],
        state: ReplicaState,
        now_unix_ms: Millis,
    ) {
        for id in ids {
            let written = snapshot.written(&Key::new(Kind::Replica, id));
            let (Some(replica), Some(revision)) = (snapshot.replica(id), written) else {
                continue;
            };
            let mut replica = Replica::clone(replica);
            replica.state = state;
            replica.since_unix_ms = now_unix_ms;
            self.put(replica, Some(revision));
        }
    }

    fn put(&mut self, replica: Replica, revision: Option<Revision>) {
        let record = Record::Replica(replica);
        self.expectations.push(Expectation {
            key: record.key(),
            revision,
        });
        self.changes.push(record.change());
    }
}

fn requested(
    server: &Arc<str>,
    generation: u64,
    egress: &Arc<str>,
    now_unix_ms: Millis,
) -> Replica {
    let random: String = (0..RANDOM)
        .filter_map(|_| fastrand::choice(ALPHABET))
        .collect();
    Replica {
        id: format!("{server}-{generation}-{random}").into(),
        server: Arc::clone(server),
        generation,
        state: ReplicaState::Requested,
        worker: None,
        address: None,
        since_unix_ms: now_unix_ms,
        reason: String::new(),
        startup_ms: 0,
        weight: 1,
        egress: Arc::clone(egress),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use fprs_config::{Batch, apply};

    use super::*;

    const SERVER: &str = "s";

    /// A snapshot of one replica, written at revision 7.
    fn snapshot(state: ReplicaState) -> Arc<Snapshot> {
        let mut replica = requested(&SERVER.into(), 1, &"".into(), 5);
        replica.id = "r".into();
        replica.state = state;
        let batch = Batch::new(Revision(7), vec![Record::Replica(replica).change()]);
        apply::apply(&Snapshot::default(), &batch).snapshot
    }

    fn writes(snapshot: &Snapshot, action: &Action) -> Writes {
        let mut writes = Writes::default();
        writes.act(snapshot, &SERVER.into(), action, 99);
        writes
    }

    fn expected(kind: Kind, name: &str, revision: Option<u64>) -> Expectation {
        Expectation {
            key: Key::new(kind, name),
            revision: revision.map(Revision),
        }
    }

    #[test]
    fn requested_replicas_have_ids_of_their_own_and_expect_the_server_unchanged() {
        let action = Action::Request {
            generation: 3,
            count: 20,
        };
        let writes = writes(&snapshot(ReplicaState::Ready), &action);
        let ids: HashSet<_> = writes
            .changes
            .iter()
            .map(|change| &change.key.name)
            .collect();
        assert_eq!(ids.len(), 20);
        assert!(
            ids.iter()
                .all(|id| id.starts_with("s-3-") && id.len() == 12)
        );
        assert_eq!(writes.expectations[0], expected(Kind::Server, SERVER, None));
        assert_eq!(writes.expectations.len(), 21);
        let decoded = writes.changes.iter().map(|change| {
            let value = change.value.as_ref().expect("a value");
            Record::decode(&change.key, value)
        });
        assert!(decoded.into_iter().all(|record| record.is_ok()));
    }

    #[test]
    fn a_drain_is_stamped_and_expects_the_replica_as_it_was_seen() {
        let action = Action::Drain(vec!["r".into()]);
        let writes = writes(&snapshot(ReplicaState::Requested), &action);
        assert_eq!(writes.expectations, [expected(Kind::Replica, "r", Some(7))]);
        let value = writes.changes[0].value.as_ref().expect("a value");
        let Ok(Record::Replica(replica)) = Record::decode(&writes.changes[0].key, value) else {
            panic!("not a replica");
        };
        assert_eq!(replica.state, ReplicaState::Draining);
        assert_eq!(replica.since_unix_ms, 99);
    }

    #[test]
    fn what_is_gone_already_is_left_alone() {
        let snapshot = Snapshot::default();
        let gone = || vec!["gone".into()];
        for action in [
            Action::Drain(gone()),
            Action::Stop(gone()),
            Action::Delete(gone()),
        ] {
            assert!(writes(&snapshot, &action).is_empty());
        }
    }
}
