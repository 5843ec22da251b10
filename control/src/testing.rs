//! For this crate's own tests: records that are valid and small, and a store that is only a
//! snapshot.

use std::sync::Arc;

use fprs_config::apply::apply;
pub(crate) use fprs_config::samples::replica;
use fprs_config::{
    Batch, Change, Key, Kind, Manifest, Record, Replica, ReplicaState, Revision, Server, Snapshot,
    Version, Worker, samples,
};

use crate::commit::Group;

/// A store that is only its newest snapshot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Records {
    pub(crate) snapshot: Arc<Snapshot>,
}

impl Records {
    pub(crate) fn of(records: &[Record]) -> Self {
        let mut store = Self::default();
        for record in records {
            store.put(record);
        }
        store
    }

    pub(crate) fn put(&mut self, record: &Record) {
        self.write(vec![record.change()]);
    }

    pub(crate) fn delete(&mut self, kind: Kind, name: &str) {
        self.write(vec![Change::delete(Key::new(kind, name))]);
    }

    /// Writes the group if it expects what there is.
    pub(crate) fn commit(&mut self, group: &Group) -> bool {
        let (writes, expectations) = group.parts();
        let holds = expectations
            .iter()
            .all(|expected| self.snapshot.written(&expected.key) == expected.revision);
        if holds {
            self.write(writes);
        }
        holds
    }

    pub(crate) fn replica(&self, id: &str) -> Option<&Replica> {
        self.snapshot.replica(id).map(AsRef::as_ref)
    }

    pub(crate) fn state(&self, id: &str) -> Option<ReplicaState> {
        self.replica(id).map(|replica| replica.state)
    }

    pub(crate) fn server(&self, name: &str) -> &Server {
        self.snapshot.server(name).unwrap().server.as_ref().unwrap()
    }

    fn write(&mut self, changes: Vec<Change>) {
        let revision = Revision(self.snapshot.revision().0 + 1);
        let applied = apply(&self.snapshot, &Batch::new(revision, changes));
        assert!(applied.refused.is_empty(), "{:?}", applied.refused);
        self.snapshot = applied.snapshot;
    }
}

pub(crate) fn version(generation: u64) -> Version {
    Version {
        command: vec![format!("program-{generation}"), "$PORT".to_owned()],
        ..samples::version(generation)
    }
}

pub(crate) fn server(name: &str, generation: u64) -> Server {
    Server {
        target: Arc::new(version(generation)),
        ..samples::server(name)
    }
}

pub(crate) fn worker(id: &str, epoch: u64) -> Worker {
    Worker {
        epoch,
        ..samples::worker(id)
    }
}

pub(crate) fn manifest(lines: &str) -> Manifest {
    let text =
        format!("name = \"hello\"\ncommand = [\"serve\", \"$PORT\"]\nauth = \"public\"\n{lines}");
    Manifest::from_toml(&text).unwrap()
}
