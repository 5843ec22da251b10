//! PURE. What one plan writes of each server: its replicas, and with them, in the same group, what
//! they prove. A version is proven by its first ready replica; the one before is let go when the
//! last of its replicas is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fprs_config::{Key, Kind, Record, Replica, ReplicaState, Server, Snapshot};

use crate::commit::{Group, Note};

/// The servers that have replicas, and what happens to those.
#[derive(Debug, Default)]
pub(super) struct Servers {
    moves: BTreeMap<Arc<str>, Moves>,
}

/// What happens to one server's replicas in this plan.
#[derive(Debug, Default)]
struct Moves {
    group: Group,
    /// Generations with a ready replica, after this plan.
    ready: BTreeSet<u64>,
    /// Generations with any replica that has not failed, after this plan.
    alive: BTreeSet<u64>,
}

impl Servers {
    /// Counts a replica as it will be after this plan, where that can prove anything.
    pub(super) fn tally(&mut self, snapshot: &Snapshot, replica: &Replica) {
        if !is_open(snapshot, &replica.server) {
            return;
        }
        let moves = self.of(&replica.server);
        if replica.state == ReplicaState::Ready {
            moves.ready.insert(replica.generation);
        }
        if replica.state != ReplicaState::Failed {
            moves.alive.insert(replica.generation);
        }
    }

    /// Writes a replica as it will be.
    pub(super) fn put(&mut self, snapshot: &Snapshot, replica: Replica) {
        self.tally(snapshot, &replica);
        let server = Arc::clone(&replica.server);
        let record = Record::Replica(replica);
        self.of(&server).group.put(snapshot, &record);
    }

    /// Deletes a replica's record.
    pub(super) fn delete(&mut self, snapshot: &Snapshot, replica: &Replica) {
        let key = Key::new(Kind::Replica, &replica.id);
        self.of(&replica.server).group.delete(snapshot, key);
    }

    /// Writes another record in one commit with what happens to that server's replicas.
    pub(super) fn write(&mut self, snapshot: &Snapshot, server: &Arc<str>, record: &Record) {
        self.of(server).group.put(snapshot, record);
    }

    /// Says what the writes of a server mean.
    pub(super) fn note(&mut self, server: &Arc<str>, note: Note) {
        self.of(server).group.note(note);
    }

    /// What is to be written, with what it proves.
    pub(super) fn into_groups(self, snapshot: &Snapshot) -> impl Iterator<Item = Group> {
        self.moves.into_iter().filter_map(|(name, moves)| {
            let view = snapshot.server(&name);
            let proven = view
                .and_then(|view| view.server.as_ref())
                .and_then(|server| proof(server, &moves));
            let mut group = moves.group;
            if let Some(proven) = proven {
                group.put(snapshot, &Record::Server(proven));
            }
            (!group.is_empty()).then_some(group)
        })
    }

    fn of(&mut self, server: &Arc<str>) -> &mut Moves {
        self.moves.entry(Arc::clone(server)).or_default()
    }
}

/// Something of the server is still to be proven or let go.
fn is_open(snapshot: &Snapshot, server: &str) -> bool {
    snapshot
        .server(server)
        .and_then(|view| view.server.as_ref())
        .is_some_and(|server| !server.proven || server.fallback.is_some())
}

/// The server as it becomes; `None` where nothing changes.
fn proof(server: &Server, moves: &Moves) -> Option<Server> {
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
