//! Follows a store: snapshot, watch, apply, publish; again from the start when told `Lost`. Keeps
//! serving what it has while the store is away: stale is not dead.

mod crash;
mod follower;
mod keep;
mod status;

pub use follower::Follower;
pub use status::{Source, StagedReport, Status, StatusReport};

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::key::Revision;
use crate::snapshot::Snapshot;

/// What a role sees of the store: the snapshot in force, and word of the next one. Cheap to clone.
#[derive(Clone, Debug)]
pub struct View {
    snapshot: Arc<ArcSwap<Snapshot>>,
    revision: watch::Receiver<Revision>,
}

/// The side that publishes to a [`View`].
#[derive(Debug)]
pub struct Publisher {
    snapshot: Arc<ArcSwap<Snapshot>>,
    revision: watch::Sender<Revision>,
}

impl View {
    /// A view and its publisher, holding the empty snapshot.
    pub fn new() -> (Publisher, Self) {
        let snapshot = Arc::new(ArcSwap::from_pointee(Snapshot::default()));
        let (sender, receiver) = watch::channel(Revision::default());
        (
            Publisher {
                snapshot: Arc::clone(&snapshot),
                revision: sender,
            },
            Self {
                snapshot,
                revision: receiver,
            },
        )
    }

    /// The snapshot in force.
    pub fn load(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Waits for a snapshot newer than the last one this view waited for, and returns it; `None`
    /// once the publisher is gone.
    pub async fn changed(&mut self) -> Option<Arc<Snapshot>> {
        self.revision.changed().await.ok()?;
        Some(self.load())
    }

    /// Waits until a snapshot of at least that revision is in force; `None` once the publisher is
    /// gone.
    pub async fn reached(&mut self, revision: Revision) -> Option<Arc<Snapshot>> {
        self.revision
            .wait_for(|current| *current >= revision)
            .await
            .ok()?;
        Some(self.load())
    }
}

impl Publisher {
    /// Puts a snapshot in force.
    pub fn publish(&self, snapshot: Arc<Snapshot>) {
        let revision = snapshot.revision();
        self.snapshot.store(snapshot);
        self.revision.send_replace(revision);
    }
}
