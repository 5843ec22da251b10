//! Which servers changed since the controller last looked, as the follower tells it: so that a
//! change costs what changed, however many servers there are.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fprs_config::{Applied, Revision, Snapshot};

/// Servers whose record or replicas changed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    /// These.
    Servers(HashSet<Arc<str>>),
    /// Perhaps every one.
    All,
}

/// Collects changes until the controller takes them.
#[derive(Debug)]
pub(crate) struct Changes {
    collected: Mutex<Collected>,
}

#[derive(Debug)]
struct Collected {
    changed: Changed,
    /// The newest revision in it. It is told before it is published.
    through: Revision,
}

impl Changes {
    /// Nothing was looked at yet.
    pub(crate) const fn new() -> Self {
        Self {
            collected: Mutex::new(Collected {
                changed: Changed::All,
                through: Revision(0),
            }),
        }
    }

    pub(crate) fn add(&self, applied: &Applied) {
        let mut collected = self.collected();
        collected.through = applied.snapshot.revision();
        match &mut collected.changed {
            Changed::All => {}
            changed if applied.whole => *changed = Changed::All,
            Changed::Servers(names) => names.extend(applied.servers.iter().map(Arc::clone)),
        }
    }

    /// Everything has to be looked at again.
    pub(crate) fn reset(&self) {
        self.collected().changed = Changed::All;
    }

    /// What changed, if that snapshot shows it; nothing is lost if it does not yet.
    pub(crate) fn take(&self, snapshot: &Snapshot) -> Changed {
        let mut collected = self.collected();
        if snapshot.revision() < collected.through {
            return Changed::Servers(HashSet::new());
        }
        std::mem::replace(&mut collected.changed, Changed::Servers(HashSet::new()))
    }

    fn collected(&self) -> MutexGuard<'_, Collected> {
        self.collected
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use fprs_config::{Batch, apply};

    use super::*;

    fn at(revision: u64) -> Arc<Snapshot> {
        let batch = Batch::new(Revision(revision), Vec::new());
        apply::apply(&Snapshot::default(), &batch).snapshot
    }

    fn applied(revision: u64, server: &str) -> Applied {
        Applied {
            snapshot: at(revision),
            servers: vec![server.into()],
            ..Applied::default()
        }
    }

    fn servers(names: &[&str]) -> Changed {
        Changed::Servers(names.iter().map(|&name| name.into()).collect())
    }

    #[test]
    fn everything_has_changed_at_first_and_nothing_after_that() {
        let changes = Changes::new();
        assert_eq!(changes.take(&at(1)), Changed::All);
        assert_eq!(changes.take(&at(1)), servers(&[]));
    }

    #[test]
    fn changes_wait_for_a_snapshot_that_shows_them() {
        let changes = Changes::new();
        changes.take(&at(1));
        changes.add(&applied(2, "a"));
        changes.add(&applied(3, "b"));
        assert_eq!(changes.take(&at(2)), servers(&[]));
        assert_eq!(changes.take(&at(3)), servers(&["a", "b"]));
    }

    #[test]
    fn a_new_snapshot_of_the_store_changes_everything() {
        let changes = Changes::new();
        changes.take(&at(1));
        changes.add(&applied(2, "a"));
        let whole = Applied {
            whole: true,
            ..applied(3, "b")
        };
        changes.add(&whole);
        changes.add(&applied(4, "c"));
        assert_eq!(changes.take(&at(4)), Changed::All);
        changes.reset();
        assert_eq!(changes.take(&at(4)), Changed::All);
    }
}
