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
                for _ in 0..*count {
                    let replica = requested(server, *generation, now_unix_ms);
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

fn requested(server: &Arc<str>, generation: u64, now_unix_ms: Millis) -> Replica {
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
    }
}
